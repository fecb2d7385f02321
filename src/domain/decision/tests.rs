use std::collections::HashMap;

use serde_json::{Value, json};

use super::super::enrollment::{Cause, EnrollmentKey, parse_event};
use super::super::entitlement::Tier;
use super::super::time::parse_time;
use super::EnrollmentState::{Active, Over, Waiting};
use super::*;

/// Facts under which contact 512 is deleted; each test spoils one of them.
struct World {
    enrollment: NewEnrollment,
    now: Time,
    decided: Option<Identity>,
    account_exists: bool,
    workflow: Option<Workflow>,
    subscriptions: Vec<Subscription>,
    contact: Contact,
    enrolled: Vec<PastEnrollment>,
    paused: bool,
    limit: Option<Limit>,
    attempt: Attempt,
    awaited: Option<Awaited>,
}

fn time(text: &str) -> Time {
    parse_time(text).unwrap()
}

impl World {
    fn new() -> Self {
        Self {
            enrollment: NewEnrollment {
                key: EnrollmentKey { account_id: 1, enrollment_id: 9001, action_id: 2 },
                workflow_id: 5,
                object_type_id: "0-1".to_owned(),
                object_id: 512,
                enrolled_at: time("2026-11-21T10:00:00Z"),
                cause: Cause::Criteria,
                event: None,
                trace: None,
            },
            now: time("2026-11-21T10:00:01Z"),
            decided: None,
            account_exists: true,
            workflow: Some(Workflow::parse(&flow())),
            subscriptions: vec![Subscription {
                tier: Tier::Professional,
                starts_at: time("2026-01-01T00:00:00Z"),
                ends_at: None,
            }],
            contact: live("lead", None),
            enrolled: Vec::new(),
            paused: false,
            limit: None,
            attempt: Attempt::First,
            awaited: None,
        }
    }

    fn decide(&self) -> Decision {
        decide(
            &self.enrollment,
            &Facts {
                now: self.now,
                ledger_retention: Duration::from_hours(120 * 24),
                attempt: self.attempt,
                decided: self.decided.as_ref(),
                account_exists: self.account_exists,
                workflow: self.workflow.as_ref(),
                subscriptions: &self.subscriptions,
                contact: &self.contact,
                unfinished_import: None,
                enrolled: &self.enrolled,
                zone: Some(Tz::UTC),
                around: &RelatedData::default(),
                paused: self.paused,
                limit: self.limit,
                awaited: self.awaited,
            },
        )
    }

    fn flow(&mut self, member: &str, value: Value) {
        let mut flow = flow();
        *flow.pointer_mut(member).unwrap() = value;
        self.workflow = Some(Workflow::parse(&flow));
    }
}

fn live(stage: &str, restored_at: Option<Time>) -> Contact {
    let properties = [("lifecyclestage".to_owned(), stage.to_owned())].into();
    Contact::Live {
        restored_at,
        record: Record { properties, history: HashMap::new(), created_at: None, is_partial: false },
    }
}

fn flow() -> Value {
    let is_lead = json!({"filterBranchType": "AND", "filterBranches": [],
        "filters": [{"filterType": "PROPERTY", "property": "lifecyclestage",
            "operation": {"operationType": "ENUMERATION", "operator": "IS_ANY_OF", "values": ["lead"]}}]});
    json!({"id": "5", "type": "CONTACT_FLOW", "objectTypeId": "0-1", "flowType": "WORKFLOW",
        "isEnabled": true, "timeWindows": [], "blockedDates": [], "suppressionListIds": [],
        "goalFilterBranch": null,
        "actions": [{"actionId": "2", "actionTypeId": "0-18224765", "actionTypeVersion": 0}],
        "enrollmentCriteria": {"type": "LIST_BASED", "shouldReEnroll": false,
            "reEnrollmentTriggersFilterBranches": [], "listFilterBranch": is_lead}})
}

fn past(enrollment_id: Option<i64>, enrolled_at: &str, standing: EnrollmentState) -> PastEnrollment {
    PastEnrollment { enrollment_id, enrolled_at: time(enrolled_at), standing }
}

#[test]
fn every_check_passed_deletes() {
    assert_eq!(World::new().decide(), Decision::Delete);
}

