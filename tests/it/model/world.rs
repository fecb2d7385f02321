//! The records behind the cases, and bodies that nobody can decide.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::{
    ABSENT, ACCOUNTS, BY_HAND, BY_SCORE, BY_SEGMENT, Case, ENDED, Earlier, NOT_UNDERSTOOD, OF_DEALS, SEGMENT,
    STARTER, SWITCHED_OFF, State,
};
use crate::support::records::{self, days_ago, seconds_ago};

/// Everything to import before the first event; who is to be purged or restored is not yet.
pub fn world(cases: &[Case]) -> Vec<Value> {
    let mut world = Vec::new();
    for (id, product, tier, ends_at) in [
        (1, "marketing_hub", "professional", None),
        (STARTER, "marketing_hub", "starter", None),
        (ENDED, "sales_hub", "professional", Some(days_ago(1))),
        (4, "service_hub", "enterprise", Some(days_ago(-30))),
    ] {
        world.push(records::account(id));
        world.push(records::subscription(id, product, tier, &days_ago(400), ends_at.as_deref()));
        world.push(records::user(id, records::ADMIN, &["super_admin"]));
        world.extend(workflows(id));
    }
    let mut known: BTreeMap<(i64, i64), &Case> =
        cases.iter().map(|case| ((case.account, case.contact), case)).collect();
    known.retain(|_, case| case.state != State::Unknown);
    for case in known.values() {
        let score = json!({"score": case.score.to_string()});
        let mut contact = records::contact(case.account, case.contact, score);
        let archived = match case.state {
            State::InTrash => Some(days_ago(3)),
            State::Purged => Some(days_ago(91)),
            _ => None,
        };
        if let Some(at) = archived {
            contact["archived"] = json!(true);
            contact["archivedAt"] = json!(at);
        }
        world.push(contact);
        if case.earlier != Earlier::None {
            let active = case.earlier == Earlier::Active;
            world.push(records::enrollment(case.account, case.workflow, case.contact, active));
        }
    }
    for (account, _) in ACCOUNTS.iter().filter(|(id, _)| *id != ABSENT) {
        let members = known.values().filter(|case| case.account == *account && case.member);
        world.push(records::segment(
            *account,
            SEGMENT,
            &members.map(|case| case.contact).collect::<Vec<_>>(),
        ));
    }
    world
}

fn workflows(account: i64) -> Vec<Value> {
    use records::{all_of, in_list, property, workflow};
    let above = all_of(&[property("score", "NUMBER", "IS_GREATER_THAN", json!(49))]);
    let mut by_score = workflow(account, BY_SCORE, &above);
    let mut another = by_score["flow"]["actions"][0].clone();
    another["actionId"] = json!("3");
    by_score["flow"]["actions"].as_array_mut().expect("a list").push(another);
    let mut by_segment = workflow(account, BY_SEGMENT, &all_of(&[in_list(SEGMENT, "IN_LIST")]));
    by_segment["flow"]["enrollmentCriteria"]["shouldReEnroll"] = json!(true);
    let mut off = workflow(account, SWITCHED_OFF, &above);
    off["flow"]["isEnabled"] = json!(false);
    let mut of_deals = workflow(account, OF_DEALS, &above);
    of_deals["flow"]["type"] = json!("PLATFORM_FLOW");
    of_deals["flow"]["objectTypeId"] = json!("0-3");
    let unknown = all_of(&[json!({"filterType": "PRIVACY", "privacyName": "n", "operator": "x"})]);
    let not_understood = workflow(account, NOT_UNDERSTOOD, &unknown);
    vec![by_score, by_segment, off, of_deals, not_understood, records::manual_workflow(account, BY_HAND)]
}

/// A body that must be set aside, why, and the place it must be said of.
pub struct Faulty {
    pub body: Vec<u8>,
    pub reason: &'static str,
    pub place: &'static str,
}

/// As many bodies, no two equal, with something wrong in turn; `decided` were decided before.
pub fn faulty(count: usize, decided: &[Case]) -> Vec<Faulty> {
    (0..count).map(|number| one_faulty(number, decided)).collect()
}

fn one_faulty(number: usize, decided: &[Case]) -> Faulty {
    let id = 700_000 + i64::try_from(number).expect("a small number");
    let mut event = records::event(1, BY_SCORE, id, id);
    let member = |event: &mut Value, pointer: &str, value: Value| {
        *event.pointer_mut(pointer).expect("the event has this member") = value;
    };
    let (reason, place) = match number % 12 {
        0 => {
            let body = format!("{{\"specversion\": \"1.0\", \"id\": {id}").into_bytes();
            return Faulty { body, reason: "malformed", place: "body" };
        }
        1 => {
            let body = [&[0xff, 0xfe, 0x00][..], id.to_string().as_bytes()].concat();
            return Faulty { body, reason: "malformed", place: "body" };
        }
        2 => {
            let mut body = event.to_string().into_bytes();
            body.resize(256 * 1024 + 1, b' ');
            return Faulty { body, reason: "too_large", place: "body" };
        }
        3 => {
            event["data"].as_object_mut().expect("an object").remove("objectId");
            ("malformed", "$.data.objectId")
        }
        4 => {
            member(&mut event, "/data/accountId", json!(["1"]));
            ("malformed", "$.data.accountId")
        }
        5 => {
            member(&mut event, "/data/workflowId", json!("9223372036854775808"));
            ("malformed", "$.data.workflowId")
        }
        6 => {
            member(&mut event, "/data/enrolledAt", json!("yesterday"));
            ("malformed", "$.data.enrolledAt")
        }
        7 => {
            member(&mut event, "/data/enrolledAt", json!(seconds_ago(-3600)));
            ("malformed", "$.data.enrolledAt")
        }
        8 => {
            member(&mut event, "/data/cause", json!("BECAUSE"));
            ("malformed", "$.data.cause")
        }
        9 => {
            member(&mut event, "/data", Value::Null);
            ("malformed", "$.data")
        }
        10 => {
            member(&mut event, "/type", json!("workflow.enrollment.completed"));
            ("unsupported_type", "$.type")
        }
        // The key of an enrollment that was decided, and another contact.
        _ => {
            let earlier = &decided[number % decided.len()];
            event = earlier.body();
            member(&mut event, "/data/objectId", json!(id.to_string()));
            ("conflicting_duplicate", "$.data")
        }
    };
    Faulty { body: event.to_string().into_bytes(), reason, place }
}
