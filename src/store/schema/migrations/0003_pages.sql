-- The pages of the CRM, part of the reading contract as the views before. "contact" is what a page shows as its
-- contact: an id, the words it shows instead, or null. It is never the id of a contact that is not live, and with
-- several contacts it is the lowest live id.

-- The calls and tasks pages want one type of an account's activities.
CREATE INDEX activities_type ON activities (account_id, type, activity_id);

-- The tickets page asks who is associated with a ticket, a timeline which activities with a record. With the shorter
-- indexes that were here SQLite prefers to go through all associations of the account, each time.
DROP INDEX associations_to;
CREATE INDEX associations_to ON associations (account_id, to_type, to_id, from_type, from_id);
DROP INDEX activity_associations_object;
CREATE INDEX activity_associations_object ON activity_associations (account_id, object_type, object_id, activity_id);

CREATE INDEX form_submissions_form ON form_submissions (account_id, form_id);

-- How many submissions of a form went with their contact: what the form report counts beside those that are
-- there. Nothing in it tells of whom they were.
CREATE TABLE deleted_form_submissions (
  account_id  bigint NOT NULL REFERENCES accounts DEFERRABLE INITIALLY DEFERRED,
  form_id     text NOT NULL,
  submissions bigint NOT NULL,
  PRIMARY KEY (account_id, form_id)
);

-- Every activity with the contact it shows. The contact is looked up by activity, not joined to all of them: a
-- timeline asks about a few activities of many.
CREATE VIEW crm_activities AS
SELECT a.account_id, a.activity_id, a.type, a.occurred_at, a.stub,
       CAST((SELECT min(l.object_id)
             FROM activity_associations l
             JOIN crm_contacts c ON c.account_id = l.account_id AND c.contact_id = l.object_id
             WHERE l.account_id = a.account_id AND l.activity_id = a.activity_id
               AND l.object_type = 'contact') AS text) AS contact
FROM activities a;

-- A call is hidden while a contact of it is in the trash and no record of it lives. One that is associated with
-- nothing shows, without a contact.
CREATE VIEW crm_page_calls AS
SELECT a.account_id, a.activity_id AS id, a.contact
FROM crm_activities a
WHERE a.type = 'call' AND NOT a.stub
  AND (EXISTS (SELECT 1 FROM crm_activity_associations l
               WHERE l.account_id = a.account_id AND l.activity_id = a.activity_id)
       OR NOT EXISTS (SELECT 1 FROM activity_associations l
                      JOIN contacts c ON c.account_id = l.account_id AND c.contact_id = l.object_id
                      WHERE l.account_id = a.account_id AND l.activity_id = a.activity_id
                        AND l.object_type = 'contact' AND c.deleted_at IS NOT NULL));

-- Tasks stay, whatever becomes of their contact.
CREATE VIEW crm_page_tasks AS
SELECT a.account_id, a.activity_id AS id, a.contact
FROM crm_activities a
WHERE a.type = 'task' AND NOT a.stub;

-- Conversations with people stay, those with bots only while their contact lives.
CREATE VIEW crm_page_inbox AS
SELECT v.account_id, v.conversation_id AS id, CAST(c.contact_id AS text) AS contact
FROM conversations v
LEFT JOIN crm_contacts c ON c.account_id = v.account_id AND c.contact_id = v.contact_id
WHERE v.channel <> 'bot' OR c.contact_id IS NOT NULL;

-- Here and on the next page the words stand until the purge, which comes at the end of the 90 days.
CREATE VIEW crm_page_feedback AS
SELECT f.account_id, f.feedback_id AS id, coalesce(CAST(c.contact_id AS text), 'Unknown contact') AS contact
FROM feedback f
LEFT JOIN crm_contacts c ON c.account_id = f.account_id AND c.contact_id = f.contact_id;

CREATE VIEW crm_page_form_submissions AS
SELECT s.account_id, s.submission_id AS id, coalesce(CAST(c.contact_id AS text), 'No contact') AS contact
FROM form_submissions s
LEFT JOIN crm_contacts c ON c.account_id = s.account_id AND c.contact_id = s.contact_id;

-- A file shows the contact it was put on, or the one who uploaded it through a form: the lower id of both.
CREATE VIEW crm_page_files AS
SELECT f.account_id, f.file_id AS id,
       CAST((SELECT min(e.contact_id)
             FROM (SELECT l.contact_id FROM file_contacts l
                   JOIN crm_contacts c ON c.account_id = l.account_id AND c.contact_id = l.contact_id
                   WHERE l.account_id = f.account_id AND l.file_id = f.file_id
                   UNION ALL
                   SELECT s.contact_id FROM form_submissions s
                   JOIN crm_contacts c ON c.account_id = s.account_id AND c.contact_id = s.contact_id
                   WHERE s.account_id = f.account_id AND s.submission_id = f.form_submission_id) e) AS text) AS contact
