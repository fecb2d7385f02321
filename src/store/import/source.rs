//! The file that is imported, as lines that can be read again.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read, Seek};
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};

use flate2::Crc;

use super::StoreError;
use crate::domain::network;
use crate::domain::record::MAX_SEGMENT_BYTES;

/// Lines of records that can be read more than once.
#[derive(Debug)]
pub struct Source {
    file: File,
}

/// Where a record stands in the source.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Entry {
    /// Counts from 1.
    pub line: u64,
    pub offset: u64,
    pub length: u32,
    /// Of its bytes: a file may be written anew while it is imported.
    pub hash: u32,
}

/// Tells a line from another one in its place.
fn hash(line: &[u8]) -> u32 {
    let mut crc = Crc::new();
    crc.update(line);
    crc.sum()
}

impl Source {
    /// Opens a file. One that can be read only once, such as a pipe, is copied.
    ///
    /// # Errors
    ///
    /// Where it cannot be read, or its copy cannot be made.
    pub fn open(path: &Path) -> io::Result<Self> {
        let file = File::open(path)?;
        if file.metadata()?.is_file() { Ok(Self { file }) } else { Self::copy(file) }
    }

    /// Copies what is read into a file without a name, which is gone with its last reader.
    ///
    /// # Errors
    ///
    /// Where the input cannot be read, or the file cannot be made.
    pub fn copy(mut input: impl Read) -> io::Result<Self> {
        let mut file = temporary_file()?;
        io::copy(&mut input, &mut file)?;
        file.rewind()?;
        Ok(Self { file })
    }

    /// The file itself, at whatever place it was read to.
    pub fn into_file(self) -> File {
        self.file
    }

    pub(super) fn size(&self) -> io::Result<u64> {
        Ok(self.file.metadata()?.len())
    }

    /// All lines, from the first.
    pub(super) fn lines(&self) -> io::Result<Lines<'_>> {
        let mut file = &self.file;
        file.rewind()?;
        Ok(Lines { reader: BufReader::with_capacity(1 << 18, file), line: 0, offset: 0 })
    }

    /// One line again, unless another one is in its place.
    pub(super) fn line(&self, entry: &Entry) -> io::Result<Vec<u8>> {
        let mut line = vec![0; entry.length as usize];
        self.file.read_exact_at(&mut line, entry.offset)?;
        if hash(&line) == entry.hash { Ok(line) } else { Err(io::ErrorKind::InvalidData.into()) }
    }
}

/// Lines with their numbers.
pub(super) struct Lines<'a> {
    reader: BufReader<&'a File>,
    line: u64,
    offset: u64,
}

/// The next line.
pub(super) enum Next {
    /// It is in the buffer, without its end.
    Line(Entry),
    /// It is longer than any record may be.
    TooLong(u64),
    End,
}

impl Lines<'_> {
    /// Reads the next line into a buffer, of which it keeps no more than a record may have.
    pub fn next(&mut self, buffer: &mut Vec<u8>) -> io::Result<Next> {
        buffer.clear();
        buffer.shrink_to(1 << 20);
        self.line += 1;
        let limit = MAX_SEGMENT_BYTES as u64 + 2;
        let read = self.reader.by_ref().take(limit).read_until(b'\n', buffer)? as u64;
        if read == 0 {
            return Ok(Next::End);
        }
        let offset = self.offset;
        self.offset += read;
        if buffer.last() == Some(&b'\n') {
            buffer.pop();
        } else if read == limit {
            return Ok(Next::TooLong(self.line));
        }
        let length = u32::try_from(buffer.len()).map_err(io::Error::other)?;
        Ok(Next::Line(Entry { line: self.line, offset, length, hash: hash(buffer) }))
    }
}

/// A file that only this process can read, and that has no name any more when this returns: it goes with the process.
pub(super) fn temporary_file() -> io::Result<File> {
    static COUNT: AtomicU64 = AtomicU64::new(0);
    let count = COUNT.fetch_add(1, Ordering::Relaxed);
    let name = format!("contact-reaper-import-{}-{count}", std::process::id());
    let path = std::env::temp_dir().join(name);
    let file = File::options().read(true).write(true).create_new(true).mode(0o600).open(&path)?;
    std::fs::remove_file(&path)?;
    Ok(file)
}

/// What a failure of a temporary file means for the import.
#[expect(clippy::needless_pass_by_value, reason = "for map_err")]
pub(super) fn temporary_failed(error: io::Error) -> StoreError {
    StoreError::Refused(format!(
        "temporary files of the import in {} cannot be used: {}",
        std::env::temp_dir().display(),
        network::explain(&error).unwrap_or_else(|| error.to_string())
    ))
}
