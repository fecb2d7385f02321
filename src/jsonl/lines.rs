//! Bytes into lines, of which no more is held than a body may have.

use std::io;

use serde::de::IgnoredAny;
use sha2::{Digest, Sha256};
use tokio::io::{AsyncBufRead, AsyncBufReadExt};
use tracing::warn;

use crate::domain::body_texts::{blank_last_word, without_bom};
use crate::domain::rejection::MAX_BODY_BYTES;

/// The place of a line: from the end of the line handed out before (blank lines in between included) to just
/// after its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AckHandle {
    pub(super) start: u64,
    pub(super) end: u64,
    /// SHA-256 of the source from its beginning to `end`.
    pub(super) digest: [u8; 32],
}

/// Cuts bytes into lines. What is half read stays here, so that reading may be cancelled at any await.
pub(super) struct Lines {
    reader: Box<dyn AsyncBufRead + Send + Unpin>,
    /// Where the next byte of the reader stands in the source.
    offset: u64,
    /// Where the line in the making starts for its handle.
    start: u64,
    /// Its bytes, up to one more than a body may have: enough to see that it is too long.
    line: Vec<u8>,
    /// All its bytes, also those that were not kept, without its end.
    length: u64,
    /// Of all bytes before `offset`.
    hash: Sha256,
    /// More may be written behind the end: a last line that is half written is left for the next time.
    grows: bool,
}

impl Lines {
    /// Of a source from its beginning, which does not grow.
    pub(super) fn new(reader: Box<dyn AsyncBufRead + Send + Unpin>) -> Self {
        Self { reader, offset: 0, start: 0, line: Vec::new(), length: 0, hash: Sha256::new(), grows: false }
    }

    /// Of a file that grows, from `offset` on; with the hash of what is before.
    pub(super) fn of_file(reader: Box<dyn AsyncBufRead + Send + Unpin>, offset: u64, hash: Sha256) -> Self {
        Self { offset, start: offset, hash, grows: true, ..Self::new(reader) }
    }

    /// How many bytes of the source were read, and their SHA-256.
    pub(super) fn was_read(&self) -> (u64, [u8; 32]) {
        (self.offset, self.hash.clone().finalize().into())
    }

    /// The next line that is not empty, without its end; `None` at the end of the source.
    pub(super) async fn next(&mut self) -> io::Result<Option<(AckHandle, Vec<u8>)>> {
        loop {
            let chunk = self.reader.fill_buf().await?;
            let newline = chunk.iter().position(|byte| *byte == b'\n');
            let part = &chunk[..newline.unwrap_or(chunk.len())];
            let room = (MAX_BODY_BYTES + 1).saturating_sub(self.line.len());
            self.line.extend_from_slice(&part[..part.len().min(room)]);
            self.length += part.len() as u64;
            let at_end = chunk.is_empty();
            let consumed = part.len() + usize::from(newline.is_some());
            self.hash.update(&chunk[..consumed]);
            self.reader.consume(consumed);
            self.offset += consumed as u64;
            if at_end && self.grows && is_half_written(&self.line) {
                warn!(feed.position = self.start, "the last line is half written and waits for its end");
                return Ok(None);
            }
            if (newline.is_some() || at_end)
                && let Some(line) = self.finish()
            {
                return Ok(Some(line));
            }
            if at_end {
                return Ok(None);
            }
        }
    }

    fn finish(&mut self) -> Option<(AckHandle, Vec<u8>)> {
        let mut line = std::mem::take(&mut self.line);
        let whole = std::mem::take(&mut self.length) == line.len() as u64;
        if whole && line.last() == Some(&b'\r') {
            line.pop();
        }
        if !whole {
            blank_last_word(&mut line);
        }
        if line.iter().all(u8::is_ascii_whitespace) {
            return None;
        }
        let (_, digest) = self.was_read();
        let ack_handle = AckHandle { start: self.start, end: self.offset, digest };
        self.start = self.offset;
        Some((ack_handle, line))
    }
}

/// JSON that ends before it is complete.
fn is_half_written(line: &[u8]) -> bool {
    !line.is_empty()
        && serde_json::from_slice::<IgnoredAny>(without_bom(line)).is_err_and(|error| error.is_eof())
}

#[cfg(test)]
mod tests {
    use tokio::io::BufReader;

    use super::*;

    async fn cut(content: Vec<u8>) -> Vec<(AckHandle, Vec<u8>)> {
        // A small buffer, so that lines arrive in pieces.
        let reader = BufReader::with_capacity(7, io::Cursor::new(content));
        let mut lines = Lines::new(Box::new(reader));
        let mut all = Vec::new();
        while let Some(line) = lines.next().await.unwrap() {
            all.push(line);
        }
        assert!(lines.next().await.unwrap().is_none(), "the end stays the end");
        all
    }

    #[tokio::test]
    async fn lines_are_cut_at_newlines_and_blank_ones_skipped() {
        let all = cut(b"\n{1}\r\n\r\n \t\n\n{2}\n{long line}".to_vec()).await;
        let seen: Vec<_> = all.iter().map(|(at, body)| (at.start, at.end, body.as_slice())).collect();
        assert_eq!(seen, [(0, 6, &b"{1}"[..]), (6, 16, b"{2}"), (16, 27, b"{long line}")]);
    }

    #[tokio::test]
    async fn a_half_written_last_line_of_a_growing_file_waits() {
        for (content, expected) in
            [("{}\n{\"a\":", 1), ("{}\n{}", 2), ("{}\nnoise", 2), ("{}\n\u{feff}{", 1), ("{}\n{\"a\":\n", 2)]
        {
            let mut lines = Lines::of_file(Box::new(io::Cursor::new(content)), 0, Sha256::new());
            let mut seen = 0;
            while lines.next().await.unwrap().is_some() {
                seen += 1;
            }
            assert_eq!(seen, expected, "{content}");
        }
    }

    #[tokio::test]
    async fn of_a_huge_line_one_byte_too_many_is_kept() {
        let exact = vec![b'e'; MAX_BODY_BYTES];
        let huge = vec![b'h'; 5 * MAX_BODY_BYTES];
        // A carriage return just where the keeping ends belongs to the line, not to its end.
        let mut tricky = vec![b't'; MAX_BODY_BYTES];
        tricky.extend(b"\rt");
        let all = cut([&exact[..], b"\r\n", &huge, b"\n", &tricky, b"\n{}"].concat()).await;
        let lengths: Vec<_> = all.iter().map(|(_, body)| body.len()).collect();
        assert_eq!(lengths, [MAX_BODY_BYTES, MAX_BODY_BYTES + 1, MAX_BODY_BYTES + 1, 2]);
    }

    #[tokio::test]
    async fn truncated_line_keeps_no_half_word() {
        let cut_within = |word: &str| format!("{} {word}", "x".repeat(MAX_BODY_BYTES - 10));
        let all = cut(format!("{}\n{{}}", cut_within("ann.leeson@one.example")).into_bytes()).await;
        let kept = format!("{}{}", "x".repeat(MAX_BODY_BYTES - 10), " ".repeat(11));
        assert!(
            all[0].1 == kept.as_bytes(),
            "{:?}",
            String::from_utf8_lossy(&all[0].1[MAX_BODY_BYTES - 20..])
        );
        assert_eq!(all[1].1, b"{}");
    }
}
