//! What the model shows: every contact and every page, in the shapes of the contract.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::model::{Account, Activity, Object};

/// The categories of `inspect contact`, each with its members.
pub type Visible = BTreeMap<&'static str, Vec<String>>;

impl Account {
    /// `inspect contact`, without times and ids of entries.
    pub fn contact_view(&self, contact: i64) -> Value {
        let Some(it) = self.contacts.get(&contact) else {
            let state = self.gone.get(&contact).copied().unwrap_or("unknown");
            return json!({"state": state, "properties": null, "deletedBy": null, "visible": self.members(contact)});
        };
        let state = if it.trash.is_some() { "in_trash" } else { "live" };
        let by = it.trash.as_ref().map(|it| it.by);
        json!({"state": state, "properties": it.properties, "deletedBy": by, "visible": self.members(contact)})
    }

    fn members(&self, contact: i64) -> Visible {
        let live = self.is_live(contact);
        let own = ("contact".to_owned(), contact);
        let of = |kinds: &[&str]| -> Vec<String> {
            let on =
                self.activities.iter().filter(|(id, it)| it.ends.contains(&own) && self.activity_shows(**id));
            on.filter(|(_, it)| kinds.contains(&it.kind.as_str())).map(|(id, _)| id.to_string()).collect()
        };
        let mut visible = Visible::from([
            ("activities", of(&["note", "task", "meeting"])),
            ("calls", of(&["call"])),
            ("emails", of(&["email"])),
            ("associations", self.association_members(&own)),
            ("analytics", keys(&self.analytics, |it| it.contact == Some(contact))),
            ("bots", keys(&self.conversations, |it| it.contact == Some(contact) && it.channel == "bot")),
            (
                "conversations",
                keys(&self.conversations, |it| it.contact == Some(contact) && it.channel != "bot"),
            ),
            ("customEvents", keys(&self.custom_events, |it| it.contact == contact)),
            ("feedback", keys(&self.feedback, |it| it.contact == contact)),
            ("files", keys(&self.files, |it| self.people_of_file(it).contains(&contact))),
            ("formSubmissions", keys(&self.submissions, |it| it.contact == contact)),
            ("segments", keys(&self.segments, |it| it.members.contains(&contact))),
            ("quotes", keys(&self.quotes, |it| it.contacts.contains(&contact))),
            ("suppressions", self.suppressions(contact)),
        ]);
        let integrations = self.integrations.keys().filter(|(of, _)| *of == contact);
        visible.insert("integrations", integrations.map(|(_, source)| source.clone()).collect());
        let transitions = self.transitions.iter().filter(|(of, ..)| *of == contact);
        visible.insert(
            "lifecycleTransitions",
            transitions.map(|(_, stage, at)| format!("{stage}@{at}")).collect(),
        );
        let enrolled = self.enrollments.iter().filter(|((_, of, _), active)| *of == contact && **active);
        let mut workflows: Vec<String> = enrolled.map(|((workflow, ..), _)| workflow.to_string()).collect();
        workflows.dedup();
        visible.insert("workflows", workflows);
        if !live {
            visible.values_mut().for_each(Vec::clear);
        }
        visible.insert("notifications", keys(&self.notifications, |it| it.contact == Some(contact)));
        for members in visible.values_mut() {
            members.sort();
        }
        visible
    }

    fn association_members(&self, own: &Object) -> Vec<String> {
        let on = self.activities.iter().filter(|(id, it)| it.ends.contains(own) && self.activity_shows(**id));
        let mut members: Vec<String> = on.map(|(id, _)| format!("activity:{id}")).collect();
        for (from, to, label) in &self.associations {
            for (one, other) in [(from, to), (to, from)] {
                if one == own && self.shows(other) {
                    let label = if label.is_empty() { String::new() } else { format!(":{label}") };
                    members.push(format!("{}:{}{label}", other.0, other.1));
                }
            }
        }
        members
    }

    fn suppressions(&self, contact: i64) -> Vec<String> {
        let Some(it) = self.contacts.get(&contact) else { return vec![] };
        let of = self.deliverability.iter().filter(|(address, _)| it.addresses.contains(address));
        of.map(|(address, status)| format!("{status}:{address}")).collect()
    }

    /// Whom a file is put on, and who uploaded it.
    fn people_of_file(&self, file: &super::model::File) -> Vec<i64> {
        let uploaded = file.submission.and_then(|id| self.submissions.get(&id)).map(|it| it.contact);
        file.contacts.iter().copied().chain(uploaded).collect()
    }

