//! Records for `import`, workflow definitions and enrollment events, as short as a test wants to read them.
//!
//! Everything is a plain JSON value: a test that needs another member, or a wrong one, writes it in.

use chrono::{SecondsFormat, TimeDelta, Utc};
use serde_json::{Value, json};

/// The user of [`entitled_account`] with every permission.
pub const ADMIN: i64 = 1;

/// A moment relative to now, the way the records write it; days in the future are negative.
pub fn days_ago(days: i64) -> String {
    moment(TimeDelta::days(-days))
}

/// A moment relative to now; seconds in the future are negative.
pub fn seconds_ago(seconds: i64) -> String {
    moment(TimeDelta::seconds(-seconds))
}

fn moment(offset: TimeDelta) -> String {
    (Utc::now() + offset).to_rfc3339_opts(SecondsFormat::Micros, true)
}

/// Records, or events, one a line.
pub fn lines(records: &[Value]) -> String {
    records.iter().map(|record| record.to_string() + "\n").collect()
}

/// An account that may run workflows, and its administrator.
pub fn entitled_account(id: i64) -> Vec<Value> {
    vec![
        account(id),
        subscription(id, "marketing_hub", "professional", &days_ago(30), None),
        user(id, ADMIN, &["delete", "bulk_delete", "super_admin"]),
    ]
}

pub fn account(id: i64) -> Value {
    json!({"kind": "account", "id": id.to_string(), "name": format!("Account {id}"), "timeZone": "Europe/Berlin"})
}

pub fn subscription(
    account: i64,
    product: &str,
    tier: &str,
    starts_at: &str,
    ends_at: Option<&str>,
) -> Value {
    let mut record = json!({"kind": "subscription", "accountId": account.to_string(), "product": product,
        "tier": tier, "startsAt": starts_at});
    if let Some(ends_at) = ends_at {
        record["endsAt"] = json!(ends_at);
    }
    record
}

pub fn user(account: i64, id: i64, permissions: &[&str]) -> Value {
    json!({"kind": "user", "accountId": account.to_string(), "id": id.to_string(),
        "email": format!("user{id}@account{account}.example"), "permissions": permissions})
}

/// A contact with these properties (an object of strings) beside an address of its own.
pub fn contact(account: i64, id: i64, properties: Value) -> Value {
    let mut record = json!({"kind": "contact", "accountId": account.to_string(), "id": id.to_string(),
        "properties": {"email": format!("contact{id}@account{account}.example")}, "createdAt": days_ago(20)});
    let Value::Object(properties) = properties else { panic!("properties are an object: {properties}") };
    record["properties"].as_object_mut().expect("made above").extend(properties);
    record
}

pub fn segment(account: i64, id: i64, members: &[i64]) -> Value {
    let members: Vec<String> = members.iter().map(i64::to_string).collect();
    json!({"kind": "segment", "accountId": account.to_string(), "id": id.to_string(),
        "name": format!("Segment {id}"), "processingType": "MANUAL", "members": members})
}

/// A record as an association names it.
fn end((object_type, id): (&str, i64)) -> Value {
    json!({"type": object_type, "id": id.to_string()})
}

/// An association of two records of account 1.
pub fn association(from: (&str, i64), to: (&str, i64)) -> Value {
    json!({"kind": "association", "accountId": "1", "from": end(from), "to": end(to)})
}

/// An activity of account 1 on these records.
pub fn activity(id: i64, activity_type: &str, on: &[(&str, i64)]) -> Value {
    let on: Vec<Value> = on.iter().copied().map(end).collect();
    json!({"kind": "activity", "accountId": "1", "id": id.to_string(), "type": activity_type,
        "timestamp": "2026-01-03T10:00:00Z", "properties": {"body": "Something"}, "associations": on})
}

pub fn notification(account: i64, id: i64, contact: i64, created_at: &str) -> Value {
    json!({"kind": "notification", "accountId": account.to_string(), "id": id.to_string(),
        "userId": ADMIN.to_string(), "contactId": contact.to_string(), "contactName": "A Contact",
        "contactEmail": format!("contact{contact}@account{account}.example"), "title": "Something happened",
        "createdAt": created_at})
}

