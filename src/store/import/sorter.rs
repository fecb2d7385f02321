//! Rows of numbers in order, however many: sorted runs on disk that are merged. They are ids, lines and keyed hashes,
//! nothing of a person.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

use super::source::temporary_file;

/// So many rows stay in memory.
const BUFFERED: usize = 1 << 15;
/// So many rows are read at once.
const READ: usize = 256;

/// Takes rows in any order.
#[derive(Debug)]
pub(super) struct Sorter<const N: usize> {
    buffer: Vec<[i64; N]>,
    /// Made when the buffer is full for the first time.
    file: Option<File>,
    /// Where each sorted run ends, in rows.
    runs: Vec<u64>,
}

/// Rows in order, each once.
#[derive(Debug)]
pub(super) enum Sorted<const N: usize> {
    Memory(Vec<[i64; N]>),
    Disk { file: File, rows: u64 },
}

impl<const N: usize> Sorter<N> {
    pub fn new() -> Self {
        Self { buffer: Vec::new(), file: None, runs: Vec::new() }
    }

    pub fn push(&mut self, row: [i64; N]) -> io::Result<()> {
        if self.buffer.len() == BUFFERED {
            self.spill()?;
        }
        self.buffer.push(row);
        Ok(())
    }

    fn sort(&mut self) {
        self.buffer.sort_unstable();
        self.buffer.dedup();
    }

    fn spill(&mut self) -> io::Result<()> {
        self.sort();
        let file = match self.file.take() {
            Some(file) => file,
            None => temporary_file()?,
        };
        let rows = self.runs.last().copied().unwrap_or_default();
        write_rows(&file, rows, &self.buffer)?;
        self.runs.push(rows + self.buffer.len() as u64);
        self.buffer.clear();
        self.file = Some(file);
        Ok(())
    }

    pub fn finish(mut self) -> io::Result<Sorted<N>> {
        if self.runs.is_empty() {
            self.sort();
            return Ok(Sorted::Memory(self.buffer));
        }
        self.spill()?;
        let Some(file) = self.file else { return Ok(Sorted::Memory(self.buffer)) };
        let starts = std::iter::once(0).chain(self.runs.iter().copied());
        let mut runs: Vec<Rows<'_, N>> =
            starts.zip(&self.runs).map(|(start, end)| Rows::on_disk(&file, start, *end)).collect();
        let mut heads = BinaryHeap::with_capacity(runs.len());
        for (run, rows) in runs.iter_mut().enumerate() {
            heads.extend(rows.next().transpose()?.map(|row| Reverse((row, run))));
        }
        let (merged, mut written, mut last) = (temporary_file()?, 0, None);
        while let Some(Reverse((row, run))) = heads.pop() {
            heads.extend(runs[run].next().transpose()?.map(|row| Reverse((row, run))));
            if last.replace(row) == Some(row) {
                continue;
            }
            self.buffer.push(row);
            if self.buffer.len() == BUFFERED {
                write_rows(&merged, written, &self.buffer)?;
                written += BUFFERED as u64;
                self.buffer.clear();
            }
        }
        write_rows(&merged, written, &self.buffer)?;
        written += self.buffer.len() as u64;
        Ok(Sorted::Disk { file: merged, rows: written })
    }
}

impl<const N: usize> Sorted<N> {
    pub fn rows(&self) -> Rows<'_, N> {
        match self {
            Self::Memory(rows) => Rows { ahead: rows.clone(), next: 0, disk: None },
            Self::Disk { file, rows } => Rows::on_disk(file, 0, *rows),
        }
    }

    /// Is the row there?
    pub fn contains(&self, row: &[i64; N]) -> io::Result<bool> {
        let (file, mut low, mut high) = match self {
            Self::Memory(rows) => return Ok(rows.binary_search(row).is_ok()),
            Self::Disk { file, rows } => (file, 0, *rows),
        };
        while low < high {
            let middle = low.midpoint(high);
            let found: [i64; N] = read_rows(file, middle, 1)?[0];
            match found.cmp(row) {
                std::cmp::Ordering::Equal => return Ok(true),
                std::cmp::Ordering::Less => low = middle + 1,
                std::cmp::Ordering::Greater => high = middle,
            }
        }
        Ok(false)
    }
}

/// Rows from the first to the last.
pub(super) struct Rows<'a, const N: usize> {
    ahead: Vec<[i64; N]>,
    next: usize,
    /// Where the rows after those come from.
    disk: Option<(&'a File, u64, u64)>,
}

impl<'a, const N: usize> Rows<'a, N> {
    fn on_disk(file: &'a File, start: u64, end: u64) -> Self {
        Self { ahead: Vec::new(), next: 0, disk: Some((file, start, end)) }
    }

    fn read_ahead(&mut self) -> io::Result<()> {
        let Some((file, start, end)) = &mut self.disk else { return Ok(()) };
        let rows = (*end - *start).min(READ as u64);
        self.ahead = read_rows(file, *start, usize::try_from(rows).unwrap_or(READ))?;
        self.next = 0;
        *start += rows;
        Ok(())
    }
}

impl<const N: usize> Iterator for Rows<'_, N> {
    type Item = io::Result<[i64; N]>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.next == self.ahead.len()
            && let Err(error) = self.read_ahead()
        {
            return Some(Err(error));
        }
        let row = self.ahead.get(self.next).copied()?;
        self.next += 1;
        Some(Ok(row))
    }
}

fn write_rows<const N: usize>(file: &File, at: u64, rows: &[[i64; N]]) -> io::Result<()> {
    let bytes: Vec<u8> = rows.iter().flatten().flat_map(|number| number.to_le_bytes()).collect();
    file.write_all_at(&bytes, at * row_bytes::<N>() as u64)
}

fn read_rows<const N: usize>(file: &File, at: u64, rows: usize) -> io::Result<Vec<[i64; N]>> {
    let mut bytes = vec![0; rows * row_bytes::<N>()];
    file.read_exact_at(&mut bytes, at * row_bytes::<N>() as u64)?;
    let number = |bytes: &[u8]| bytes.try_into().map(i64::from_le_bytes).unwrap_or_default();
    let row = |bytes: &[u8]| std::array::from_fn(|column| number(&bytes[column * 8..][..8]));
    Ok(bytes.chunks_exact(row_bytes::<N>()).map(row).collect())
}

const fn row_bytes<const N: usize>() -> usize {
    N * size_of::<i64>()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_come_back_in_order_each_once_from_memory_and_from_disk() {
        for count in [0, 1, 1_000, 200_000_i64] {
            let mut sorter = Sorter::new();
            for number in 0..count {
                // An odd factor visits every remainder once; every tenth row comes twice.
                let shuffled = number * 7_919 % count;
                sorter.push([shuffled / 100, shuffled]).unwrap();
                if number % 10 == 0 {
                    sorter.push([shuffled / 100, shuffled]).unwrap();
                }
            }
            let found = sorter.finish().unwrap();
            let rows: Vec<[i64; 2]> = found.rows().map(Result::unwrap).collect();
            assert!((0..count).map(|number| [number / 100, number]).eq(rows), "{count} rows");
            assert!(!found.contains(&[-1, 0]).unwrap() && !found.contains(&[count, count]).unwrap());
            if count > 0 {
                assert!(found.contains(&[0, 0]).unwrap());
                assert!(found.contains(&[(count - 1) / 100, count - 1]).unwrap());
                assert!(!found.contains(&[0, count]).unwrap());
            }
        }
    }
}