#[test]
fn each_check_decides_with_its_own_reason() {
    type Spoil = fn(&mut World);
    let cases: Vec<(&str, Spoil)> = vec![
        ("enrollment_too_old", |world| world.enrollment.enrolled_at = time("2026-07-24T10:00:00.999999Z")),
        ("object_type_not_supported", |world| world.enrollment.object_type_id = "0-2".to_owned()),
        ("account_not_found", |world| world.account_exists = false),
        ("paused", |world| {
            world.paused = true;
            world.workflow = None;
        }),
        ("workflow_not_found", |world| world.workflow = None),
        ("workflow_type_not_supported", |world| world.flow("/type", json!("PLATFORM_FLOW"))),
        ("action_not_in_workflow", |world| world.enrollment.key.action_id = 3),
        ("workflow_off", |world| world.flow("/isEnabled", json!(false))),
        ("subscription_required", |world| world.subscriptions[0].tier = Tier::Starter),
        ("contact_not_found", |world| world.contact = Contact::Unknown),
        ("already_in_trash", |world| world.contact = Contact::InTrash),
        ("permanently_deleted", |world| world.contact = Contact::Gone),
        ("restored_since_enrollment", |world| {
            world.contact = live("lead", Some(time("2026-11-21T10:00:00.5Z")));
        }),
        ("already_enrolled", |world| {
            world.enrolled = vec![past(Some(8000), "2026-11-20T10:00:00Z", Active)];
        }),
        ("re_enrollment_off", |world| world.enrolled = vec![past(None, "2026-11-20T10:00:00Z", Over)]),
        ("criteria_not_met", |world| world.contact = live("customer", None)),
        ("criteria_unsupported", |world| {
            world.flow("/enrollmentCriteria/listFilterBranch/filters/0/operation/operator", json!("NEAR"));
        }),
        ("criteria_unsupported", |world| world.flow("/goalFilterBranch", json!({"filters": []}))),
        ("criteria_unsupported", |world| world.flow("/suppressionListIds", json!([4]))),
        ("criteria_unsupported", |world| world.flow("/timeWindows", json!([{"day": "HOLIDAY"}]))),
        ("criteria_unsupported", |world| world.flow("/blockedDates", json!([{"month": "MAY"}]))),
        // The 21st of November 2026 is a Saturday.
        ("outside_time_window", |world| world.flow("/timeWindows", json!([{"day": "MONDAY"}]))),
        ("blocked_date", |world| {
            world.limit = Some(Limit::Share);
            world.flow("/blockedDates", json!([{"dayOfMonth": 21, "month": "NOVEMBER"}]));
        }),
        ("volume_guard", |world| world.limit = Some(Limit::Workflow)),
        ("criteria_unsupported", |world| world.flow("/enrollmentCriteria/type", json!("EVENT_BASED"))),
    ];
    for (reason, spoil) in cases {
        let mut world = World::new();
        spoil(&mut world);
        assert_eq!(world.decide().reason(), Some(reason));
    }
}

#[test]
fn the_first_check_that_fails_decides() {
    let mut world = World::new();
    world.contact = Contact::InTrash;
    world.flow("/isEnabled", json!(false));
    assert_eq!(world.decide(), Decision::Skip(SkipReason::WorkflowOff));
    world.account_exists = false;
    assert_eq!(world.decide(), Decision::Refuse(RefuseReason::AccountNotFound));
}

#[test]
fn an_approval_exempts_from_the_guard_alone() {
    let mut world = World::new();
    (world.attempt, world.limit) = (Attempt::Approved, Some(Limit::Account));
    assert_eq!(world.decide(), Decision::Delete);
    world.paused = true;
    assert_eq!(world.decide(), Decision::Hold(HoldReason::Paused));
}

#[test]
fn a_deferred_enrollment_comes_within_a_quarter_of_an_hour_after_the_opening() {
    let mut world = World::new();
    world.flow("/timeWindows", json!([{"day": "MONDAY"}]));
    let Decision::Defer(DeferReason::OutsideTimeWindow, until) = world.decide() else {
        panic!("not deferred")
    };
    let opening = time("2026-11-23T00:00:00Z");
    assert!((opening..opening + TimeDelta::minutes(15)).contains(&until), "{until}");
}

#[test]
fn an_event_that_was_forgotten_never_deletes() {
    let mut world = World::new();
    world.enrollment.cause = Cause::Event;
    assert_eq!(world.decide(), Decision::Refuse(RefuseReason::CriteriaUnsupported));
}

