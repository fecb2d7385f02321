//! Lifecycle stages: that of a company, derived from its contacts and deals (row 15 of the matrix, **D**), and their dates.

/// The stages in their order; one outside this list counts for nothing.
const STAGES: [&str; 7] = [
    "subscriber",
    "lead",
    "marketingqualifiedlead",
    "salesqualifiedlead",
    "opportunity",
    "customer",
    "evangelist",
];

/// The furthest stage among those of a company's live contacts and its deals; `None` where none counts.
pub fn derive<'a>(
    contact_stages: impl IntoIterator<Item = &'a str>,
    deal_stages: impl IntoIterator<Item = &'a str>,
) -> Option<&'static str> {
    let rank = |stage: &str| STAGES.iter().position(|known| *known == stage);
    let deals = deal_stages.into_iter().filter_map(|stage| match stage {
        "closedwon" => rank("customer"),
        "closedlost" => None,
        _ => rank("opportunity"),
    });
    contact_stages.into_iter().filter_map(rank).chain(deals).max().map(|furthest| STAGES[furthest])
}

/// The stage of which a property says when the contact came to it.
pub fn stage_of(property: &str) -> Option<&str> {
    property.strip_prefix("hs_lifecyclestage_")?.strip_suffix("_date")
}

#[cfg(test)]
mod tests {
    use super::derive;

    #[test]
    fn the_furthest_stage_wins_and_deals_count_as_stages() {
        assert_eq!(derive(["lead", "subscriber"], []), Some("lead"));
        assert_eq!(derive(["lead"], ["open"]), Some("opportunity"));
        assert_eq!(derive(["lead"], ["closedwon", "open"]), Some("customer"));
        assert_eq!(derive(["evangelist"], ["closedwon"]), Some("evangelist"));
        assert_eq!(derive(["lead"], ["closedlost"]), Some("lead"));
    }

    #[test]
    fn without_a_stage_of_the_list_there_is_none() {
        assert_eq!(derive([], []), None);
        assert_eq!(derive(["other", "", "Lead"], ["closedlost"]), None);
    }
}
