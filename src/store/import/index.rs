//! Where the records of each kind stand in the source, in its order: a few bytes per record, most of them on disk.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

use super::source::{Entry, temporary_file};

/// So many bytes of a kind stay in memory.
const BLOCK: usize = 16 << 10;

/// The entries of all kinds.
#[derive(Debug)]
pub(super) struct Index {
    stages: Vec<Stage>,
    /// Made when the first block is full.
    file: Option<File>,
    written: u64,
}

#[derive(Clone, Debug, Default)]
struct Stage {
    /// Blocks on disk: where they begin, and their length.
    blocks: Vec<(u64, usize)>,
    /// The last block.
    open: Vec<u8>,
    /// The last entry of the open block.
    last: Entry,
}

impl Index {
    pub fn new(stages: usize) -> Self {
        Self { stages: vec![Stage::default(); stages], file: None, written: 0 }
    }

    pub fn push(&mut self, stage: usize, entry: Entry) -> io::Result<()> {
        let Stage { open, last, .. } = &mut self.stages[stage];
        write_number(open, entry.line - last.line);
        write_number(open, entry.offset - last.offset);
        write_number(open, entry.length.into());
        open.extend(entry.hash.to_le_bytes());
        *last = entry;
        if open.len() >= BLOCK { self.close_block(stage) } else { Ok(()) }
    }

    fn close_block(&mut self, stage: usize) -> io::Result<()> {
        let Stage { blocks, open, last } = &mut self.stages[stage];
        if self.file.is_none() {
            self.file = Some(temporary_file()?);
        }
        if let Some(file) = &self.file {
            file.write_all_at(open, self.written)?;
        }
        blocks.push((self.written, open.len()));
        self.written += open.len() as u64;
        open.clear();
        *last = Entry::default();
        Ok(())
    }

    /// The bytes of a block of a kind; `None` after its last one.
    fn block(&self, stage: usize, block: usize) -> io::Result<Option<Vec<u8>>> {
        let Some(Stage { blocks, open, .. }) = self.stages.get(stage) else { return Ok(None) };
        let Some((offset, length)) = blocks.get(block) else {
            return Ok((block == blocks.len()).then(|| open.clone()));
        };
        let mut bytes = vec![0; *length];
        if let Some(file) = &self.file {
            file.read_exact_at(&mut bytes, *offset)?;
        }
        Ok(Some(bytes))
    }
}

/// A place in the index; entries are read from there on, kind after kind.
#[derive(Debug, Default)]
pub(super) struct Cursor {
    pub stage: usize,
    block: usize,
    bytes: Option<Vec<u8>>,
    read: usize,
    last: Entry,
}

impl Cursor {
    /// The next entry of the stage; `None` at its end.
    pub fn next(&mut self, index: &Index) -> io::Result<Option<Entry>> {
        loop {
            let Some(bytes) = &self.bytes else {
                let Some(bytes) = index.block(self.stage, self.block)? else { return Ok(None) };
                (self.bytes, self.read, self.last) = (Some(bytes), 0, Entry::default());
                continue;
            };
            if self.read == bytes.len() {
                (self.bytes, self.block) = (None, self.block + 1);
                continue;
            }
            let mut number = || read_number(bytes, &mut self.read);
            let (line, offset, length) = (number(), number(), number());
            let hash = bytes.get(self.read..self.read + 4).and_then(|hash| hash.try_into().ok());
            self.read += 4;
            self.last = Entry {
                line: self.last.line + line,
                offset: self.last.offset + offset,
                length: u32::try_from(length).map_err(io::Error::other)?,
                hash: hash.map(u32::from_le_bytes).unwrap_or_default(),
            };
            return Ok(Some(self.last));
        }
    }

    /// Goes to the first entry of the next kind.
    pub fn next_stage(&mut self) {
        *self = Self { stage: self.stage + 1, ..Self::default() };
    }
}

/// Seven bits per byte, the lowest first; the eighth says that more follow.
fn write_number(bytes: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        bytes.push((number & 0x7f) as u8 | 0x80);
        number >>= 7;
    }
    bytes.push((number & 0x7f) as u8);
}

fn read_number(bytes: &[u8], at: &mut usize) -> u64 {
    let (mut number, mut shift) = (0, 0);
    while let Some(byte) = bytes.get(*at) {
        *at += 1;
        number |= u64::from(byte & 0x7f) << shift;
        shift += 7;
        if byte & 0x80 == 0 {
            break;
        }
    }
    number
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_of_each_stage_come_back_in_order() {
        let mut index = Index::new(3);
        let entry = |line: u64| {
            let number = u32::try_from(line).unwrap();
            Entry {
                line,
                offset: line * 300,
                length: number % 70_000,
                hash: number.wrapping_mul(0x9e37_79b9),
            }
        };
        for line in 1..=30_000 {
            index.push(if line % 3 == 0 { 2 } else { 0 }, entry(line)).unwrap();
        }
        assert!(index.file.is_some(), "some blocks are on disk");
        let mut cursor = Cursor::default();
        for stage in 0..3 {
            assert_eq!(cursor.stage, stage);
            let mut lines = Vec::new();
            while let Some(found) = cursor.next(&index).unwrap() {
                assert_eq!(found, entry(found.line));
                lines.push(found.line);
            }
            let expected = (1..=30_000).filter(|line| match stage {
                0 => line % 3 != 0,
                1 => false,
                _ => line % 3 == 0,
            });
            assert!(expected.eq(lines), "stage {stage}");
            cursor.next_stage();
        }
        assert_eq!(cursor.next(&index).unwrap(), None);
    }
}