#[test]
fn a_repetition_is_a_duplicate_and_another_object_under_its_key_a_conflict() {
    let mut world = World::new();
    world.decided = Some(world.enrollment.identity());
    world.account_exists = false;
    assert_eq!(world.decide(), Decision::Duplicate);
    world.enrollment.object_id = 513;
    assert_eq!(world.decide().reason(), Some("conflicting_duplicate"));
    world.enrollment.object_id = 512;
    world.enrollment.workflow_id = 6;
    assert_eq!(world.decide().reason(), Some("conflicting_duplicate"));
}

#[test]
fn clocks_may_differ_by_five_minutes_and_no_more() {
    let mut world = World::new();
    world.enrollment.enrolled_at = world.now + TimeDelta::minutes(5);
    assert_eq!(world.decide(), Decision::Delete);
    world.enrollment.enrolled_at += TimeDelta::microseconds(1);
    assert_eq!(world.decide().reason(), Some("malformed"));
}

#[test]
fn an_enrollment_counts_as_before_a_restore_up_to_five_seconds_after_it() {
    let mut world = World::new();
    world.contact = live("lead", Some(world.enrollment.enrolled_at - RESTORE_GRACE));
    assert_eq!(world.decide(), Decision::Delete);
    world.contact =
        live("lead", Some(world.enrollment.enrolled_at - RESTORE_GRACE + TimeDelta::microseconds(1)));
    assert_eq!(world.decide(), Decision::Skip(SkipReason::RestoredSinceEnrollment));
}

#[test]
fn neither_its_own_row_nor_a_later_enrollment_counts_as_before() {
    let mut world = World::new();
    world.enrolled = vec![
        past(Some(9001), "2026-11-20T10:00:00Z", Active),
        past(None, "2026-11-21T10:00:00Z", Active),
        past(Some(9002), "2026-11-21T10:00:00Z", Active),
        past(Some(8000), "2026-11-21T10:00:00.000001Z", Active),
    ];
    assert_eq!(world.decide(), Decision::Delete);
    world.enrolled = vec![past(Some(9000), "2026-11-21T10:00:00Z", Active)];
    assert_eq!(world.decide(), Decision::Skip(SkipReason::AlreadyEnrolled));
}

#[test]
fn what_waits_is_on_its_way_and_what_is_over_came_first_whenever_it_was_made() {
    let skipped = |world: &World, reason| assert_eq!(world.decide(), Decision::Skip(reason));
    let (earlier, later) = ("2026-11-20T10:00:00Z", "2026-11-21T10:00:00.000001Z");
    let mut world = World::new();
    for (before, once) in [
        (past(Some(8000), earlier, Waiting), Some(SkipReason::ReEnrollmentOff)),
        (past(Some(8000), later, Waiting), None),
        (past(Some(8000), later, Over), Some(SkipReason::ReEnrollmentOff)),
        (past(None, later, Over), Some(SkipReason::ReEnrollmentOff)),
        // The CRM tells of this very enrollment.
        (past(None, "2026-11-21T10:00:00Z", Over), None),
        (past(Some(9001), earlier, Over), None),
        (past(Some(9001), earlier, Waiting), None),
    ] {
        world.enrolled = vec![before];
        match once {
            Some(reason) => skipped(&world, reason),
            None => assert_eq!(world.decide(), Decision::Delete, "{:?}", world.enrolled),
        }
    }
    // Where it may enroll again, it may not while it waits.
    world.flow("/enrollmentCriteria/shouldReEnroll", json!(true));
    world.enrolled = vec![past(Some(8000), later, Over)];
    assert_eq!(world.decide(), Decision::Delete);
    world.enrolled = vec![past(Some(8000), earlier, Waiting)];
    skipped(&world, SkipReason::AlreadyEnrolled);
}

#[test]
fn what_waited_when_the_contact_was_restored_is_over() {
    let mut world = World::new();
    world.enrolled = vec![past(Some(8000), "2026-11-20T10:00:00Z", Waiting)];
    let restored_at = world.enrolled[0].enrolled_at;
    world.contact = live("lead", Some(restored_at));
    assert_eq!(world.decide(), Decision::Skip(SkipReason::ReEnrollmentOff));
    world.flow("/enrollmentCriteria/shouldReEnroll", json!(true));
    assert_eq!(world.decide(), Decision::Delete);
    // One that was made after the restore is on its way.
    world.contact = live("lead", Some(restored_at - RESTORE_GRACE));
    assert_eq!(world.decide(), Decision::Skip(SkipReason::AlreadyEnrolled));
}

