//! How answers are printed: aligned for people, one JSON document for programs.

use std::io::Write;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};
use serde::Serialize;

use super::Failure;

/// Prints one JSON document.
pub fn document(answer: &impl Serialize) -> Result<(), Failure> {
    line(&serde_json::to_string_pretty(answer)?)
}

/// Prints a line.
pub fn line(text: &str) -> Result<(), Failure> {
    writeln!(std::io::stdout().lock(), "{text}")?;
    Ok(())
}

/// Prints rows in columns as wide as their widest cell; `nothing` where there are none.
pub fn table(headings: &[&str], rows: &[Vec<String>], nothing: &str) -> Result<(), Failure> {
    if rows.is_empty() {
        return line(nothing);
    }
    let width = |column: usize| {
        let cells = rows.iter().map(|row| row.get(column).map_or(0, |cell| cell.chars().count()));
        cells.chain([headings[column].chars().count()]).max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..headings.len()).map(width).collect();
    let headings: Vec<String> = headings.iter().map(|heading| (*heading).to_owned()).collect();
    for row in std::iter::once(&headings).chain(rows) {
        let cells: Vec<String> =
            row.iter().zip(&widths).map(|(cell, width)| format!("{cell:<width$}", width = *width)).collect();
        line(cells.join("  ").trim_end())?;
    }
    Ok(())
}

/// A count that grows, on a terminal; nothing elsewhere.
pub fn progress(what: &'static str) -> ProgressBar {
    let bar = ProgressBar::new_spinner();
    if let Ok(style) = ProgressStyle::with_template("{spinner} {human_pos} {msg}") {
        bar.set_style(style);
    }
    bar.set_message(what);
    bar.enable_steady_tick(Duration::from_millis(100));
    bar
}

/// How far a long work is, on a terminal; nothing elsewhere.
pub fn progress_of(all: u64, what: &'static str) -> ProgressBar {
    let bar = ProgressBar::new(all);
    if let Ok(style) = ProgressStyle::with_template("{wide_bar} {human_pos} of {human_len} {msg}, {eta} left")
    {
        bar.set_style(style);
    }
    bar.with_message(what)
}

/// A time without its microseconds, for people.
pub fn short_time(time: &str) -> String {
    match (time.split_once('.'), time.ends_with('Z')) {
        (Some((seconds, _)), true) => format!("{seconds}Z"),
        _ => time.to_owned(),
    }
}

/// What is not there.
pub fn or_dash(text: Option<&str>) -> String {
    text.unwrap_or("-").to_owned()
}
