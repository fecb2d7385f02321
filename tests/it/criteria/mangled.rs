//! Torn, misspelt and made-up definitions: nothing panics, and what is not understood never comes to accept.

use contact_reaper::domain::criteria::subject::{DataRequirements, Subject};
use contact_reaper::domain::criteria::{Criteria, Filter, Truth};
use contact_reaper::domain::enrollment::Cause;
use contact_reaper::domain::workflow::{Triggers, Workflow};
use serde_json::{Value, json};

use super::cases::{Case, all};
use super::mangling::{Place, Seeds, for_as_long_as_asked, make_hostile, places};
use super::scene::Scene;
use crate::model::Dice;

/// Made-up filters in one run.
const MADE_UP: usize = 5_000;

/// Members that may be missing, by the vendor's schema or because published examples leave them out. Where another member
/// takes its place it stands behind the name.
const MAY_BE_MISSING: [(&str, &str); 36] = [
    ("filterBranchOperator", ""),
    ("filters", "filterBranches"),
    ("filterBranches", "filters"),
    ("filters", "eventTypeId"),
    ("filterBranches", "eventTypeId"),
    ("includeObjectsWithNoValueSet", ""),
    ("operationType", "type"),
    ("type", "operationType"),
    ("value", "values"),
    ("values", "value"),
    ("endpointBehavior", ""),
    ("lowerBoundEndpointBehavior", ""),
    ("upperBoundEndpointBehavior", ""),
    ("propertyParser", ""),
    ("requiresTimeZoneConversion", ""),
    ("timezoneSource", ""),
    ("zoneId", ""),
    ("offset", ""),
    ("hour", ""),
    ("minute", ""),
    ("second", ""),
    ("millisecond", ""),
    ("dayOfWeek", "referenceType"),
    ("month", "referenceType"),
    ("day", "referenceType"),
    ("timeUnitCount", ""),
    ("useFiscalYear", ""),
    ("fiscalYearStart", ""),
    ("defaultComparisonValue", ""),
    ("pruningRefineBy", ""),
    ("coalescingRefineBy", ""),
    ("minOccurrences", ""),
    ("maxOccurrences", ""),
    ("formId", ""),
    ("metadata", ""),
    ("associationCategory", ""),
];
/// Of these a definition without them says less, and accepts more.
const NARROWING: [&str; 4] =
    ["associationTypeId", "goalFilterBranch", "suppressionListIds", "eventFilterBranches"];

#[test]
fn without_a_member_or_with_a_torn_one_a_verdict_stays_or_is_unsupported() {
    for case in all() {
        let scene = Scene::read(&case.scene);
        for place in places(&case.branch) {
            let torn = place.replaced(&case.branch, json!({"?": 0}));
            keeps_its_verdict(&case, &torn, &scene);
            if !may_be_missing(&place, &case.branch) {
                keeps_its_verdict(&case, &place.dropped(&case.branch), &scene);
            }
        }
    }
}

#[test]
fn a_misspelt_member_changes_nothing_or_leaves_the_verdict_open() {
    for case in all() {
        let scene = Scene::read(&case.scene);
        for place in places(&case.branch) {
            let misspelt = place.renamed(&case.branch);
            keeps_its_verdict(&case, &misspelt, &scene);
        }
    }
}

/// Does the schema, or a published example, let this member be missing?
fn may_be_missing(place: &Place, document: &Value) -> bool {
    let siblings = document.pointer(&place.of).and_then(Value::as_object).expect("the object");
    NARROWING.contains(&place.name.as_str())
        || place.of.ends_with("/offset")
        || MAY_BE_MISSING.iter().any(|(name, instead)| {
            *name == place.name && (instead.is_empty() || siblings.contains_key(*instead))
        })
}

fn keeps_its_verdict(case: &Case, branch: &Value, scene: &Scene) {
    let verdict = Criteria::parse(branch, "$").evaluate(scene.subject());
    let kept = verdict == Truth::Unknown || verdict.as_str() == case.verdict;
    assert!(kept, "{}: {branch}: {}, not {}", case.place, verdict.as_str(), case.verdict);
}

#[test]
fn a_member_that_nobody_reads_changes_nothing_or_leaves_the_verdict_open() {
    for case in all() {
        let scene = Scene::read(&case.scene);
        for place in places(&case.branch) {
            let with = place.beside(&case.branch, "zzzzzzzzzzzzzzzzzzzz", json!(["x"]));
            keeps_its_verdict(&case, &with, &scene);
            assert!(Filter::parse(&with, "contact").is_err(), "{with}");
        }
    }
}

