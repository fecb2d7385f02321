//! What the CRM shows under a contact now, read through the views and nothing else.

use std::collections::{BTreeMap, HashMap};

use crate::domain::time::format_time;
use crate::store::StoreError;
use crate::store::db::Tx;
use crate::store::db::values::Arg;

/// The names under which `inspect contact` lists what is visible.
const MEMBER_CATEGORIES: [&str; 18] = [
    "activities",
    "analytics",
    "associations",
    "bots",
    "suppressions",
    "calls",
    "conversations",
    "customEvents",
    "emails",
    "feedback",
    "files",
    "formSubmissions",
    "integrations",
    "lifecycleTransitions",
    "segments",
    "notifications",
    "quotes",
    "workflows",
];

/// By category: the id of each member, or its key where it has none.
pub type Visible = BTreeMap<&'static str, Vec<String>>;

/// What is visible under each of these contacts, every category named.
pub(in crate::store) async fn visible_members(
    tx: &mut Tx,
    account_id: i64,
    contacts: &[i64],
) -> Result<HashMap<i64, Visible>, StoreError> {
    if contacts.is_empty() {
        return Ok(HashMap::new());
    }
    let nothing: Visible = MEMBER_CATEGORIES.into_iter().map(|category| (category, Vec::new())).collect();
    let mut visible: HashMap<i64, Visible> =
        contacts.iter().map(|contact_id| (*contact_id, nothing.clone())).collect();
    let mut add = |contact_id: i64, category: &str, member: String| {
        if let Some(members) = visible.get_mut(&contact_id).and_then(|its| its.get_mut(category)) {
            members.push(member);
        }
    };
    // Not as the usual batch: only what it is told in so many words does SQLite look for inside a view of this kind,
    // instead of making all of the view first.
    let places: Vec<String> = (2..contacts.len() + 2).map(|place| format!("${place}")).collect();
    let these = format!("WHERE account_id = $1 AND contact_id IN ({})", places.join(", "));
    let args: Vec<Arg> = [account_id].iter().chain(contacts).map(|id| Arg::from(*id)).collect();
    let sql = format!("SELECT contact_id, category, member FROM crm_contact_members {these}");
    for row in tx.rows(&sql, &args).await? {
        add(row.int("contact_id")?, &row.text("category")?, row.text("member")?);
    }
    let sql = format!("SELECT contact_id, stage, at FROM crm_lifecycle_transitions {these}");
    for row in tx.rows(&sql, &args).await? {
        let member = format!("{}@{}", row.text("stage")?, format_time(row.time("at")?));
        add(row.int("contact_id")?, "lifecycleTransitions", member);
    }
    for members in visible.values_mut().flat_map(BTreeMap::values_mut) {
        members.sort_by_key(|member| (member.parse::<i64>().unwrap_or(i64::MAX), member.clone()));
    }
    Ok(visible)
}
