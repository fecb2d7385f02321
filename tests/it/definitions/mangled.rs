//! Whole definitions, torn and made up: nothing panics, and whoever is deleted is deleted by a definition that says so.

use std::time::Duration;

use contact_reaper::domain::criteria::subject::DataRequirements;
use contact_reaper::domain::criteria::{Finding, Severity};
use contact_reaper::domain::decision::{Attempt, Contact, Decision, Facts, decide, explain};
use contact_reaper::domain::enrollment::{Cause, EnrollmentKey, NewEnrollment};
use contact_reaper::domain::entitlement::{Subscription, Tier};
use contact_reaper::domain::lint::lint;
use contact_reaper::domain::workflow::Workflow;
use serde_json::{Map, Value, json};

use super::scene::scenes;
use super::{Definition, all};
use crate::criteria::mangling::{Seeds, for_as_long_as_asked, make_hostile, places};
use crate::criteria::scene::Scene;
use crate::model::Dice;

/// Made-up definitions in one run.
const MADE_UP: usize = 3_000;

const CAUSES: [Cause; 4] = [Cause::Criteria, Cause::Event, Cause::ReEnrollment, Cause::Manual];

#[test]
fn a_torn_definition_deletes_nobody_whom_the_whole_one_spares() {
    for (Definition { path, flow, .. }, scenes) in seen() {
        let deletes = |flow: &Value, scene: &Scene| decided(flow, scene, Cause::Criteria) == Decision::Delete;
        for scene in scenes.iter().map(Scene::read).filter(|scene| !deletes(&flow, scene)) {
            // An id that two actions share is none; torn off one of them it is the other's.
            for place in places(&flow).into_iter().filter(|place| place.name != "actionId") {
                let torn = place.replaced(&flow, json!({"?": 0}));
                assert!(!deletes(&torn, &scene), "{}: {torn}", path.display());
            }
        }
    }
}

#[test]
fn no_made_up_definition_panics_or_deletes_without_saying_so() {
    let seen = seen();
    let seeds = Seeds::of(seen.iter().map(|(definition, _)| definition.flow.clone()).collect());
    let mut dice = Dice::new(0x2545_f491_4f6c_dd1d);
    for_as_long_as_asked("definitions", MADE_UP, || {
        let is_noise = dice.roll(8) == 0;
        let flow = if is_noise { seeds.noise(&mut dice) } else { seeds.mangled(&mut dice) };
        let (_, scenes) = &seen[dice.roll(seen.len())];
        let mut members = scenes[dice.roll(scenes.len())].clone();
        make_hostile(&mut members, &mut dice);
        let scene = Scene::read(&members);
        let (_, findings) = lint(&flow);
        Workflow::parse(&flow).asks(&mut DataRequirements::default());
        for cause in CAUSES {
            if decided(&flow, &scene, cause) == Decision::Delete {
                assert!(!is_noise && says_so(&flow, cause, &findings), "{cause:?}: {flow}");
            }
        }
    });
}

/// Each definition and the contacts that it is asked about.
fn seen() -> Vec<(Definition, Vec<Map<String, Value>>)> {
    let with_scenes = |definition| {
        let scenes = scenes(&definition);
        (definition, scenes)
    };
    all().into_iter().map(with_scenes).collect()
}

/// Whether the definition, read as plain JSON, is one that may delete for this cause.
fn says_so(flow: &Value, cause: Cause, findings: &[Finding]) -> bool {
    let is = |member: &str, expected: &str| flow[member] == expected;
    let kinds = ["LIST_BASED", "EVENT_BASED"];
    let enrolls = kinds.iter().any(|kind| flow["enrollmentCriteria"]["type"] == **kind);
    let actions = flow["actions"].as_array().map_or(&[][..], Vec::as_slice);
    let not_understood = |finding: &&Finding| finding.concern == Severity::Unsupported;
    let refuses = |at: &str| match at {
        "$.type" => true,
        "$.enrollmentCriteria" => cause != Cause::Manual,
        at => at.starts_with("$.timeWindows") || at.starts_with("$.blockedDates"),
    };
    is("type", "CONTACT_FLOW")
        && is("objectTypeId", "0-1")
        && (flow["flowType"].is_null() || is("flowType", "WORKFLOW"))
        && flow["isEnabled"] == true
        && actions.iter().any(|action| action["actionTypeId"] == "0-18224765")
        && (enrolls || cause == Cause::Manual)
        && !findings.iter().filter(not_understood).any(|finding| refuses(&finding.at))
}

/// What becomes of a live contact of an account that may delete; the explanation must say the same.
fn decided(flow: &Value, scene: &Scene, cause: Cause) -> Decision {
    let subject = scene.subject();
    let workflow = Workflow::parse(flow);
    let enrollment = NewEnrollment {
        key: EnrollmentKey {
            account_id: 1,
            enrollment_id: 1,
            action_id: workflow.delete_actions.first().copied().unwrap_or(1),
        },
        workflow_id: 5,
        object_type_id: "0-1".to_owned(),
        object_id: 1,
        enrolled_at: subject.now,
        cause,
        event: subject.event.cloned(),
        trace: None,
    };
    let facts = Facts {
        now: subject.now,
        ledger_retention: Duration::from_hours(24),
        attempt: Attempt::First,
        decided: None,
        account_exists: true,
        workflow: Some(&workflow),
        subscriptions: &[Subscription { tier: Tier::Professional, starts_at: subject.now, ends_at: None }],
        contact: &Contact::Live { restored_at: None, record: subject.record.clone() },
        unfinished_import: None,
        enrolled: &[],
        zone: subject.zone,
        around: subject.around.expect("a contact's"),
        paused: false,
        limit: None,
        awaited: None,
    };
    let decision = decide(&enrollment, &facts);
    assert_eq!(explain(&enrollment, &facts).verdict, decision.verdict(), "{flow}");
    decision
}