FROM files f;

-- The name and the address are the notification's own: they stay when the contact goes.
CREATE VIEW crm_page_notifications AS
SELECT n.account_id, n.notification_id AS id, n.title, n.contact_name, n.contact_email,
       CAST(c.contact_id AS text) AS contact
FROM notifications n
LEFT JOIN crm_contacts c ON c.account_id = n.account_id AND c.contact_id = n.contact_id;

CREATE VIEW crm_page_quotes AS
SELECT q.account_id, q.quote_id AS id,
       CAST((SELECT min(l.contact_id)
             FROM quote_contacts l
             JOIN crm_contacts c ON c.account_id = l.account_id AND c.contact_id = l.contact_id
             WHERE l.account_id = q.account_id AND l.quote_id = q.quote_id) AS text) AS contact
FROM quotes q;

-- A ticket's contacts are those associated with it, in either direction.
CREATE VIEW crm_page_tickets AS
SELECT o.account_id, o.object_id AS id, o.properties ->> 'subject' AS subject,
       CAST((SELECT min(e.contact_id)
             FROM (SELECT a.from_id AS contact_id FROM associations a
                   WHERE a.account_id = o.account_id AND a.to_type = 'ticket' AND a.to_id = o.object_id
                     AND a.from_type = 'contact'
                     AND EXISTS (SELECT 1 FROM crm_contacts c
                                 WHERE c.account_id = a.account_id AND c.contact_id = a.from_id)
                   UNION ALL
                   SELECT a.to_id FROM associations a
                   WHERE a.account_id = o.account_id AND a.from_type = 'ticket' AND a.from_id = o.object_id
                     AND a.to_type = 'contact'
                     AND EXISTS (SELECT 1 FROM crm_contacts c
                                 WHERE c.account_id = a.account_id AND c.contact_id = a.to_id)) e) AS text) AS contact
FROM objects o
WHERE o.object_type = 'ticket';

CREATE VIEW crm_page_contact_report AS
SELECT account_id, contact_id AS id
FROM crm_contacts;

-- Engagement counts on when a contact goes: activities of every type, deleted ones as their stubs, and every
-- analytics event, anonymous where the contact does not live. Activities and events have ids of their own
-- kinds, which may be equal; no type is both an activity's and an event's.
CREATE VIEW crm_page_engagement_report AS
SELECT a.account_id, a.activity_id AS id, a.type, a.occurred_at, a.contact
FROM crm_activities a
UNION ALL
SELECT e.account_id, e.event_id, e.type, e.occurred_at, CAST(c.contact_id AS text)
FROM analytics_events e
LEFT JOIN crm_contacts c ON c.account_id = e.account_id AND c.contact_id = e.contact_id;

-- The counts hang on no contact and do not shrink with it.
CREATE VIEW crm_page_email_report AS
SELECT account_id, source AS id, count(*) AS count
FROM analytics_events
WHERE type IN ('email_open', 'email_click')
GROUP BY account_id, source;

CREATE VIEW crm_page_sources_report AS
SELECT account_id, source AS id, count(*) AS count
FROM analytics_events
WHERE type = 'session'
GROUP BY account_id, source;

-- No sum over a union of both: SQLite would count every account's submissions.
CREATE VIEW crm_page_form_report AS
SELECT s.account_id, s.form_id AS id,
       count(*) + coalesce((SELECT d.submissions FROM deleted_form_submissions d
                            WHERE d.account_id = s.account_id AND d.form_id = s.form_id), 0) AS count
FROM form_submissions s
GROUP BY s.account_id, s.form_id
UNION ALL
SELECT d.account_id, d.form_id, d.submissions
FROM deleted_form_submissions d
WHERE NOT EXISTS (SELECT 1 FROM form_submissions s WHERE s.account_id = d.account_id AND s.form_id = d.form_id);

-- The activities on one record's timeline: those of a living record, no stubs.
CREATE VIEW crm_page_timeline AS
SELECT l.account_id, l.object_type, l.object_id, a.activity_id AS id, a.type, a.occurred_at, a.contact
FROM crm_activity_associations l
JOIN crm_activities a ON a.account_id = l.account_id AND a.activity_id = l.activity_id;

CREATE VIEW crm_page_company AS
SELECT account_id, object_id AS id, properties ->> 'name' AS name,
       properties ->> 'lifecyclestage' AS lifecycle_stage
FROM objects
WHERE object_type = 'company';

CREATE VIEW crm_page_segment AS
SELECT account_id, segment_id, contact_id AS id
FROM crm_segment_members;
