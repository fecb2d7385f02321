//! What an import does to the model: the contract's "Records for `import`", and rule 10.

use std::collections::BTreeSet;

use serde_json::Value;

use super::deeds::Refusal;
use super::gone::{redact, redact_headers};
use super::model::{
    Account, Activity, Analytics, Contact, Conversation, File, Notification, Object, Owned, Quote, Segment,
    Submission, Words,
};

/// What an activity is associated with.
pub type Ends = BTreeSet<Object>;

/// What makes a whole file fail.
#[derive(Default)]
struct Wrong {
    unknown: BTreeSet<i64>,
}

impl Account {
    /// All of the records, which are of this account, or none.
    pub fn import(&mut self, records: &[Value]) -> Result<(), Refusal> {
        let mut after = self.clone();
        let mut wrong = Wrong::default();
        // Kind by kind, whatever the order in the file: contacts are there when their records come.
        let (contacts, others): (Vec<_>, Vec<_>) = records.iter().partition(|it| it["kind"] == "contact");
        for record in contacts.into_iter().chain(others) {
            after.take(record, &mut wrong);
        }
        if let Some(contact) = wrong.unknown.iter().find(|id| !after.contacts.contains_key(*id)) {
            return Err(format!("names contact {contact}, which neither the file nor the store has"));
        }
        let live = || after.contacts.iter().filter(|(_, it)| it.trash.is_none());
        for (id, it) in live() {
            if live().any(|(other, held)| other > id && !held.addresses.is_disjoint(&it.addresses)) {
                return Err("an address belongs to one".to_owned());
            }
        }
        *self = after;
        Ok(())
    }

    fn take(&mut self, record: &Value, wrong: &mut Wrong) {
        let kind = text(record, "kind");
        if let Some(contact) = record.get("contactId").and_then(parse) {
            if self.gone.contains_key(&contact) {
                return;
            }
            wrong.unknown.insert(contact);
            if !self.is_forgotten(&kind, record) {
                self.take_owned(&kind, contact, record);
            }
            return;
        }
        if self.is_forgotten(&kind, record) {
            return;
        }
        match kind.as_str() {
            "contact" => self.take_contact(record),
            "company" | "deal" | "ticket" => {
                let object = (kind, id(record, "id"));
                if self.is_purged(&object) {
                    return;
                }
                let words = self.incoming_words(&record["properties"]);
                let is_new = self.objects.insert(object.clone(), words).is_none();
                if is_new && record["archived"] == true {
                    let archived_at = record["archivedAt"].as_str().expect("a time");
                    let old = archived_at < super::graph::ninety_days_ago().as_str();
                    self.put_record_into_trash(&object, "import", old);
                }
            }
            "segment" if record["objectTypeId"] == "0-3" => {
                let dynamic = text(record, "processingType") == "DYNAMIC";
                let deal = |id: &i64| ("deal".to_owned(), *id);
                let in_trash = |id: &i64| self.record_trash.contains_key(&deal(id));
                let hidden = self.deal_segments.get(&id(record, "id")).into_iter().flat_map(|it| &it.members);
                let hidden: BTreeSet<i64> = hidden.copied().filter(in_trash).collect();
                let named = ids(record, "members").into_iter().chain(hidden);
                let members =
                    named.filter(|it| !self.is_purged(&deal(it)) && (dynamic || !in_trash(it))).collect();
                self.deal_segments.insert(id(record, "id"), Segment { dynamic, members });
            }
            "association" => {
                let (from, to) = (end(&record["from"]), end(&record["to"]));
                if !self.leads_nowhere(&from) && !self.leads_nowhere(&to) {
                    self.associations.insert((from, to, text(record, "label")));
                }
            }
            "activity" => self.take_activity(record),
            "deliverability" => {
                let (address, status) = (text(record, "email").to_lowercase(), text(record, "status"));
                let of_nobody = self.of_address(&address).is_empty();
                self.deliverability.insert((address.clone(), status));
                let marked = |mark: &&str| self.hashed.contains(&(address.clone(), (*mark).to_owned()));
                if of_nobody && ["erased", "purged"].iter().any(marked) {
                    self.hash([address].into(), "purged");
                }
            }
            "segment" => {
                let dynamic = text(record, "processingType") == "DYNAMIC";
                let in_trash =
                    |contact: &i64| self.contacts.get(contact).is_some_and(|it| it.trash.is_some());
                let hidden = self.segments.get(&id(record, "id")).into_iter().flat_map(|it| &it.members);
                let hidden: BTreeSet<i64> = hidden.copied().filter(in_trash).collect();
                let named = ids(record, "members").into_iter().chain(hidden);
                let members =
                    named.filter(|it| !self.gone.contains_key(it) && (dynamic || !in_trash(it))).collect();
                self.segments.insert(id(record, "id"), Segment { dynamic, members });
            }
            "file" | "quote" => self.take_shared(&kind, record),
            other => panic!("the model knows no record of kind {other}"),
        }
    }

