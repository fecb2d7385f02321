//! The model's erase and purge: what leaves for good, what stays without the person, and what is redacted in it.

use std::collections::BTreeSet;

use super::model::{Account, Conversation, Object, Words};

const REDACTED: &str = "[redacted]";

/// Which of the two columns of the matrix.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    Erase,
    Purge,
}

impl Account {
    pub fn erase_for_good(&mut self, contact: i64) {
        let was_live = self.is_live(contact);
        if was_live {
            // Whoever is erased leaves the companies as whoever is trashed does.
            self.trash(contact, "user").expect("it is live");
            self.told.pop();
            self.entries.pop();
        }
        for quote in self.quotes.values_mut() {
            quote.orphaned |= quote.contacts.remove(&contact);
        }
        self.remove(&[contact].into(), Way::Erase);
        self.told.extend(was_live.then_some(("contact.deletion", contact)));
        self.told.push(("contact.privacyDeletion", contact));
    }

    /// Whoever is in the trash for more than 90 days, and under no hold.
    pub fn purge(&mut self) {
        let due =
            self.contacts.iter().filter(|(_, it)| !it.held && it.trash.as_ref().is_some_and(|it| it.old));
        let due: BTreeSet<i64> = due.map(|(id, _)| *id).collect();
        if !due.is_empty() {
            self.remove(&due, Way::Purge);
        }
    }

    fn remove(&mut self, people: &BTreeSet<i64>, way: Way) {
        let traces = self.traces(people);
        let addresses = self.addresses_of_none_but(people);
        let how = if way == Way::Erase { "erased" } else { "purged" };
        self.conversations_go(people, way);
        for contact in people {
            self.contacts.remove(contact);
            self.gone.insert(*contact, how);
            self.close(*contact, how);
        }
        self.activities_go(people);
        self.associations.retain(|(from, to, _)| !is_one(people, from) && !is_one(people, to));
        self.own_rows_go(people, way);
        self.hash(addresses);
        self.redact(&traces, way);
    }

    /// Rows 4 and 8.
    fn conversations_go(&mut self, people: &BTreeSet<i64>, way: Way) {
        let of_them = |it: &Conversation| it.contact.is_some_and(|contact| people.contains(&contact));
        let tickets: BTreeSet<i64> = self
            .conversations
            .values()
            .filter(|it| of_them(it) && it.channel != "bot")
            .flat_map(|it| it.tickets.clone())
            .collect();
        if way == Way::Erase {
            let (_, alone): (Vec<i64>, Vec<i64>) =
                tickets.into_iter().partition(|ticket| self.another_is_on(*ticket, people));
            for ticket in alone {
                let ticket: Object = ("ticket".to_owned(), ticket);
                self.objects.remove(&ticket);
                for activity in self.activities.values_mut() {
                    activity.ends.remove(&ticket);
                }
            }
        }
        self.conversations.retain(|_, it| !(of_them(it) && (it.channel == "bot" || way == Way::Erase)));
        for conversation in self.conversations.values_mut().filter(|it| of_them(it)) {
            conversation.contact = None;
        }
    }

    /// Is another contact who is not gone on the ticket, by association or by a conversation?
    fn another_is_on(&self, ticket: i64, people: &BTreeSet<i64>) -> bool {
        let other = |contact: i64| !people.contains(&contact) && self.contacts.contains_key(&contact);
        let talking = |it: &Conversation| it.tickets.contains(&ticket) && it.contact.is_some_and(other);
        let partners = self.partners(&("ticket".to_owned(), ticket));
        partners.iter().any(|(kind, id)| kind == "contact" && other(*id))
            || self.conversations.values().any(talking)
    }

    /// Rows 1, 6 and 10: what nobody else is associated with leaves its stub, but tasks stay.
    fn activities_go(&mut self, people: &BTreeSet<i64>) {
        let mut activities = std::mem::take(&mut self.activities);
        for activity in activities.values_mut().filter(|it| it.ends.iter().any(|end| is_one(people, end))) {
            activity.ends.retain(|end| !is_one(people, end));
            redact_headers(&mut activity.properties);
            if activity.kind != "task" && !activity.ends.iter().any(|end| self.exists(end)) {
                activity.stub = true;
                activity.ends.clear();
                activity.properties.clear();
            }
        }
        self.activities = activities;
    }