#[test]
fn re_enrollment_needs_a_trigger_as_well_as_the_criteria() {
    let mut world = World::new();
    world.enrollment.cause = Cause::ReEnrollment;
    world.enrolled = vec![past(None, "2026-11-20T10:00:00Z", Over)];
    world.flow("/enrollmentCriteria/shouldReEnroll", json!(true));
    assert_eq!(world.decide(), Decision::Skip(SkipReason::CriteriaNotMet));
    let mut re_enrolling = flow();
    let criteria = &mut re_enrolling["enrollmentCriteria"];
    criteria["shouldReEnroll"] = json!(true);
    criteria["reEnrollmentTriggersFilterBranches"] = json!([criteria["listFilterBranch"].clone()]);
    world.workflow = Some(Workflow::parse(&re_enrolling));
    assert_eq!(world.decide(), Decision::Delete);
    // The store does not know of an earlier enrollment.
    world.enrolled.clear();
    assert_eq!(world.decide(), Decision::Delete);
    re_enrolling["enrollmentCriteria"]["shouldReEnroll"] = json!(false);
    world.workflow = Some(Workflow::parse(&re_enrolling));
    assert_eq!(world.decide(), Decision::Skip(SkipReason::CriteriaNotMet));
}

#[test]
fn a_manual_enrollment_is_spared_the_criteria_and_nothing_else() {
    let mut world = World::new();
    world.enrollment.cause = Cause::Manual;
    world.contact = live("customer", None);
    assert_eq!(world.decide(), Decision::Delete);
    world.flow("/enrollmentCriteria/type", json!("DATASET"));
    assert_eq!(world.decide(), Decision::Delete);
    world.enrolled = vec![past(None, "2026-11-20T10:00:00Z", Over)];
    assert_eq!(world.decide(), Decision::Skip(SkipReason::ReEnrollmentOff));
    world.enrolled.clear();
    world.flow("/suppressionListIds", json!([4]));
    assert_eq!(world.decide(), Decision::Refuse(RefuseReason::CriteriaUnsupported));
}

#[test]
fn a_workflow_for_manual_enrollment_has_no_criteria_to_meet() {
    let mut world = World::new();
    world.flow("/enrollmentCriteria/type", json!("MANUAL"));
    assert_eq!(world.decide(), Decision::Skip(SkipReason::CriteriaNotMet));
    world.enrollment.cause = Cause::Manual;
    assert_eq!(world.decide(), Decision::Delete);
}

#[test]
fn the_event_of_the_contract_is_read_into_these_facts() {
    let body = json!({"specversion": "1.0", "id": "m", "source": "/e",
        "type": "workflow.enrollment.created",
        "data": {"accountId": "1", "workflowId": "5", "actionId": "2", "enrollmentId": "9001",
            "objectTypeId": "0-1", "objectId": "512", "enrolledAt": "2026-11-21T10:00:00Z",
            "cause": "CRITERIA"}});
    assert_eq!(parse_event(body.to_string().as_bytes()).unwrap(), World::new().enrollment);
}

#[test]
fn a_contact_that_is_not_there_yet_is_waited_for_at_growing_intervals() {
    let mut world = World::new();
    world.contact = Contact::Unknown;
    let first = world.now;
    let mut decided_after = |patience: u64, millis: i64| {
        world.now = first + TimeDelta::milliseconds(millis);
        world.awaited = Some(Awaited { since: first, patience: Duration::from_secs(patience) });
        match world.decide() {
            Decision::Defer(DeferReason::AwaitingContact, at) => Some((at - first).num_milliseconds()),
            Decision::Skip(SkipReason::ContactNotFound) => None,
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(decided_after(60, 0), Some(1_000));
    assert_eq!(decided_after(60, 1_000), Some(2_000));
    assert_eq!(decided_after(60, 8_000), Some(16_000));
    assert_eq!(decided_after(60, 59_999), Some(60_000), "the last look is at the end");
    assert_eq!(decided_after(60, 60_000), None);
    assert_eq!(decided_after(0, 0), None);
    assert_eq!(decided_after(60, -1), None, "first missed in the future: whoever says so had a wrong clock");
    world.contact = live("lead", None);
    world.now = first;
    assert_eq!(world.decide(), Decision::Delete, "it came");
}