    fn is_gone(&self, (kind, id): &Object) -> bool {
        kind == "contact" && self.gone.contains_key(id)
    }

    /// Nothing leads to a contact who is gone, or to an object that was purged or that an erasure deleted.
    fn leads_nowhere(&self, end: &Object) -> bool {
        self.is_gone(end) || self.is_purged(end) || self.forgotten.contains(end)
    }

    fn is_erased(&self, (kind, id): &Object) -> bool {
        kind == "contact" && self.gone.get(id) == Some(&"erased")
    }

    /// What an erasure deleted never comes back.
    fn is_forgotten(&self, kind: &str, record: &Value) -> bool {
        let key = record.get("id").and_then(parse).unwrap_or_default();
        self.forgotten.contains(&(kind.to_owned(), key))
    }

    /// A text as it comes in: without addresses of erased people that no contact has.
    fn incoming(&self, mut text: String) -> String {
        let erased = self
            .hashed
            .iter()
            .filter(|(address, status)| status == "erased" && self.of_address(address).is_empty());
        redact(&mut text, &erased.map(|(address, _)| address.clone()).collect());
        text
    }

    fn incoming_words(&self, properties: &Value) -> Words {
        words(properties).into_iter().map(|(name, text)| (name, self.incoming(text))).collect()
    }

    fn take_contact(&mut self, record: &Value) {
        let contact = id(record, "id");
        if self.gone.contains_key(&contact) {
            return;
        }
        let known = self.contacts.contains_key(&contact);
        let properties = words(&record["properties"]);
        let additional = record["additionalEmails"].as_array().into_iter().flatten();
        let additional = additional.map(|address| address.as_str().expect("an address").to_owned());
        let addresses: BTreeSet<String> = additional
            .chain(properties.get("email").cloned())
            .map(|address| address.to_lowercase())
            .collect();
        let history = record["propertiesWithHistory"].as_object().into_iter().flatten();
        let values = |versions: &Value| -> Vec<String> {
            versions.as_array().into_iter().flatten().map(|version| text(version, "value")).collect()
        };
        let mut it = self.contacts.remove(&contact).unwrap_or_default();
        for (name, versions) in history {
            it.history.entry(name.clone()).or_default().extend(values(versions));
        }
        // What a record replaces is not forgotten.
        for (name, former) in it.properties.iter().filter(|(name, it)| properties.get(*name) != Some(*it)) {
            it.history.entry(name.clone()).or_default().push(former.clone());
        }
        for former in it.addresses.difference(&addresses) {
            it.history.entry("email".to_owned()).or_default().push(former.clone());
        }
        self.contacts.insert(contact, Contact { properties, addresses: addresses.clone(), ..it });
        if !known && record["archived"] == true {
            let old =
                record["archivedAt"].as_str().expect("a time") < super::graph::ninety_days_ago().as_str();
            self.put_into_trash(contact, "import", old);
        }
        // Suppression outlives the person: what was kept of an address is in force with whoever has it now.
        let back = |(address, status): &&(String, String)| {
            addresses.contains(address) && status != "erased" && status != "purged"
        };
        self.deliverability.extend(self.hashed.iter().filter(back).cloned());
    }

    fn take_activity(&mut self, record: &Value) {
        let ends: Ends = record["associations"].as_array().into_iter().flatten().map(end).collect();
        if !ends.is_empty() && ends.iter().all(|end| self.is_gone(end)) {
            return;
        }
        let of_erased = ends.iter().any(|end| self.is_erased(end));
        if self.activities.get(&id(record, "id")).is_some_and(|it| it.stub || of_erased) {
            return;
        }
        let mut properties = self.incoming_words(&record["properties"]);
        if of_erased {
            redact_headers(&mut properties);
        }
        let activity = Activity {
            kind: text(record, "type"),
            at: text(record, "timestamp"),
            stub: false,
            properties,
            ends: ends.into_iter().filter(|end| !self.leads_nowhere(end)).collect(),
        };
        self.activities.insert(id(record, "id"), activity);
    }

