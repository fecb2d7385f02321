//! The model's trash, restore and holds, and how an erase begins; `gone` has what leaves for good.

use std::collections::BTreeSet;

use super::model::{Account, Contact, Decision, Quote, Trash};

/// Why somebody is told no: words that the answer must have.
pub type Refusal = String;

impl Account {
    fn missing(&self, contact: i64) -> Refusal {
        match self.gone.get(&contact) {
            Some(how) => format!("contact {contact} was {how} and is gone for good"),
            None => format!("has no contact {contact}"),
        }
    }

    /// Restorable delete.
    pub fn trash(&mut self, contact: i64, by: &'static str) -> Result<(), Refusal> {
        let missing = self.missing(contact);
        let it = self.contacts.get(&contact).ok_or(missing)?;
        if it.trash.is_some() {
            return Err(format!("contact {contact} is in the trash already"));
        }
        let before = self.stages();
        self.put_into_trash(contact, by, false);
        self.stages_follow(&before, &("contact".to_owned(), contact));
        self.told.push(("contact.deletion", contact));
        Ok(())
    }

    /// Everything about a trash but the companies' stages and the event: what an archived contact arrives with.
    pub fn put_into_trash(&mut self, contact: i64, by: &'static str, old: bool) {
        if let Some(it) = self.contacts.get_mut(&contact) {
            it.trash = Some(Trash { by, old });
        }
        self.entries.push((contact, by, None));
        for segment in self.segments.values_mut().filter(|it| !it.dynamic) {
            segment.members.remove(&contact);
        }
        for ((_, of, _), active) in &mut self.enrollments {
            *active = *active && *of != contact;
        }
    }

    /// A workflow's delete; the enrollment was made an hour ago, or `lately`: after every restore there was.
    pub fn enroll(&mut self, enrollment: i64, (workflow, contact): (i64, i64), once: bool, lately: bool) {
        if self.ledger.contains_key(&enrollment) {
            return;
        }
        let reason = self.stays((workflow, contact), once, lately);
        let outcome = if reason.is_some() { "skipped" } else { "deleted" };
        let decision = Decision { contact, workflow, outcome, reason: reason.unwrap_or_default() };
        self.ledger.insert(enrollment, decision);
        if reason.is_none() {
            self.trash(contact, "workflow").expect("it is live");
        }
    }

    /// Why an enrollment does not delete.
    fn stays(&self, pair: (i64, i64), once: bool, lately: bool) -> Option<&'static str> {
        let contact = pair.1;
        if self.gone.contains_key(&contact) {
            return Some("permanently_deleted");
        }
        let Some(it) = self.contacts.get(&contact) else { return Some("contact_not_found") };
        if it.trash.is_some() {
            return Some("already_in_trash");
        }
        if it.restored && !lately {
            return Some("restored_since_enrollment");
        }
        let imported = self.enrollments.iter().filter(|((w, c, _), _)| (*w, *c) == pair);
        let active: Vec<bool> = imported.map(|(_, active)| *active).collect();
        let deleted = |it: &Decision| (it.workflow, it.contact) == pair && it.outcome == "deleted";
        if active.contains(&true) {
            return Some("already_enrolled");
        }
        let before = !active.is_empty() || self.ledger.values().any(deleted);
        (once && before).then_some("re_enrollment_off")
    }

    pub fn restore(&mut self, contact: i64) -> Result<(), Refusal> {
        let missing = self.missing(contact);
        let it = self.contacts.get(&contact).ok_or(missing)?;
        let trash = it.trash.as_ref().ok_or(format!("contact {contact} is not in the trash"))?;
        if trash.old {
            return Err("more than 90 days ago".to_owned());
        }
        let holds = |(id, other): &(&i64, &Contact)| {
            self.is_live(**id) && !other.addresses.is_disjoint(&it.addresses)
        };
        if let Some((holder, _)) = self.contacts.iter().find(holds) {
            return Err(format!("contact {holder} holds one of its e-mail addresses"));
        }
        let before = self.stages();
        let it = self.contacts.get_mut(&contact).expect("found above");
        it.trash = None;
        it.restored = true;
        self.stages_follow(&before, &("contact".to_owned(), contact));
        self.close(contact, "restored");
        self.told.push(("contact.restore", contact));
        Ok(())
    }

    /// Rule 1: in which order they come back makes no difference, but for who of two with one address comes first.
    pub fn restore_all(&mut self, contacts: &[i64]) {
        let mut backwards = self.clone();
        let come_back = |account: &mut Self, contacts: &mut dyn Iterator<Item = &i64>| -> BTreeSet<i64> {
            contacts.filter(|contact| account.restore(**contact).is_ok()).copied().collect()
        };
        let back = come_back(self, &mut contacts.iter());
        if come_back(&mut backwards, &mut contacts.iter().rev()) == back {
            backwards.told.clone_from(&self.told);
            assert_eq!(backwards, *self, "the order of restores shows");
        }
    }

    pub fn close(&mut self, contact: i64, how: &'static str) {
        let open = self.entries.iter_mut().find(|(id, _, closed)| *id == contact && closed.is_none());
        if let Some((.., closed)) = open {
            *closed = Some(how);
        }
    }

    pub fn hold(&mut self, contact: i64, held: bool) -> Result<(), Refusal> {
        let missing = self.missing(contact);
        match self.contacts.get_mut(&contact) {
            Some(it) if held || it.held => {
                it.held = held;
                Ok(())
            }
            _ if !held => Err(format!("contact {contact} is under no legal hold")),
            _ => Err(missing),
        }
    }

    pub fn expire_notifications(&mut self) {
        self.notifications.retain(|_, it| !it.old);
    }

    /// 30 days after an erasure: quotes without a contact who is not gone.
    pub fn delete_quotes(&mut self) {
        let there: BTreeSet<i64> = self.contacts.keys().copied().collect();
        let goes = |quote: &Quote| quote.orphaned && quote.contacts.is_disjoint(&there);
        let going = self.quotes.iter().filter(|(_, quote)| goes(quote));
        self.forgotten.extend(going.map(|(id, _)| ("quote".to_owned(), *id)));
        self.quotes.retain(|_, quote| !goes(quote));
        for quote in self.quotes.values_mut() {
            quote.orphaned = false;
        }
    }

    pub fn erase(&mut self, contact: i64) -> Result<(), Refusal> {
        let missing = self.missing(contact);
        let it = self.contacts.get(&contact).ok_or(missing)?;
        if it.held {
            return Err(format!("contact {contact} is under a legal hold"));
        }
        self.erase_for_good(contact);
        self.confirmed.push(vec![contact]);
        Ok(())
    }

    /// Every contact of an address; nobody's is suppressed all the same.
    pub fn erase_address(&mut self, address: &str) -> Result<(), Refusal> {
        let people = self.of_address(address);
        if let Some(held) = people.iter().find(|id| self.contacts[id].held) {
            return Err(format!("contact {held} is under a legal hold"));
        }
        if people.is_empty() {
            self.erase_address_for_good(address);
            self.hashed.insert((address.to_owned(), "unsubscribed".to_owned()));
        }
        for contact in &people {
            self.erase_for_good(*contact);
        }
        self.confirmed.push(people);
        Ok(())
    }
}
