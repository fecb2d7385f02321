//! By what a file is known again: the SHA-256 of all that was read of it. A name and a length say nothing: an export writes
//! another file under the same name.

use std::io::{self, SeekFrom};

use sha2::{Digest, Sha256};
use tokio::fs::File;
use tokio::io::{AsyncReadExt, AsyncSeekExt};

/// The hash of the first `length` bytes of a file, to go on with; `None` where it is shorter.
pub(super) async fn hash_of(file: &mut File, length: u64) -> io::Result<Option<Sha256>> {
    file.seek(SeekFrom::Start(0)).await?;
    let mut rest = file.take(length);
    let (mut hash, mut chunk) = (Sha256::new(), vec![0; 256 * 1024]);
    loop {
        match rest.read(&mut chunk).await? {
            0 => return Ok((rest.limit() == 0).then_some(hash)),
            read => hash.update(&chunk[..read]),
        }
    }
}
