//! Columns that fit a terminal: the widest ones are wrapped.

/// Between two columns.
const GAP: usize = 2;
/// A column is not made narrower than this: where there are too many of them a table is wider than its terminal.
const NARROWEST: usize = 12;

/// The lines of a table, at most `room` characters wide where that is given and possible.
pub fn lines(headings: &[&str], rows: &[Vec<String>], room: Option<usize>) -> Vec<String> {
    let headings: Vec<String> = headings.iter().map(|heading| (*heading).to_owned()).collect();
    let all = || std::iter::once(&headings).chain(rows);
    let width = |column: usize| all().filter_map(|row| row.get(column)).map(|cell| length(cell)).max();
    let mut widths: Vec<usize> = (0..headings.len()).map(|column| width(column).unwrap_or(0)).collect();
    if let Some(room) = room {
        fit(&mut widths, room);
    }
    all().flat_map(|row| row_lines(row, &widths)).collect()
}

fn length(text: &str) -> usize {
    text.chars().count()
}

/// Takes from the widest column until all fit.
fn fit(widths: &mut [usize], room: usize) {
    let gaps = GAP * widths.len().saturating_sub(1);
    while widths.iter().sum::<usize>() + gaps > room {
        match widths.iter_mut().max() {
            Some(widest) if *widest > NARROWEST => *widest -= 1,
            _ => return,
        }
    }
}

/// A row, on as many lines as its longest cell takes.
fn row_lines(row: &[String], widths: &[usize]) -> Vec<String> {
    let cells: Vec<Vec<String>> = row.iter().zip(widths).map(|(cell, width)| wrapped(cell, *width)).collect();
    let height = cells.iter().map(Vec::len).max().unwrap_or(0);
    let line = |number: usize| {
        let parts = cells.iter().zip(widths).map(|(cell, width)| {
            let part = cell.get(number).map_or("", String::as_str);
            format!("{part:<width$}", width = *width)
        });
        parts.collect::<Vec<_>>().join(&" ".repeat(GAP)).trim_end().to_owned()
    };
    (0..height).map(line).collect()
}

/// A text in lines of at most `width` characters, between words where there are any.
fn wrapped(text: &str, width: usize) -> Vec<String> {
    if length(text) <= width {
        return vec![text.to_owned()];
    }
    let mut lines = vec![String::new()];
    for word in text.split(' ') {
        let signs: Vec<char> = word.chars().collect();
        for (part, piece) in signs.chunks(width.max(1)).enumerate() {
            let piece: String = piece.iter().collect();
            match lines.last_mut() {
                Some(line) if line.is_empty() => line.push_str(&piece),
                Some(line) if part == 0 && length(line) + 1 + length(&piece) <= width => {
                    line.push(' ');
                    line.push_str(&piece);
                }
                _ => lines.push(piece),
            }
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows(cells: &[&str]) -> Vec<Vec<String>> {
        vec![cells.iter().map(|cell| (*cell).to_owned()).collect(); 2]
    }

    #[test]
    fn table_is_no_wider_than_its_terminal() {
        let detail = "the contact's address is held by another one that came before it, so it is refused";
        let rows = vec![vec!["17".to_owned(), "x".repeat(70), detail.to_owned()]; 3];
        let shown = lines(&["id", "name", "detail"], &rows, Some(80));
        assert!(shown.iter().all(|line| length(line) <= 80), "{shown:#?}");
        assert!(shown[1].starts_with("17  xxxx"), "{shown:#?}");
        let words: Vec<&str> = shown.iter().flat_map(|line| line.split_whitespace()).collect();
        assert_eq!(words.iter().filter(|word| **word == "refused").count(), 3, "nothing is cut off");
    }

    #[test]
    fn table_that_fits_or_goes_to_a_file_has_a_line_per_row() {
        let short = lines(&["id", "name"], &rows(&["1", "Ada Lovelace"]), Some(80));
        assert_eq!(short, ["id  name", "1   Ada Lovelace", "1   Ada Lovelace"]);
        let wide = "x".repeat(200);
        assert_eq!(lines(&["id", "name"], &rows(&["1", &wide]), None)[1], format!("1   {wide}"));
    }

    #[test]
    fn narrow_columns_stay_as_they_are() {
        let mut widths = [20, 5, 100];
        fit(&mut widths, 80);
        assert_eq!(widths, [20, 5, 51]);
        let mut many = [15; 9];
        fit(&mut many, 80);
        assert_eq!(many, [NARROWEST; 9]);
        assert_eq!(wrapped("a bb ccccccc d", 4), ["a bb", "cccc", "ccc", "d"]);
    }
}