    /// Files and quotes: skipped where all their contacts are gone.
    fn take_shared(&mut self, kind: &str, record: &Value) {
        let (named, key) = (ids(record, "contactIds"), id(record, "id"));
        let contacts: BTreeSet<i64> =
            named.iter().copied().filter(|contact| !self.gone.contains_key(contact)).collect();
        if contacts.is_empty() && !named.is_empty() {
            return;
        }
        let is_there =
            if kind == "file" { self.files.contains_key(&key) } else { self.quotes.contains_key(&key) };
        if is_there && named.iter().any(|contact| self.gone.get(contact) == Some(&"erased")) {
            return;
        }
        if kind == "file" {
            let submission = record.get("formSubmissionId").and_then(parse);
            let name = self.incoming(text(record, "name"));
            self.files.insert(key, File { name, submission, contacts });
        } else {
            let orphaned = self.quotes.get(&key).is_some_and(|it| it.orphaned);
            let title = self.incoming(text(record, "title"));
            self.quotes.insert(key, Quote { title, contacts, orphaned, was_of: None });
        }
    }

    fn take_owned(&mut self, kind: &str, contact: i64, record: &Value) {
        let key = record.get("id").and_then(parse).unwrap_or_default();
        let owned = |text: String| Owned { contact, text };
        let incoming = |value: &Value, name: &str| self.incoming(text(value, name));
        match kind {
            "customEvent" => {
                drop(self.custom_events.insert(key, owned(incoming(&record["properties"], "about"))));
            }
            "feedback" => drop(self.feedback.insert(key, owned(incoming(record, "text")))),
            "formSubmission" => {
                let text = incoming(&record["values"], "about");
                let form = self::text(record, "formId");
                self.submissions.insert(key, Submission { contact, form, text });
            }
            "integration" => {
                let text = incoming(&record["payload"], "about");
                self.integrations.insert((contact, self::text(record, "source")), text);
            }
            "lifecycleTransition" => {
                self.transitions.insert((contact, text(record, "stage"), text(record, "at")));
            }
            "conversation" => {
                let (channel, tickets) = (text(record, "channel"), ids(record, "ticketIds"));
                let text = incoming(&record["messages"][0], "text");
                self.conversations
                    .insert(key, Conversation { contact: Some(contact), channel, tickets, text });
            }
            "analyticsEvent" => {
                let (kind, source, at) =
                    (text(record, "type"), text(record, "source"), text(record, "occurredAt"));
                self.analytics.insert(key, Analytics { contact: Some(contact), kind, source, at });
            }
            "notification" => {
                let old = text(record, "createdAt") < super::graph::thirty_days_ago();
                let [name, email, title] =
                    ["contactName", "contactEmail", "title"].map(|name| incoming(record, name));
                self.notifications
                    .insert(key, Notification { contact: Some(contact), name, email, title, old });
            }
            "enrollment" => {
                // Rule 12: every restore of a play is younger than the enrollments of its graph.
                let may_be = self.contacts.get(&contact).is_none_or(|it| it.trash.is_none() && !it.restored);
                let key = (id(record, "workflowId"), contact, text(record, "enrolledAt"));
                self.enrollments.insert(key, record["active"] == true && may_be);
            }
            other => panic!("the model knows no record of kind {other}"),
        }
    }
}

fn parse(value: &Value) -> Option<i64> {
    value.as_str()?.parse().ok()
}

fn id(record: &Value, member: &str) -> i64 {
    parse(&record[member]).unwrap_or_else(|| panic!("{member} of {record}"))
}

fn ids(record: &Value, member: &str) -> BTreeSet<i64> {
    record[member].as_array().into_iter().flatten().filter_map(parse).collect()
}

fn text(record: &Value, member: &str) -> String {
    record[member].as_str().unwrap_or_default().to_owned()
}

fn end(value: &Value) -> Object {
    (text(value, "type"), id(value, "id"))
}

fn words(properties: &Value) -> Words {
    let members = properties.as_object().expect("properties");
    members.iter().map(|(name, value)| (name.clone(), value.as_str().expect("a string").to_owned())).collect()
}
