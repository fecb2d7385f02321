//! The second matrix in the model: objects and activities in the trash, and what a purge of them leaves.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

use super::deeds::Refusal;
use super::model::{Account, Object, RecordEntry};

/// How activities are known, whatever their type.
pub const ACTIVITY: &str = "activity";

impl Account {
    /// The name of a record in commands: an activity is named by its type.
    pub fn name(&self, (kind, id): &Object) -> Option<String> {
        if kind == ACTIVITY {
            return self.activities.get(id).map(|it| format!("{}:{id}", it.kind));
        }
        Some(format!("{kind}:{id}"))
    }

    fn is_there(&self, object: &Object) -> bool {
        if object.0 == ACTIVITY {
            self.activities.get(&object.1).is_some_and(|it| !it.stub)
        } else {
            self.objects.contains_key(object)
        }
    }

    /// How it went for good, if its trash tells.
    fn ended(&self, object: &Object) -> Option<&'static str> {
        let entries = self.record_entries.iter().filter(|it| it.object == *object);
        entries.filter_map(|it| it.closed).rfind(|how| ["purged", "erased"].contains(how))
    }

    fn missing_record(&self, object: &Object) -> Refusal {
        format!("has no {}", self.name(object).unwrap_or_default().replace(':', " "))
    }

    pub fn trash_record(&mut self, object: &Object) -> Result<(), Refusal> {
        if !self.is_there(object) {
            return Err(self.missing_record(object));
        }
        if self.record_trash.contains_key(object) {
            return Err("is in the trash already".to_owned());
        }
        let before = self.stages();
        self.put_record_into_trash(object, "user", false);
        self.stages_follow(&before, object);
        self.told.push((event(&object.0, "deletion"), object.1));
        Ok(())
    }

    pub fn put_record_into_trash(&mut self, object: &Object, by: &'static str, old: bool) {
        self.record_trash.insert(object.clone(), old);
        self.record_entries.push(RecordEntry { object: object.clone(), by, closed: None });
        if object.0 == "deal" {
            for segment in self.deal_segments.values_mut().filter(|it| !it.dynamic) {
                segment.members.remove(&object.1);
            }
        }
    }

    pub fn restore_record(&mut self, object: &Object) -> Result<(), Refusal> {
        let Some(old) = self.record_trash.get(object) else {
            return Err(match (self.is_there(object), self.ended(object)) {
                (true, _) => "there is nothing to restore".to_owned(),
                (false, Some(how)) => format!("was {how}, is gone for good"),
                (false, None) => self.missing_record(object),
            });
        };
        if *old {
            return Err("more than 90 days ago".to_owned());
        }
        let before = self.stages();
        self.record_trash.remove(object);
        self.stages_follow(&before, object);
        self.close_record(object, "restored");
        self.told.push((event(&object.0, "restore"), object.1));
        Ok(())
    }

    fn close_record(&mut self, object: &Object, how: &'static str) {
        if let Some(open) =
            self.record_entries.iter_mut().find(|it| it.object == *object && it.closed.is_none())
        {
            open.closed = Some(how);
        }
    }

    /// Purges what is in the trash for more than 90 days and on no contact under a legal hold.
    pub fn purge_records(&mut self) {
        let due: BTreeSet<Object> = self
            .record_trash
            .iter()
            .filter(|(object, old)| **old && !self.is_on_a_held_contact(object))
            .map(|(object, _)| object.clone())
            .collect();
        for object in &due {
            self.record_trash.remove(object);
            self.close_record(object, "purged");
            self.told.push((event(&object.0, "purge"), object.1));
            if object.0 == ACTIVITY {
                self.leave_stub(object.1);
            }
        }
        let objects: BTreeSet<Object> = due.into_iter().filter(|object| object.0 != ACTIVITY).collect();
        let alone = |id: &i64, account: &Self| {
            let it = &account.activities[id];
            let in_trash = account.record_trash.contains_key(&(ACTIVITY.to_owned(), *id));
            let on_one = !it.ends.is_disjoint(&objects);
            on_one && it.ends.is_subset(&objects) && it.kind != "task" && !it.stub && !in_trash
        };
        let alone: Vec<i64> = self.activities.keys().copied().filter(|id| alone(id, self)).collect();
        for id in alone {
            self.leave_stub(id);
        }
        for it in self.activities.values_mut() {
            it.ends.retain(|end| !objects.contains(end));
        }
        self.associations.retain(|(from, to, _)| !objects.contains(from) && !objects.contains(to));
        for (kind, id) in &objects {
            match kind.as_str() {
                "company" => drop(self.manual_stages.remove(id)),
                "ticket" => {
                    for it in self.conversations.values_mut() {
                        it.tickets.remove(id);
                    }
                }
                "deal" => {
                    for it in self.deal_segments.values_mut() {
                        it.members.remove(id);
                    }
                }
                other => panic!("the model knows no object of type {other}"),
            }
        }
        self.objects.retain(|object, _| !objects.contains(object));
    }

    fn leave_stub(&mut self, id: i64) {
        if let Some(it) = self.activities.get_mut(&id) {
            it.stub = true;
            it.ends.clear();
            it.properties.clear();
        }
    }

    /// Rule 9: what a held contact shares stays whole.
    fn is_on_a_held_contact(&self, object: &Object) -> bool {
        let held = |id: i64| self.contacts.get(&id).is_some_and(|it| it.held);
        let is_held = |(kind, id): &Object| kind == "contact" && held(*id);
        if object.0 == ACTIVITY {
            return self.activities.get(&object.1).is_some_and(|it| it.ends.iter().any(is_held));
        }
        let talks =
            self.conversations.values().filter(|it| object.0 == "ticket" && it.tickets.contains(&object.1));
        self.partners(object).iter().any(is_held) || talks.filter_map(|it| it.contact).any(held)
    }

    /// After an erasure: what it deleted is in the trash no more.
    pub fn close_erased_records(&mut self) {
        let gone: Vec<Object> =
            self.record_trash.keys().filter(|object| !self.is_there(object)).cloned().collect();
        for object in gone {
            self.record_trash.remove(&object);
            self.close_record(&object, "erased");
        }
    }

    /// Was the object purged? Then it never comes back.
    pub fn is_purged(&self, object: &Object) -> bool {
        self.ended(object) == Some("purged")
    }

    /// `inspect record`, without times and ids of entries.
    pub fn record_view(&self, object: &Object) -> Value {
        let live = self.is_there(object) && !self.record_trash.contains_key(object);
        let state = match (self.is_there(object), live) {
            (true, true) => "live",
            (true, false) => "in_trash",
            (false, _) => match self.ended(object) {
                Some(ended) => ended,
                None if object.0 != ACTIVITY && self.forgotten.contains(object) => "erased",
                None => "unknown",
            },
        };
        let mut visible: BTreeMap<&str, Vec<String>> = BTreeMap::from([
            ("associations", self.ends_that_show(object)),
            ("activities", self.activities_that_show(object)),
            ("conversations", self.conversations_of(object)),
            ("segments", self.segments_of(object)),
            ("quotes", Vec::new()),
        ]);
        for members in visible.values_mut() {
            if !live {
                members.clear();
            }
            members.sort();
            members.dedup();
        }
        json!({"state": state, "visible": visible})
    }

    fn ends_that_show(&self, object: &Object) -> Vec<String> {
        if object.0 == ACTIVITY {
            let ends = self.activities.get(&object.1).into_iter().flat_map(|it| &it.ends);
            return ends.filter(|end| self.shows(end)).map(|(kind, id)| format!("{kind}:{id}")).collect();
        }
        let mut members = Vec::new();
        for (from, to, label) in &self.associations {
            for (own, other) in [(from, to), (to, from)] {
                if own == object && self.shows(other) {
                    let label = if label.is_empty() { String::new() } else { format!(":{label}") };
                    members.push(format!("{}:{}{label}", other.0, other.1));
                }
            }
        }
        members
    }

    fn activities_that_show(&self, object: &Object) -> Vec<String> {
        let on =
            self.activities.iter().filter(|(id, it)| it.ends.contains(object) && self.activity_shows(**id));
        on.map(|(id, _)| id.to_string()).collect()
    }

    /// Is it no stub, and not in the trash?
    pub fn activity_shows(&self, id: i64) -> bool {
        let object = (ACTIVITY.to_owned(), id);
        self.is_there(&object) && !self.record_trash.contains_key(&object)
    }

    fn conversations_of(&self, object: &Object) -> Vec<String> {
        let of = self
            .conversations
            .iter()
            .filter(|(_, it)| object.0 == "ticket" && it.tickets.contains(&object.1));
        of.map(|(id, _)| id.to_string()).collect()
    }

    fn segments_of(&self, object: &Object) -> Vec<String> {
        let of =
            self.deal_segments.iter().filter(|(_, it)| object.0 == "deal" && it.members.contains(&object.1));
        of.map(|(id, _)| id.to_string()).collect()
    }
}

/// The type of the event about a record.
fn event(kind: &str, what: &str) -> &'static str {
    match (kind, what) {
        ("company", "deletion") => "company.deletion",
        ("company", "restore") => "company.restore",
        ("company", _) => "company.purge",
        ("deal", "deletion") => "deal.deletion",
        ("deal", "restore") => "deal.restore",
        ("deal", _) => "deal.purge",
        ("ticket", "deletion") => "ticket.deletion",
        ("ticket", "restore") => "ticket.restore",
        ("ticket", _) => "ticket.purge",
        (_, "deletion") => "object.deletion",
        (_, "restore") => "object.restore",
        _ => "object.purge",
    }
}
