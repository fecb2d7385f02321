//! The actions of a workflow's definition: a graph by `nextActionId`, of which only *Delete contact* is carried out here.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::criteria::{Finding, Severity};
use super::members::{non_null, parse_id};

/// The `actionTypeId` of *Delete contact*.
const DELETE_CONTACT: &str = "0-18224765";

/// The ids of the *Delete contact* actions, wherever the graph has them. One that is not understood is none, and told of.
pub fn delete_actions(flow: &Value, findings: &mut Vec<Finding>) -> BTreeSet<i64> {
    let mut holders: BTreeMap<i64, usize> = BTreeMap::new();
    for id in actions(flow).iter().filter_map(id_of) {
        *holders.entry(id).or_default() += 1;
    }
    let mut ids = BTreeSet::new();
    let never_run = only_after_a_delete(flow);
    for (index, action) in deletes(flow) {
        match delete_action(action, &holders, &never_run) {
            Ok(id) => drop(ids.insert(id)),
            Err(says) => findings.push(Finding {
                at: format!("$.actions[{index}]"),
                concern: Severity::Unsupported,
                says: says.to_owned(),
            }),
        }
    }
    ids
}

/// The id of a *Delete contact* action, or why it is unknown what it does.
fn delete_action(
    action: &Value,
    holders: &BTreeMap<i64, usize>,
    never_run: &BTreeSet<i64>,
) -> Result<i64, &'static str> {
    // Any version from 0 up is the same action; published examples carry several.
    if non_null(action, "actionTypeVersion").is_some_and(|version| version.as_u64().is_none()) {
        return Err(
            "this Delete contact has an actionTypeVersion that is no number from 0 up: it deletes nothing",
        );
    }
    if non_null(action, "type").is_some_and(|kind| kind != "SINGLE_CONNECTION") {
        return Err("this Delete contact is no SINGLE_CONNECTION: it deletes nothing");
    }
    let is_empty = |fields: &Value| fields.as_object().is_some_and(serde_json::Map::is_empty);
    if non_null(action, "fields").is_some_and(|fields| !is_empty(fields)) {
        return Err("this Delete contact has fields, and nobody knows what they ask for: it deletes nothing");
    }
    let id = id_of(action).ok_or("this Delete contact has no actionId: it deletes nothing")?;
    if holders.get(&id).is_some_and(|count| *count > 1) {
        return Err("two actions have this actionId, so it is unknown which is reached: it deletes nothing");
    }
    if never_run.contains(&id) {
        return Err(
            "this Delete contact comes after another one only, which is the last: it deletes nothing",
        );
    }
    Ok(id)
}

/// The actions to which no way leads but through a *Delete contact*, after which nothing is run.
fn only_after_a_delete(flow: &Value) -> BTreeSet<i64> {
    let after = deletes(flow).flat_map(|(_, action)| next_actions(action)).collect();
    let mut after = follow(flow, after, |_| true);
    let reached = reached(flow).unwrap_or_default();
    after.retain(|id| !reached.contains(id));
    after
}

/// The definition's actions, as it lists them.
fn actions(flow: &Value) -> &[Value] {
    flow.get("actions").and_then(Value::as_array).map_or(&[], Vec::as_slice)
}

/// What stands for *Delete contact*, understood or not, and its place in the list.
pub fn deletes(flow: &Value) -> impl Iterator<Item = (usize, &Value)> {
    actions(flow).iter().enumerate().filter(|(_, action)| is_delete(action))
}

fn is_delete(action: &Value) -> bool {
    action.get("actionTypeId").and_then(Value::as_str) == Some(DELETE_CONTACT)
}

/// The id of an action.
pub fn id_of(action: &Value) -> Option<i64> {
    action.get("actionId").and_then(parse_id)
}

/// The actions that can be reached from the start; `None` where the definition does not say where that is. *Delete
/// contact* leads nowhere.
pub fn reached(flow: &Value) -> Option<BTreeSet<i64>> {
    let start = flow.get("startActionId").and_then(parse_id)?;
    Some(follow(flow, [start].into(), |action| !is_delete(action)))
}

/// These actions, and those to which they lead, as far as their ways may be gone.
fn follow(flow: &Value, from: BTreeSet<i64>, may_be_gone: fn(&Value) -> bool) -> BTreeSet<i64> {
    let ways: BTreeMap<i64, BTreeSet<i64>> = actions(flow)
        .iter()
        .filter(|action| may_be_gone(action))
        .filter_map(|action| Some((id_of(action)?, next_actions(action))))
        .collect();
    let (mut reached, mut ahead) = (BTreeSet::new(), Vec::from_iter(from));
    while let Some(id) = ahead.pop() {
        if reached.insert(id) {
            ahead.extend(ways.get(&id).into_iter().flatten());
        }
    }
    reached
}

/// Every `nextActionId` in an action, whatever branch of it has it.
pub fn next_actions(action: &Value) -> BTreeSet<i64> {
    let mut next = BTreeSet::new();
    let mut within = vec![action];
    while let Some(value) = within.pop() {
        match value {
            Value::Object(members) => {
                next.extend(members.get("nextActionId").and_then(parse_id));
                within.extend(members.values());
            }
            Value::Array(items) => within.extend(items),
            _ => {}
        }
    }
    next
}