#[test]
fn a_torn_definition_never_deletes_whom_the_whole_one_spares() {
    let spared = spared();
    for case in all() {
        let scene = Scene::read(&case.scene);
        for flow in definitions(&case.branch) {
            let whole = deletes(&flow, scene.subject());
            for place in places(&flow).into_iter().filter(|place| spared.contains(&place.name.as_str())) {
                let torn = place.replaced(&flow, json!({"?": 0}));
                assert!(whole || !deletes(&torn, scene.subject()), "{}: {torn}", case.place);
                if !NARROWING.contains(&place.name.as_str()) {
                    let dropped = place.dropped(&flow);
                    assert!(whole || !deletes(&dropped, scene.subject()), "{}: {dropped}", case.place);
                }
            }
        }
    }
}

/// The members of a definition outside its filters.
fn spared() -> Vec<&'static str> {
    vec![
        "type",
        "objectTypeId",
        "isEnabled",
        "actions",
        "actionId",
        "actionTypeId",
        "enrollmentCriteria",
        "listFilterBranch",
        "eventFilterBranches",
        "goalFilterBranch",
        "suppressionListIds",
    ]
}

#[test]
fn nothing_that_is_made_up_panics() {
    let cases = all();
    let seeds = Seeds::of(cases.iter().map(|case| case.branch.clone()).collect());
    let mut dice = Dice::new(0x9e37_79b9_7f4a_7c15);
    for_as_long_as_asked("filters", MADE_UP, || {
        let branch = seeds.mangled(&mut dice);
        let mut scene = cases[dice.roll(cases.len())].scene.clone();
        make_hostile(&mut scene, &mut dice);
        let scene = Scene::read(&scene);
        let criteria = Criteria::parse(&branch, "$");
        let verdict = criteria.evaluate(scene.subject());
        assert_eq!(criteria.explain(scene.subject()).verdict, verdict, "{branch}");
        criteria.asks(&mut DataRequirements::default());
        if let Ok(filter) = Filter::parse(&branch, "contact") {
            assert_eq!(filter.accepts(scene.subject()).ok(), known(verdict), "{branch}");
        }
        for flow in definitions(&branch) {
            let flow = if dice.roll(2) == 0 { seeds.change(&flow, &mut dice) } else { flow };
            deletes(&flow, scene.subject());
            Workflow::parse(&flow).asks(&mut DataRequirements::default());
        }
    });
}

fn known(verdict: Truth) -> Option<bool> {
    match verdict {
        Truth::True => Some(true),
        Truth::False => Some(false),
        Truth::Unknown => None,
    }
}

// --- Definitions ------------------------------------------------------------------------------------------------

/// The branch as criteria, as a goal, and as an event.
fn definitions(branch: &Value) -> [Value; 3] {
    let yes = json!({"filterBranchType": "AND", "filters": [], "filterBranches": []});
    let flow = |criteria: Value, goal: Value, suppression: Value| {
        json!({"id": "5", "type": "CONTACT_FLOW", "objectTypeId": "0-1", "flowType": "WORKFLOW", "isEnabled": true,
            "actions": [{"actionId": "1", "actionTypeId": "0-18224765", "actionTypeVersion": 0, "fields": {},
                "type": "SINGLE_CONNECTION"}],
            "enrollmentCriteria": criteria, "goalFilterBranch": goal, "suppressionListIds": suppression})
    };
    let list = |branch: &Value| json!({"type": "LIST_BASED", "listFilterBranch": branch});
    [
        flow(list(branch), json!(null), json!(null)),
        flow(list(&yes), branch.clone(), json!(["6"])),
        flow(json!({"type": "EVENT_BASED", "eventFilterBranches": [branch]}), json!(null), json!([])),
    ]
}

/// Whether the checks that read the definition let its delete action through.
fn deletes(flow: &Value, subject: Subject<'_>) -> bool {
    let workflow = Workflow::read(flow, &mut Vec::new());
    let cause = match &workflow.triggers {
        Triggers::Events { .. } => Cause::Event,
        _ => Cause::Criteria,
    };
    let spared = |criteria: Option<&Criteria>| {
        criteria.is_none_or(|criteria| criteria.evaluate(subject) == Truth::False)
    };
    let never_closed = workflow.calendar.is_some_and(|calendar| calendar.is_always_open());
    workflow.is_contact_workflow
        && workflow.is_enabled
        && workflow.delete_actions.contains(&1)
        && spared(workflow.goal.as_ref())
        && spared(workflow.suppression.as_ref())
        && never_closed
        && workflow.triggers.met(cause, subject) == Truth::True
}