/// An enrollment of the past, or where `active` of the present.
pub fn enrollment(account: i64, workflow: i64, contact: i64, active: bool) -> Value {
    json!({"kind": "enrollment", "accountId": account.to_string(), "workflowId": workflow.to_string(),
        "contactId": contact.to_string(), "enrolledAt": days_ago(2), "active": active})
}

/// A workflow that is on and deletes the contacts that this branch of filters accepts. The definition is
/// under `flow`.
pub fn workflow(account: i64, id: i64, filter_branch: &Value) -> Value {
    let criteria = json!({"type": "LIST_BASED", "listFilterBranch": filter_branch, "shouldReEnroll": false,
        "reEnrollmentTriggersFilterBranches": [], "unEnrollObjectsNotMeetingCriteria": false});
    workflow_with(account, id, &criteria)
}

/// A workflow that is on and deletes the contacts that somebody enrolls by hand.
pub fn manual_workflow(account: i64, id: i64) -> Value {
    workflow_with(account, id, &json!({"type": "MANUAL", "shouldReEnroll": false}))
}

fn workflow_with(account: i64, id: i64, criteria: &Value) -> Value {
    json!({"kind": "workflow", "accountId": account.to_string(), "flow": {
        "type": "CONTACT_FLOW", "objectTypeId": "0-1", "flowType": "WORKFLOW",
        "id": id.to_string(), "name": format!("Workflow {id}"), "isEnabled": true, "revisionId": "1",
        "createdAt": days_ago(25), "updatedAt": days_ago(25), "crmObjectCreationStatus": "COMPLETE",
        "startActionId": "1", "nextAvailableActionId": "2", "canEnrollFromSalesforce": false,
        "actions": [{"actionId": "1", "actionTypeVersion": 0, "actionTypeId": "0-18224765", "fields": {},
            "type": "SINGLE_CONNECTION"}],
        "enrollmentCriteria": criteria, "suppressionListIds": [], "timeWindows": [], "blockedDates": [],
        "customProperties": {}, "dataSources": []}})
}

/// The usual root of a filter: one group whose filters must all pass.
pub fn all_of(filters: &[Value]) -> Value {
    branch("OR", &[branch("AND", &[], filters)], &[])
}

/// A branch of any kind.
pub fn branch(kind: &str, branches: &[Value], filters: &[Value]) -> Value {
    json!({"filterBranchType": kind, "filterBranchOperator": kind, "filterBranches": branches, "filters": filters})
}

/// A filter on a property. What it compares with is left out where it is null, and is written `values` where it
/// is an array.
pub fn property(name: &str, operation_type: &str, operator: &str, compared_with: Value) -> Value {
    let mut operation = json!({"operationType": operation_type, "operator": operator,
        "includeObjectsWithNoValueSet": false});
    match compared_with {
        Value::Null => {}
        values @ Value::Array(_) => operation["values"] = values,
        value => operation["value"] = value,
    }
    json!({"filterType": "PROPERTY", "property": name, "operation": operation})
}

/// A filter on a property that is a time: before this year.
pub fn before_year(name: &str, year: i32) -> Value {
    let mut before = property(name, "TIME_POINT", "IS_BEFORE", Value::Null);
    before["operation"]["timePoint"] =
        json!({"timeType": "DATE", "zoneId": "UTC", "year": year, "month": 1, "day": 1});
    before
}

/// A filter on the membership of a segment: `IN_LIST` or `NOT_IN_LIST`.
pub fn in_list(segment: i64, operator: &str) -> Value {
    json!({"filterType": "IN_LIST", "listId": segment.to_string(), "operator": operator})
}

/// The event that a contact was enrolled in a workflow just now, because it meets the criteria.
pub fn event(account: i64, workflow: i64, contact: i64, enrollment: i64) -> Value {
    let now = seconds_ago(0);
    json!({"specversion": "1.0", "id": format!("{account}-{enrollment}"), "source": "/workflow-engine/test",
        "type": "workflow.enrollment.created", "time": now, "datacontenttype": "application/json",
        "data": {"accountId": account.to_string(), "workflowId": workflow.to_string(), "actionId": "1",
            "enrollmentId": enrollment.to_string(), "objectTypeId": "0-1", "objectId": contact.to_string(),
            "enrolledAt": now, "cause": "CRITERIA"}})
}