    /// What is of the contact alone.
    fn own_rows_go(&mut self, people: &BTreeSet<i64>, way: Way) {
        let theirs = |contact: &i64| people.contains(contact);
        for event in self.analytics.values_mut() {
            event.contact = event.contact.filter(|contact| !theirs(contact));
        }
        self.custom_events.retain(|_, it| !theirs(&it.contact));
        self.feedback.retain(|_, it| !theirs(&it.contact));
        self.integrations.retain(|(contact, _), _| !theirs(contact));
        self.transitions.retain(|(contact, ..)| !theirs(contact));
        self.enrollments.retain(|(_, contact, _), _| !theirs(contact));
        let submissions = &self.submissions;
        let uploaded =
            |id: Option<i64>| id.and_then(|id| submissions.get(&id)).is_some_and(|it| theirs(&it.contact));
        self.files.retain(|_, it| !uploaded(it.submission));
        for submission in self.submissions.values().filter(|it| theirs(&it.contact)) {
            *self.past_submissions.entry(submission.form.clone()).or_default() += 1;
        }
        self.submissions.retain(|_, it| !theirs(&it.contact));
        let files = self.files.values_mut().map(|it| &mut it.contacts);
        let quotes = self.quotes.values_mut().map(|it| &mut it.contacts);
        for links in files.chain(quotes).chain(self.segments.values_mut().map(|it| &mut it.members)) {
            links.retain(|contact| !theirs(contact));
        }
        self.notifications.retain(|_, it| !(way == Way::Erase && it.contact.is_some_and(|it| theirs(&it))));
        for notification in self.notifications.values_mut() {
            notification.contact = notification.contact.filter(|contact| !theirs(contact));
        }
    }

    /// Row 5: kept as hashes, and in force no more.
    pub fn hash(&mut self, addresses: BTreeSet<String>) {
        let (gone, kept) = std::mem::take(&mut self.deliverability)
            .into_iter()
            .partition(|(address, _)| addresses.contains(address));
        self.deliverability = kept;
        self.hashed.extend::<BTreeSet<_>>(gone);
        self.hashed.extend(addresses.into_iter().map(|address| (address, "erased".to_owned())));
    }

    /// The addresses of these people, former ones too, that nobody else has.
    fn addresses_of_none_but(&self, people: &BTreeSet<i64>) -> BTreeSet<String> {
        let mut addresses = BTreeSet::new();
        for it in people.iter().map(|id| &self.contacts[id]) {
            addresses.extend(it.addresses.iter().cloned());
            addresses
                .extend(it.history.get("email").into_iter().flatten().map(|former| former.to_lowercase()));
        }
        addresses.retain(|address| {
            address.contains('@') && self.of_address(address).iter().all(|id| people.contains(id))
        });
        addresses
    }

    /// What tells these people apart in a text, in lower case: addresses, phone numbers, full names, of now and before.
    fn traces(&self, people: &BTreeSet<i64>) -> BTreeSet<String> {
        let mut traces = self.addresses_of_none_but(people);
        for it in people.iter().map(|id| &self.contacts[id]) {
            let values = |property: &str| -> Vec<String> {
                let former = it.history.get(property).into_iter().flatten();
                former.chain(it.properties.get(property)).map(|value| value.to_lowercase()).collect()
            };
            traces.extend(values("phone"));
            for (first, last) in values("firstname")
                .iter()
                .flat_map(|first| values("lastname").into_iter().map(move |last| (first, last)))
            {
                traces.extend([format!("{first} {last}"), format!("{last}, {first}")]);
            }
        }
        traces
    }

    /// Rule 4; a purge leaves rows 17 and 18 as they are.
    fn redact(&mut self, traces: &BTreeSet<String>, way: Way) {
        let mut texts: Vec<&mut String> = Vec::new();
        texts.extend(self.objects.values_mut().flat_map(Words::values_mut));
        texts.extend(self.activities.values_mut().flat_map(|it| it.properties.values_mut()));
        texts.extend(self.conversations.values_mut().map(|it| &mut it.text));
        texts
            .extend(self.custom_events.values_mut().chain(self.feedback.values_mut()).map(|it| &mut it.text));
        texts.extend(self.files.values_mut().map(|it| &mut it.name));
        texts.extend(self.submissions.values_mut().map(|it| &mut it.text));
        texts.extend(self.integrations.values_mut());
        for it in self.contacts.values_mut() {
            texts.extend(it.properties.values_mut());
            texts.extend(it.history.values_mut().flatten());
        }
        if way == Way::Erase {
            texts.extend(self.quotes.values_mut().map(|it| &mut it.title));
            texts.extend(
                self.notifications.values_mut().flat_map(|it| [&mut it.name, &mut it.email, &mut it.title]),
            );
        }
        for text in texts {
            let clean = |phrase: &str| {
                if traces.contains(&phrase.to_lowercase()) { REDACTED.to_owned() } else { phrase.to_owned() }
            };
            *text = text.split(" / ").map(clean).collect::<Vec<_>>().join(" / ");
        }
    }
}

fn is_one(people: &BTreeSet<i64>, (kind, id): &Object) -> bool {
    kind == "contact" && people.contains(id)
}

/// Row 3: who wrote to whom.
pub(super) fn redact_headers(properties: &mut Words) {
    for (name, value) in properties {
        if name == "hs_email_headers" {
            "GDPR_DELETED".clone_into(value);
        } else if name.starts_with("hs_email_to_") || name.starts_with("hs_email_sender_") {
            REDACTED.clone_into(value);
        }
    }
}
