//! The model's erase and purge: what leaves for good, what stays without the person, and what is redacted in it.

use std::collections::BTreeSet;

use super::model::{Account, Contact, Conversation, File, Notification, Object, Words};
use super::records::ACTIVITY;

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
            let was_on_it = quote.contacts.remove(&contact);
            quote.orphaned |= was_on_it;
            quote.was_of = was_on_it.then_some(contact);
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
            self.told.extend(due.iter().map(|contact| ("contact.purge", *contact)));
            self.remove(&due, Way::Purge);
        }
    }

    fn remove(&mut self, people: &BTreeSet<i64>, way: Way) {
        let own = self.addresses_of_none_but(people);
        let how = if way == Way::Erase { "erased" } else { "purged" };
        if way == Way::Erase {
            let held = people.iter().flat_map(|id| &self.contacts[id].addresses);
            let shared: Vec<_> = held.filter(|it| it.contains('@') && !own.contains(*it)).cloned().collect();
            // They count as the erased person's once no contact has them.
            self.hashed.extend(shared.into_iter().map(|address| (address, how.to_owned())));
            let traces = self.traces(people);
            self.conversations_go(people, way);
            self.redact_shared(people, &traces);
            self.leave(people, way, how);
            self.notifications_go(&traces.addresses);
            self.redact_addresses(&traces.addresses);
            self.hash(traces.addresses, how);
            self.close_erased_records();
        } else {
            self.conversations_go(people, way);
            self.leave(people, way, how);
            self.hash(own, how);
        }
    }

    /// Notifications to an address of the person that are of no contact any more.
    fn notifications_go(&mut self, addresses: &BTreeSet<String>) {
        let theirs = |it: &Notification| it.contact.is_none() && addresses.contains(&it.email.to_lowercase());
        self.notifications.retain(|_, it| !theirs(it));
    }

    /// An erasure by an address that no contact has: where it stands, the name goes that a notification shows beside it.
    pub fn erase_address_for_good(&mut self, address: &str) {
        let unlinked = self
            .notifications
            .values()
            .filter(|it| it.contact.is_none() && it.email.to_lowercase() == address);
        let parts: Vec<(String, String)> = unlinked
            .filter_map(|it| {
                it.name.to_lowercase().split_once(' ').map(|(a, b)| (a.to_owned(), b.to_owned()))
            })
            .collect();
        let names: BTreeSet<String> = parts
            .iter()
            .flat_map(|(first, last)| [format!("{first} {last}"), format!("{last}, {first}")])
            .collect();
        let addresses = BTreeSet::from([address.to_owned()]);
        self.notifications_go(&addresses);
        self.redact_naming(address, &names);
        self.redact_addresses(&addresses);
        self.hash(addresses, "erased");
    }

    /// Rule 4 b for rows that name an address.
    fn redact_naming(&mut self, address: &str, names: &BTreeSet<String>) {
        let contacts = self.contacts.clone();
        let clean = |texts: Vec<&mut String>, on_it: &BTreeSet<i64>| {
            let names_it =
                |text: &&mut String| text.split(" / ").any(|phrase| phrase.to_lowercase() == address);
            let others: Vec<&Contact> = on_it.iter().filter_map(|contact| contacts.get(contact)).collect();
            if !texts.iter().any(names_it) || others.iter().any(|it| it.held) {
                return false;
            }
            let theirs: BTreeSet<String> = others.iter().flat_map(|it| it.names_and_numbers()).collect();
            let left: BTreeSet<String> =
                names.difference(&theirs).cloned().chain([address.to_owned()]).collect();
            for text in texts {
                redact(text, &left);
            }
            true
        };
        for it in self.activities.values_mut() {
            let on_it = it.ends.iter().filter(|(kind, _)| kind == "contact").map(|(_, id)| *id).collect();
            if clean(it.properties.values_mut().collect(), &on_it) {
                redact_headers(&mut it.properties);
            }
        }
        for it in self.conversations.values_mut() {
            clean(vec![&mut it.text], &it.contact.into_iter().collect());
        }
        for it in self.quotes.values_mut() {
            clean(vec![&mut it.title], &it.contacts);
        }
        for it in self.files.values_mut() {
            clean(vec![&mut it.name], &it.contacts);
        }
        for it in self.notifications.values_mut() {
            clean(vec![&mut it.name, &mut it.email, &mut it.title], &it.contact.into_iter().collect());
        }
        for it in self.feedback.values_mut() {
            clean(vec![&mut it.text], &[it.contact].into());
        }
    }

    /// The people and what is of them alone.
    fn leave(&mut self, people: &BTreeSet<i64>, way: Way, how: &'static str) {
        for contact in people {
            self.contacts.remove(contact);
            self.gone.insert(*contact, how);
            self.close(*contact, how);
        }
        self.activities_go(people, way);
        self.associations.retain(|(from, to, _)| !is_one(people, from) && !is_one(people, to));
        self.own_rows_go(people, way);
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
                // One that was only named, and never there, was not deleted.
                if self.objects.remove(&ticket).is_some() {
                    self.forgotten.insert(ticket.clone());
                }
                for activity in self.activities.values_mut() {
                    activity.ends.remove(&ticket);
                }
            }
        }
        let goes = |it: &Conversation| of_them(it) && (it.channel == "bot" || way == Way::Erase);
        let going = self.conversations.iter().filter(|(_, it)| goes(it) && way == Way::Erase);
        self.forgotten.extend(going.map(|(id, _)| ("conversation".to_owned(), *id)));
        self.conversations.retain(|_, it| !goes(it));
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
    fn activities_go(&mut self, people: &BTreeSet<i64>, way: Way) {
        let mut activities = std::mem::take(&mut self.activities);
        let of_people = activities.iter_mut().filter(|(_, it)| it.ends.iter().any(|end| is_one(people, end)));
        for (id, activity) in of_people {
            activity.ends.retain(|end| !is_one(people, end));
            let held = activity.ends.iter().any(|(kind, id)| kind == "contact" && self.is_held(*id));
            if way == Way::Erase && !held {
                redact_headers(&mut activity.properties);
            }
            // One that is named counts, imported or not, unless it was erased.
            // What a user deleted has its own time, but for an erasure.
            let in_trash = self.record_trash.contains_key(&(ACTIVITY.to_owned(), *id));
            let goes = activity.kind != "task" && (way == Way::Erase || !in_trash);
            if goes && activity.ends.iter().all(|end| self.forgotten.contains(end)) {
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
        let goes = |it: &File| uploaded(it.submission) && !it.contacts.iter().any(|id| self.is_held(*id));
        let going: BTreeSet<i64> = self.files.iter().filter(|(_, it)| goes(it)).map(|(id, _)| *id).collect();
        self.files.retain(|id, _| !going.contains(id));
        if way == Way::Erase {
            self.forgotten.extend(going.into_iter().map(|id| ("file".to_owned(), id)));
        }
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
    pub fn hash(&mut self, addresses: BTreeSet<String>, mark: &str) {
        let (gone, kept) = std::mem::take(&mut self.deliverability)
            .into_iter()
            .partition(|(address, _)| addresses.contains(address));
        self.deliverability = kept;
        self.hashed.extend::<BTreeSet<_>>(gone);
        self.hashed.extend(addresses.into_iter().map(|address| (address, mark.to_owned())));
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

    fn is_held(&self, contact: i64) -> bool {
        self.contacts.get(&contact).is_some_and(|it| it.held)
    }

    /// What identifies these people in a text, in lower case.
    fn traces(&self, people: &BTreeSet<i64>) -> Traces {
        let mut traces = Traces { addresses: self.addresses_of_none_but(people), others: BTreeSet::new() };
        for it in people.iter().map(|id| &self.contacts[id]) {
            traces.others.extend(it.names_and_numbers());
            // An address that another contact does not have identifies, whatever property it is the value of.
            let former = it.history.get("assistant").into_iter().flatten();
            let assistants = former.chain(it.properties.get("assistant")).map(|value| value.to_lowercase());
            traces.addresses.extend(assistants.filter(|value| {
                value.contains('@')
                    && !value.contains(' ')
                    && self.of_address(value).iter().all(|id| people.contains(id))
            }));
        }
        traces
    }

    /// Rule 4 b: in what was the person's as well, everything but what another contact on it has too.
    fn redact_shared(&mut self, people: &BTreeSet<i64>, traces: &Traces) {
        let contacts = self.contacts.clone();
        let clean = |texts: Vec<&mut String>, on_it: BTreeSet<i64>| {
            let others: Vec<&Contact> =
                on_it.difference(people).filter_map(|contact| contacts.get(contact)).collect();
            if on_it.is_disjoint(people) || others.iter().any(|it| it.held) {
                return;
            }
            let theirs: BTreeSet<String> = others.iter().flat_map(|it| it.names_and_numbers()).collect();
            let left = traces.others.difference(&theirs).chain(&traces.addresses).cloned().collect();
            for text in texts {
                redact(text, &left);
            }
        };
        for it in self.activities.values_mut() {
            let on_it = it.ends.iter().filter(|(kind, _)| kind == "contact").map(|(_, id)| *id).collect();
            clean(it.properties.values_mut().collect(), on_it);
        }
        for it in self.quotes.values_mut() {
            // The link of the person went already.
            let on_it = it.contacts.iter().copied().chain(it.was_of.iter().copied()).collect();
            clean(vec![&mut it.title], on_it);
        }
        for it in self.files.values_mut() {
            clean(vec![&mut it.name], it.contacts.clone());
        }
    }

    /// Rule 4 c and d: addresses, wherever they stand but in what is of another contact or under a legal hold.
    fn redact_addresses(&mut self, addresses: &BTreeSet<String>) {
        let held: BTreeSet<i64> = self.contacts.iter().filter(|(_, it)| it.held).map(|(id, _)| *id).collect();
        let is_held = |(kind, id): &Object| kind == "contact" && held.contains(id);
        let shared_by_held: BTreeSet<Object> = self
            .objects
            .keys()
            .filter(|object| {
                let talks = |it: &Conversation| {
                    it.contact.is_some_and(|contact| held.contains(&contact))
                        && object.0 == "ticket"
                        && it.tickets.contains(&object.1)
                };
                self.partners(object).iter().any(is_held) || self.conversations.values().any(talks)
            })
            .cloned()
            .collect();
        let free = |contact: Option<i64>| contact.is_none_or(|contact| !held.contains(&contact));
        let mut texts: Vec<&mut String> = Vec::new();
        texts.extend(
            self.objects
                .iter_mut()
                .filter(|(object, _)| !shared_by_held.contains(*object))
                .flat_map(|(_, it)| it.values_mut()),
        );
        let activities = self.activities.values_mut().filter(|it| !it.ends.iter().any(is_held));
        texts.extend(activities.flat_map(|it| it.properties.values_mut()));
        texts.extend(self.conversations.values_mut().filter(|it| free(it.contact)).map(|it| &mut it.text));
        texts.extend(
            self.custom_events.values_mut().filter(|it| free(Some(it.contact))).map(|it| &mut it.text),
        );
        texts.extend(self.feedback.values_mut().filter(|it| free(Some(it.contact))).map(|it| &mut it.text));
        texts.extend(
            self.files.values_mut().filter(|it| it.contacts.is_disjoint(&held)).map(|it| &mut it.name),
        );
        texts
            .extend(self.submissions.values_mut().filter(|it| free(Some(it.contact))).map(|it| &mut it.text));
        let integrations = self.integrations.iter_mut().filter(|((contact, _), _)| free(Some(*contact)));
        texts.extend(integrations.map(|(_, text)| text));
        texts.extend(
            self.quotes.values_mut().filter(|it| it.contacts.is_disjoint(&held)).map(|it| &mut it.title),
        );
        texts.extend(
            self.notifications
                .values_mut()
                .filter(|it| free(it.contact))
                .flat_map(|it| [&mut it.name, &mut it.email, &mut it.title]),
        );
        for text in texts {
            redact(text, addresses);
        }
    }
}

/// What identifies people, in lower case: addresses, and phone numbers with full names in either order, current and former.
struct Traces {
    addresses: BTreeSet<String>,
    others: BTreeSet<String>,
}

impl Contact {
    fn names_and_numbers(&self) -> BTreeSet<String> {
        let values = |property: &str| -> Vec<String> {
            let former = self.history.get(property).into_iter().flatten();
            former.chain(self.properties.get(property)).map(|value| value.to_lowercase()).collect()
        };
        let mut traces: BTreeSet<String> = values("phone").into_iter().collect();
        // Of any other property only what begins with a plus is a number for sure.
        let assistants = values("assistant");
        let parts = assistants.iter().flat_map(|it| it.split(" / ")).map(str::to_owned);
        traces.extend(parts.filter(|it| it.starts_with('+')));
        for first in values("firstname") {
            for last in values("lastname") {
                traces.extend([format!("{first} {last}"), format!("{last}, {first}")]);
            }
        }
        traces
    }
}

pub(super) fn redact(text: &mut String, traces: &BTreeSet<String>) {
    let clean = |phrase: &str| {
        if traces.contains(&phrase.to_lowercase()) { REDACTED.to_owned() } else { phrase.to_owned() }
    };
    *text = text.split(" / ").map(clean).collect::<Vec<_>>().join(" / ");
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
