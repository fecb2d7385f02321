//! "Did you mean …?"

/// The known name that was probably meant: the one dotted key that ends in what was written, or else the one fewest
/// slips of the keyboard away. `None` where nothing comes near.
pub fn nearest<'a>(written: &str, known: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let known: Vec<&str> = known.collect();
    let ending = format!(".{written}");
    let mut same_ending = known.iter().filter(|name| name.ends_with(&ending));
    if let (Some(name), None) = (same_ending.next(), same_ending.next()) {
        return Some(name);
    }
    let allowed = (written.chars().count() / 4).max(2);
    known
        .into_iter()
        .map(|name| (edit_distance(written, name), name))
        .filter(|(count, _)| *count <= allowed)
        .min()
        .map(|(_, name)| name)
}

/// Letters inserted, left out or replaced (Levenshtein's distance), one row of the table at a time.
fn edit_distance(left: &str, right: &str) -> usize {
    let right: Vec<char> = right.chars().collect();
    let mut row: Vec<usize> = (0..=right.len()).collect();
    for (line, a) in left.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = line + 1;
        for (column, b) in right.iter().enumerate() {
            let replaced = diagonal + usize::from(a != *b);
            diagonal = row[column + 1];
            row[column + 1] = replaced.min(diagonal + 1).min(row[column] + 1);
        }
    }
    row[right.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_name_that_was_meant() {
        let known = ["store.url", "feed.rabbitmq.url", "feed.rabbitmq.queue", "pipeline.batch_size"];
        for (written, meant) in [
            ("stor.url", Some("store.url")),
            ("pipeline.batchsize", Some("pipeline.batch_size")),
            ("pipeline.batch_szie", Some("pipeline.batch_size")),
            ("rabbitmq.queue", Some("feed.rabbitmq.queue")),
            ("queue", Some("feed.rabbitmq.queue")),
            ("completely.different", None),
        ] {
            assert_eq!(nearest(written, known.into_iter()), meant, "{written}");
        }
    }
}
