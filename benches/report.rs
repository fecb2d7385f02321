//! What was measured: medians, spreads and ratios, as a table and as JSON.

use std::fmt::Write as _;

use serde_json::{Value, json};

/// A candidate of a scenario, and its figure in each round.
struct Candidate {
    name: String,
    figures: Vec<f64>,
}

/// Candidates that were measured in turn, in one unit; each is held against the others.
pub struct Table {
    title: String,
    unit: &'static str,
    candidates: Vec<Candidate>,
    /// Further figures, one line each.
    notes: Vec<String>,
}

impl Table {
    pub fn new(title: &str, unit: &'static str) -> Self {
        Self { title: title.to_owned(), unit, candidates: Vec::new(), notes: Vec::new() }
    }

    pub fn add(&mut self, candidate: &str, figure: f64) {
        match self.candidates.iter_mut().find(|it| it.name == candidate) {
            Some(known) => known.figures.push(figure),
            None => self.candidates.push(Candidate { name: candidate.to_owned(), figures: vec![figure] }),
        }
    }

    /// One more line, once.
    pub fn note(&mut self, line: &str) {
        if !self.notes.iter().any(|it| it == line) {
            self.notes.push(line.to_owned());
        }
    }

    /// The most that the service had in memory, in bytes.
    pub fn note_memory(&mut self, bytes: u64) {
        self.note(&format!("resident memory of the service at most {:.1} MiB", bytes as f64 / 1_048_576.0));
    }

    /// The first candidate is what the others are compared with.
    pub fn text(&self) -> String {
        let mut text = format!("{}\n", self.title);
        let first = self.candidates.first().map_or(f64::NAN, Candidate::median);
        for it in &self.candidates {
            let (median, (low, high)) = (it.median(), it.spread());
            let ratio = first / median;
            writeln!(
                text,
                "  {:<34} {median:>10.1} {:<14} {low:>10.1} … {high:<10.1} × {ratio:.3}",
                it.name, self.unit
            )
            .expect("a text takes everything");
        }
        for note in &self.notes {
            writeln!(text, "  {note}").expect("a text takes everything");
        }
        text
    }

    pub fn json(&self) -> Value {
        let candidates = self.candidates.iter().map(
            |it| json!({"name": it.name, "median": it.median(), "low": it.spread().0, "high": it.spread().1, "figures": it.figures}),
        );
        json!({"scenario": self.title, "unit": self.unit, "candidates": candidates.collect::<Vec<_>>(), "notes": self.notes})
    }
}

impl Candidate {
    fn sorted(&self) -> Vec<f64> {
        let mut sorted = self.figures.clone();
        sorted.sort_by(f64::total_cmp);
        sorted
    }

    fn median(&self) -> f64 {
        let sorted = self.sorted();
        let middle = sorted.len() / 2;
        if sorted.len() % 2 == 1 { sorted[middle] } else { f64::midpoint(sorted[middle - 1], sorted[middle]) }
    }

    fn spread(&self) -> (f64, f64) {
        let sorted = self.sorted();
        (sorted[0], sorted[sorted.len() - 1])
    }
}

pub fn rate(count: usize, seconds: f64) -> f64 {
    count as f64 / seconds
}
