//! How answers are printed: aligned for people, one JSON document for programs.

use std::borrow::Cow;
use std::io::Write;

use serde::Serialize;

use super::{Failure, columns};
use crate::store::StoreError;

/// A longer cell is cut: `--json` has all of it.
const CELL: usize = 300;

/// Prints one JSON document.
pub fn document(answer: &impl Serialize) -> Result<(), Failure> {
    let document = serde_json::to_string_pretty(answer)?;
    // What JSON leaves as it is stands in a text, where an escape means the same.
    print(&escaped(
        &document,
        |sign| sign != '\n' && is_obeyed(sign),
        |sign| format!("\\u{:04x}", u32::from(sign)),
    ))
}

/// Prints a line.
pub fn line(text: &str) -> Result<(), Failure> {
    print(&plain(text))
}

/// Prints lines of the program's own.
pub fn lines(text: &str) -> Result<(), Failure> {
    print(&plain_lines(text))
}

/// Prints a line to standard error. An error of the write is ignored: it must not end the command.
pub fn say(text: &str) {
    drop(writeln!(std::io::stderr().lock(), "{text}"));
}

fn print(text: &str) -> Result<(), Failure> {
    writeln!(std::io::stdout().lock(), "{text}")?;
    Ok(())
}

/// A text of data as a terminal may be shown it: what it would obey instead, what would begin a line or turn the order of
/// one round is escaped, as `\u{1b}` or `\n`.
pub fn plain(text: &str) -> Cow<'_, str> {
    escaped(text, is_obeyed, |sign| sign.escape_default().to_string())
}

/// As [`plain`], for a text of several lines.
pub fn plain_lines(text: &str) -> Cow<'_, str> {
    escaped(text, |sign| sign != '\n' && is_obeyed(sign), |sign| sign.escape_default().to_string())
}

/// Control characters, Unicode's separators of lines, and its marks of the direction of writing.
fn is_obeyed(sign: char) -> bool {
    sign.is_control()
        || matches!(sign, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

fn escaped(text: &str, is_meant: impl Fn(char) -> bool, escape: impl Fn(char) -> String) -> Cow<'_, str> {
    if !text.contains(&is_meant) {
        return Cow::Borrowed(text);
    }
    let sign = |sign| if is_meant(sign) { escape(sign) } else { String::from(sign) };
    Cow::Owned(text.chars().map(sign).collect())
}

/// A text as it stands in a table.
fn cell(text: &str) -> String {
    let mut shown: String = text.chars().take(CELL + 1).collect();
    shown = plain(&shown).into_owned();
    if let Some((end, _)) = shown.char_indices().nth(CELL) {
        shown.truncate(end);
        shown.pop();
        shown.push('…');
    }
    shown
}

/// Prints rows in columns, on a terminal no wider than it where that is possible; `nothing` where there are none.
pub fn table(headings: &[&str], rows: &[Vec<String>], nothing: &str) -> Result<(), Failure> {
    if rows.is_empty() {
        return line(nothing);
    }
    let rows: Vec<Vec<String>> = rows.iter().map(|row| row.iter().map(|text| cell(text)).collect()).collect();
    let room = console::Term::stdout().size_checked().map(|(_, columns)| usize::from(columns));
    for text in columns::lines(headings, &rows, room) {
        line(&text)?;
    }
    Ok(())
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

/// Says where the files of a SQLite store may hold traces yet.
pub fn warn_of_files(problem: &StoreError) {
    say(&format!(
        "warning: the erasure is done, but the store's files could not be rewritten ({problem}); the next erasure or \
         purge does it"
    ));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_that_a_terminal_obeys_is_left_of_a_text() {
        for (text, shown) in [
            ("Łukasz 山 é", "Łukasz 山 é"),
            ("\u{1b}[2J\u{1b}]0;x\u{7}", "\\u{1b}[2J\\u{1b}]0;x\\u{7}"),
            ("a\nb\r\tc", "a\\nb\\r\\tc"),
            ("\u{9b}1m \u{7f}", "\\u{9b}1m \\u{7f}"),
            ("\u{202e}gnp\u{2066}\u{2028}\u{200f}", "\\u{202e}gnp\\u{2066}\\u{2028}\\u{200f}"),
        ] {
            assert_eq!(plain(text), shown);
            assert_eq!(cell(text), shown);
        }
        assert_eq!(plain_lines("a\nb\u{1b}"), "a\nb\\u{1b}");
    }

    #[test]
    fn a_cell_is_cut_with_a_sign_that_it_is() {
        assert_eq!(cell(&"x".repeat(CELL)), "x".repeat(CELL));
        for long in ["x".repeat(CELL + 1), "x".repeat(1_000_000)] {
            assert_eq!(cell(&long), format!("{}…", "x".repeat(CELL - 1)));
        }
        assert_eq!(cell(&"\u{1b}".repeat(65_536)).chars().count(), CELL);
    }
}
