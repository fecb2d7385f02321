//! By what a file is known again: the first line that was read of it, and the last one before the position. A name and a
//! length say nothing: an export writes another file under the same name.

use std::collections::BTreeMap;
use std::io::{self, SeekFrom};

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use tokio::fs::File;
use tokio::io::{AsyncReadExt, AsyncSeekExt};

use super::lines::Receipt;
use crate::domain::hex::hex;

/// The lines that a file is known by.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fingerprint {
    /// `None` where an older version read it.
    first: Option<Piece>,
    last: Option<Piece>,
}

/// Some bytes of a file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Piece {
    start: u64,
    end: u64,
    sha256: String,
}

impl From<Receipt> for Piece {
    fn from(Receipt { start, end, digest }: Receipt) -> Self {
        Self { start, end, sha256: hex(&digest) }
    }
}

impl Fingerprint {
    /// What [`Fingerprint::to_text`] wrote.
    pub fn parse(text: &str) -> Option<Self> {
        serde_json::from_str(text).ok()
    }

    /// As the store keeps it.
    pub fn to_text(&self) -> Option<String> {
        serde_json::to_string(self).ok()
    }

    /// Does the file still begin and go on as it did when it was read?
    pub async fn is_of(&self, file: &mut File) -> io::Result<bool> {
        for piece in self.first.iter().chain(&self.last) {
            if !piece.is_in(file).await? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// The same of a file of which more is settled: up to `position`, where one of these lines ends.
    pub fn reached(&self, position: u64, settled: &BTreeMap<u64, Receipt>) -> Self {
        let first = settled.values().find(|receipt| receipt.start == 0).copied().map(Piece::from);
        let last = settled.get(&position).copied().map(Piece::from);
        Self { first: self.first.clone().or(first), last: last.or_else(|| self.last.clone()) }
    }
}

impl Piece {
    async fn is_in(&self, file: &mut File) -> io::Result<bool> {
        file.seek(SeekFrom::Start(self.start)).await?;
        let mut rest = file.take(self.end.saturating_sub(self.start));
        let (mut hash, mut chunk) = (Sha256::new(), vec![0; 64 * 1024]);
        loop {
            match rest.read(&mut chunk).await? {
                0 => return Ok(rest.limit() == 0 && hex(&hash.finalize()) == self.sha256),
                read => hash.update(&chunk[..read]),
            }
        }
    }
}