    fn lowest_live<'a>(&self, contacts: impl IntoIterator<Item = &'a i64>) -> Option<String> {
        contacts.into_iter().filter(|id| self.is_live(**id)).min().map(i64::to_string)
    }

    fn contact_of(&self, activity: &Activity) -> Option<String> {
        self.lowest_live(activity.ends.iter().filter(|(kind, _)| kind == "contact").map(|(_, id)| id))
    }

    /// A page of the whole account, its rows in no order.
    pub fn page(&self, page: &str) -> Vec<Value> {
        let row = |id: &i64, contact: Option<String>| json!({"id": id.to_string(), "contact": contact});
        let activities = |kind: &str| -> Vec<_> {
            self.activities.iter().filter(|(id, it)| it.kind == kind && self.activity_shows(**id)).collect()
        };
        let one = |contact: i64| self.lowest_live([&contact]);
        match page {
            "calls" => activities("call").into_iter().map(|(id, it)| row(id, self.contact_of(it))).collect(),
            "tasks" => activities("task").into_iter().map(|(id, it)| row(id, self.contact_of(it))).collect(),
            "inbox" => {
                let contact = |it: &super::model::Conversation| it.contact.and_then(one);
                let shown =
                    self.conversations.iter().filter(|(_, it)| it.channel != "bot" || contact(it).is_some());
                shown.map(|(id, it)| row(id, contact(it))).collect()
            }
            "feedback" => {
                let words = |contact| one(contact).or(Some("Unknown contact".to_owned()));
                self.feedback.iter().map(|(id, it)| row(id, words(it.contact))).collect()
            }
            "form-submissions" => {
                let words = |contact| one(contact).or(Some("No contact".to_owned()));
                self.submissions.iter().map(|(id, it)| row(id, words(it.contact))).collect()
            }
            "files" => self
                .files
                .iter()
                .map(|(id, it)| row(id, self.lowest_live(&self.people_of_file(it))))
                .collect(),
            "quotes" => self.quotes.iter().map(|(id, it)| row(id, self.lowest_live(&it.contacts))).collect(),
            "contact-report" => {
                let live = self.contacts.keys().filter(|id| self.is_live(**id));
                live.map(|id| json!({"id": id.to_string()})).collect()
            }
            "notifications" => self.notifications_page(),
            "tickets" => self.tickets_page(),
            "engagement-report" => self.engagement_report(),
            report => {
                self.counts(report).into_iter().map(|(id, count)| json!({"id": id, "count": count})).collect()
            }
        }
    }

    fn notifications_page(&self) -> Vec<Value> {
        let row = |(id, it): (&i64, &super::model::Notification)| {
            json!({"id": id.to_string(), "title": it.title, "contactName": it.name, "contactEmail": it.email,
                "contact": self.lowest_live(&it.contact)})
        };
        self.notifications.iter().map(row).collect()
    }

    fn tickets_page(&self) -> Vec<Value> {
        let row = |(ticket, properties): (&Object, &super::model::Words)| {
            let partners = self.partners(ticket);
            let people = partners.iter().filter(|(kind, _)| kind == "contact").map(|(_, id)| id);
            json!({"id": ticket.1.to_string(), "subject": properties.get("subject"),
                "contact": self.lowest_live(people)})
        };
        let tickets = self.objects.iter().filter(|(object, _)| object.0 == "ticket" && self.shows(object));
        tickets.map(row).collect()
    }

    fn engagement_report(&self) -> Vec<Value> {
        let row = |id: &i64, kind: &str, at: &str, contact: Option<String>| json!({"id": id.to_string(), "type": kind, "occurredAt": at, "contact": contact});
        let activities =
            self.activities.iter().map(|(id, it)| row(id, &it.kind, &it.at, self.contact_of(it)));
        let events =
            self.analytics.iter().map(|(id, it)| row(id, &it.kind, &it.at, self.lowest_live(&it.contact)));
        activities.chain(events).collect()
    }

    fn counts(&self, report: &str) -> BTreeMap<String, i64> {
        let mut counts = BTreeMap::new();
        if report == "form-report" {
            counts.clone_from(&self.past_submissions);
            for submission in self.submissions.values() {
                *counts.entry(submission.form.clone()).or_default() += 1;
            }
            return counts;
        }
        let kinds = if report == "email-report" { &["email_open", "email_click"][..] } else { &["session"] };
        for event in self.analytics.values().filter(|it| kinds.contains(&it.kind.as_str())) {
            *counts.entry(event.source.clone()).or_default() += 1;
        }
        counts
    }

    pub fn timeline(&self, object: &Object) -> Vec<Value> {
        let on =
            self.activities.iter().filter(|(id, it)| self.activity_shows(**id) && it.ends.contains(object));
        let row = |(id, it): (&i64, &Activity)| json!({"id": id.to_string(), "type": it.kind, "occurredAt": it.at, "contact": self.contact_of(it)});
        if self.shows(object) { on.map(row).collect() } else { vec![] }
    }

    pub fn company(&self, company: i64) -> Vec<Value> {
        let row = |properties: &super::model::Words| {
            json!({"id": company.to_string(), "name": properties.get("name"),
                "lifecycleStage": properties.get("lifecyclestage")})
        };
        let company = ("company".to_owned(), company);
        self.objects.get(&company).filter(|_| self.shows(&company)).into_iter().map(row).collect()
    }

    pub fn segment(&self, segment: i64) -> Vec<Value> {
        let members = self.segments.get(&segment).into_iter().flat_map(|it| &it.members);
        members.filter(|id| self.is_live(**id)).map(|id| json!({"id": id.to_string()})).collect()
    }
}

fn keys<T>(rows: &BTreeMap<i64, T>, wanted: impl Fn(&T) -> bool) -> Vec<String> {
    rows.iter().filter(|(_, row)| wanted(row)).map(|(id, _)| id.to_string()).collect()
}
