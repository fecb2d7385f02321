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
        .map(|name| (strsim::levenshtein(written, name), name))
        .filter(|(count, _)| *count <= allowed)
        .min()
        .map(|(_, name)| name)
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
