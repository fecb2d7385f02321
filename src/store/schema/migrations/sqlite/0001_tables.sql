-- Times are TEXT of the one fixed form 2026-11-21T10:00:00.000000Z, JSON is TEXT.
-- Every key starts with account_id: no statement can touch another account, and the store can be sharded by it.
-- Foreign keys to contacts are deferred, so that an import may name a contact before it brings it.

CREATE TABLE accounts (
  account_id INTEGER PRIMARY KEY CHECK (account_id > 0),
  name       TEXT NOT NULL,
  time_zone  TEXT
);

CREATE TABLE subscriptions (
  account_id INTEGER NOT NULL REFERENCES accounts DEFERRABLE INITIALLY DEFERRED,
  product    TEXT NOT NULL,
  starts_at  TEXT NOT NULL,
  tier       TEXT NOT NULL,
  ends_at    TEXT,
  PRIMARY KEY (account_id, product, starts_at)
);

CREATE TABLE users (
  account_id  INTEGER NOT NULL REFERENCES accounts DEFERRABLE INITIALLY DEFERRED,
  user_id     INTEGER NOT NULL,
  email       TEXT NOT NULL,
  email_key   TEXT NOT NULL,
  permissions TEXT NOT NULL,
  PRIMARY KEY (account_id, user_id)
);
CREATE INDEX users_email ON users (account_id, email_key);

-- A contact in the trash keeps its rows: deleted_at hides them through the views.
CREATE TABLE contacts (
  account_id     INTEGER NOT NULL REFERENCES accounts DEFERRABLE INITIALLY DEFERRED,
  contact_id     INTEGER NOT NULL,
  properties     TEXT NOT NULL,
  history        TEXT NOT NULL,
  created_at     TEXT NOT NULL,
  updated_at     TEXT,
  deleted_at     TEXT,
  trash_entry_id INTEGER,
  restored_at    TEXT,
  PRIMARY KEY (account_id, contact_id),
  CHECK ((deleted_at IS NULL) = (trash_entry_id IS NULL))
);

CREATE TABLE contact_emails (
  account_id INTEGER NOT NULL,
  contact_id INTEGER NOT NULL,
  email_key  TEXT NOT NULL,
  email      TEXT NOT NULL,
  live       BOOLEAN NOT NULL,
  PRIMARY KEY (account_id, contact_id, email_key),
  FOREIGN KEY (account_id, contact_id) REFERENCES contacts DEFERRABLE INITIALLY DEFERRED
);
CREATE INDEX contact_emails_key ON contact_emails (account_id, email_key, contact_id);
-- An address belongs to one live contact; those in the trash may share it.
CREATE UNIQUE INDEX contact_emails_live ON contact_emails (account_id, email_key) WHERE live;

-- Contacts that were erased or purged: their ids are never used again.
CREATE TABLE gone_contacts (
  account_id INTEGER NOT NULL,
  contact_id INTEGER NOT NULL,
  state      TEXT NOT NULL CHECK (state IN ('erased', 'purged')),
  gone_at    TEXT NOT NULL,
  PRIMARY KEY (account_id, contact_id)
);

-- One deletion, one entry. closed_as tells how it ended: restored, erased or purged.
CREATE TABLE trash_entries (
  account_id    INTEGER NOT NULL,
  entry_id      INTEGER PRIMARY KEY AUTOINCREMENT,
  contact_id    INTEGER NOT NULL,
  deleted_at    TEXT NOT NULL,
  deleted_by    TEXT NOT NULL CHECK (deleted_by IN ('workflow', 'user', 'import')),
  workflow_id   INTEGER,
  enrollment_id INTEGER,
  user_id       INTEGER,
  closed_at     TEXT,
  closed_as     TEXT,
  UNIQUE (account_id, entry_id)
);
CREATE UNIQUE INDEX trash_entries_open ON trash_entries (account_id, contact_id) WHERE closed_at IS NULL;
CREATE INDEX trash_entries_due ON trash_entries (deleted_at) WHERE closed_at IS NULL;

-- Companies, deals and tickets.
CREATE TABLE objects (
  account_id  INTEGER NOT NULL REFERENCES accounts DEFERRABLE INITIALLY DEFERRED,
  object_type TEXT NOT NULL,
  object_id   INTEGER NOT NULL,
  properties  TEXT NOT NULL,
  PRIMARY KEY (account_id, object_type, object_id)
);

CREATE TABLE associations (
  account_id          INTEGER NOT NULL REFERENCES accounts DEFERRABLE INITIALLY DEFERRED,
  from_type           TEXT NOT NULL,
  from_id             INTEGER NOT NULL,
  to_type             TEXT NOT NULL,
  to_id               INTEGER NOT NULL,
  label               TEXT NOT NULL,
  association_type_id TEXT,
  PRIMARY KEY (account_id, from_type, from_id, to_type, to_id, label)
);
CREATE INDEX associations_to ON associations (account_id, to_type, to_id);

-- Notes, tasks, meetings, calls and e-mails. A stub is what the engagement reports keep of a deleted one.
CREATE TABLE activities (
  account_id  INTEGER NOT NULL REFERENCES accounts DEFERRABLE INITIALLY DEFERRED,
  activity_id INTEGER NOT NULL,
  type        TEXT NOT NULL,
  occurred_at TEXT NOT NULL,
  properties  TEXT NOT NULL,
  stub        BOOLEAN NOT NULL,
  PRIMARY KEY (account_id, activity_id)
);

CREATE TABLE activity_associations (
  account_id  INTEGER NOT NULL,
  activity_id INTEGER NOT NULL,
  object_type TEXT NOT NULL,
  object_id   INTEGER NOT NULL,
  PRIMARY KEY (account_id, activity_id, object_type, object_id),
  FOREIGN KEY (account_id, activity_id) REFERENCES activities DEFERRABLE INITIALLY DEFERRED
);
CREATE INDEX activity_associations_object ON activity_associations (account_id, object_type, object_id);

CREATE TABLE conversations (
  account_id      INTEGER NOT NULL,
  conversation_id INTEGER NOT NULL,
  contact_id      INTEGER,
  channel         TEXT NOT NULL,
  messages        TEXT NOT NULL,
  PRIMARY KEY (account_id, conversation_id),
  FOREIGN KEY (account_id, contact_id) REFERENCES contacts DEFERRABLE INITIALLY DEFERRED
);
CREATE INDEX conversations_contact ON conversations (account_id, contact_id);

CREATE TABLE conversation_tickets (
  account_id      INTEGER NOT NULL,
  conversation_id INTEGER NOT NULL,
  ticket_id       INTEGER NOT NULL,
  PRIMARY KEY (account_id, conversation_id, ticket_id),
  FOREIGN KEY (account_id, conversation_id) REFERENCES conversations DEFERRABLE INITIALLY DEFERRED
);

-- Bounces, spam reports, unsubscribes and quarantines, kept by address.
CREATE TABLE deliverability (
  account_id      INTEGER NOT NULL REFERENCES accounts DEFERRABLE INITIALLY DEFERRED,
  email_key       TEXT NOT NULL,
  status          TEXT NOT NULL,
  at              TEXT NOT NULL,
  subscription_id TEXT,
  PRIMARY KEY (account_id, email_key, status)
);

CREATE TABLE custom_events (
  account_id    INTEGER NOT NULL,
  event_id      INTEGER NOT NULL,
  contact_id    INTEGER NOT NULL,
  event_type_id TEXT NOT NULL,
  occurred_at   TEXT NOT NULL,
  properties    TEXT NOT NULL,
  PRIMARY KEY (account_id, event_id),
  FOREIGN KEY (account_id, contact_id) REFERENCES contacts DEFERRABLE INITIALLY DEFERRED
);
CREATE INDEX custom_events_contact ON custom_events (account_id, contact_id);

CREATE TABLE analytics_events (
  account_id  INTEGER NOT NULL,
  event_id    INTEGER NOT NULL,
  contact_id  INTEGER,
  type        TEXT NOT NULL,
  occurred_at TEXT NOT NULL,
  source      TEXT NOT NULL,
  PRIMARY KEY (account_id, event_id),
  FOREIGN KEY (account_id, contact_id) REFERENCES contacts DEFERRABLE INITIALLY DEFERRED
);
CREATE INDEX analytics_events_contact ON analytics_events (account_id, contact_id);

CREATE TABLE feedback (
  account_id   INTEGER NOT NULL,
  feedback_id  INTEGER NOT NULL,
  contact_id   INTEGER NOT NULL,
  survey_id    TEXT NOT NULL,
  submitted_at TEXT NOT NULL,
  rating       TEXT NOT NULL,
  comment      TEXT NOT NULL,
  PRIMARY KEY (account_id, feedback_id),
  FOREIGN KEY (account_id, contact_id) REFERENCES contacts DEFERRABLE INITIALLY DEFERRED
);
CREATE INDEX feedback_contact ON feedback (account_id, contact_id);

CREATE TABLE form_submissions (
  account_id    INTEGER NOT NULL,
  submission_id INTEGER NOT NULL,
  contact_id    INTEGER NOT NULL,
  form_id       TEXT NOT NULL,
  submitted_at  TEXT NOT NULL,
  field_values  TEXT NOT NULL,
  PRIMARY KEY (account_id, submission_id),
  FOREIGN KEY (account_id, contact_id) REFERENCES contacts DEFERRABLE INITIALLY DEFERRED
);
CREATE INDEX form_submissions_contact ON form_submissions (account_id, contact_id);

CREATE TABLE files (
  account_id         INTEGER NOT NULL REFERENCES accounts DEFERRABLE INITIALLY DEFERRED,
  file_id            INTEGER NOT NULL,
  name               TEXT NOT NULL,
  form_submission_id INTEGER,
  PRIMARY KEY (account_id, file_id)
);
CREATE INDEX files_form_submission ON files (account_id, form_submission_id);

CREATE TABLE file_contacts (
  account_id INTEGER NOT NULL,
  file_id    INTEGER NOT NULL,
  contact_id INTEGER NOT NULL,
  PRIMARY KEY (account_id, file_id, contact_id),
  FOREIGN KEY (account_id, file_id) REFERENCES files DEFERRABLE INITIALLY DEFERRED
);
CREATE INDEX file_contacts_contact ON file_contacts (account_id, contact_id);

CREATE TABLE integrations (
  account_id INTEGER NOT NULL,
  contact_id INTEGER NOT NULL,
  source     TEXT NOT NULL,
  payload    TEXT NOT NULL,
  PRIMARY KEY (account_id, contact_id, source),
  FOREIGN KEY (account_id, contact_id) REFERENCES contacts DEFERRABLE INITIALLY DEFERRED
);

CREATE TABLE lifecycle_transitions (
  account_id INTEGER NOT NULL,
  contact_id INTEGER NOT NULL,
  stage      TEXT NOT NULL,
  at         TEXT NOT NULL,
  PRIMARY KEY (account_id, contact_id, stage, at),
  FOREIGN KEY (account_id, contact_id) REFERENCES contacts DEFERRABLE INITIALLY DEFERRED
);

CREATE TABLE segments (
  account_id      INTEGER NOT NULL REFERENCES accounts DEFERRABLE INITIALLY DEFERRED,
  segment_id      INTEGER NOT NULL,
  name            TEXT NOT NULL,
  processing_type TEXT NOT NULL,
  PRIMARY KEY (account_id, segment_id)
);

CREATE TABLE segment_members (
  account_id INTEGER NOT NULL,
  segment_id INTEGER NOT NULL,
  contact_id INTEGER NOT NULL,
  PRIMARY KEY (account_id, segment_id, contact_id),
  FOREIGN KEY (account_id, segment_id) REFERENCES segments DEFERRABLE INITIALLY DEFERRED
);
CREATE INDEX segment_members_contact ON segment_members (account_id, contact_id);

CREATE TABLE notifications (
  account_id      INTEGER NOT NULL REFERENCES accounts DEFERRABLE INITIALLY DEFERRED,
  notification_id INTEGER NOT NULL,
  user_id         INTEGER NOT NULL,
  contact_id      INTEGER,
  contact_name    TEXT NOT NULL,
  contact_email   TEXT NOT NULL,
  title           TEXT NOT NULL,
  created_at      TEXT NOT NULL,
  PRIMARY KEY (account_id, notification_id),
  FOREIGN KEY (account_id, contact_id) REFERENCES contacts DEFERRABLE INITIALLY DEFERRED
);
CREATE INDEX notifications_contact ON notifications (account_id, contact_id);
CREATE INDEX notifications_created ON notifications (created_at);

CREATE TABLE quotes (
  account_id INTEGER NOT NULL REFERENCES accounts DEFERRABLE INITIALLY DEFERRED,
  quote_id   INTEGER NOT NULL,
  title      TEXT NOT NULL,
  created_at TEXT NOT NULL,
  PRIMARY KEY (account_id, quote_id)
);

CREATE TABLE quote_contacts (
  account_id INTEGER NOT NULL,
  quote_id   INTEGER NOT NULL,
  contact_id INTEGER NOT NULL,
  PRIMARY KEY (account_id, quote_id, contact_id),
  FOREIGN KEY (account_id, quote_id) REFERENCES quotes DEFERRABLE INITIALLY DEFERRED
);
CREATE INDEX quote_contacts_contact ON quote_contacts (account_id, contact_id);

-- The definition as it came, member for member.
CREATE TABLE workflows (
  account_id  INTEGER NOT NULL REFERENCES accounts DEFERRABLE INITIALLY DEFERRED,
  workflow_id INTEGER NOT NULL,
  flow        TEXT NOT NULL,
  PRIMARY KEY (account_id, workflow_id)
);

-- Enrollments that the CRM tells of, past and present; the service's own decisions are in the ledger.
CREATE TABLE workflow_enrollments (
  account_id    INTEGER NOT NULL,
  workflow_id   INTEGER NOT NULL,
  contact_id    INTEGER NOT NULL,
  enrolled_at   TEXT NOT NULL,
  enrollment_id INTEGER,
  active        BOOLEAN NOT NULL,
  PRIMARY KEY (account_id, workflow_id, contact_id, enrolled_at),
  FOREIGN KEY (account_id, contact_id) REFERENCES contacts DEFERRABLE INITIALLY DEFERRED
);
CREATE INDEX workflow_enrollments_contact ON workflow_enrollments (account_id, contact_id);

-- Every decision, once. It refers to nothing: an enrollment of an unknown account is decided too.
CREATE TABLE ledger (
  account_id     INTEGER NOT NULL,
  enrollment_id  INTEGER NOT NULL,
  action_id      INTEGER NOT NULL,
  workflow_id    INTEGER NOT NULL,
  object_type_id TEXT NOT NULL,
  object_id      INTEGER NOT NULL,
  cause          TEXT NOT NULL,
  enrolled_at    TEXT NOT NULL,
  outcome        TEXT NOT NULL,
  reason         TEXT,
  decided_at     TEXT NOT NULL,
  trash_entry_id INTEGER,
  PRIMARY KEY (account_id, enrollment_id, action_id)
);
-- "Enrolled before" asks for decisions that took the contact in; refused and skipped ones do not count.
CREATE INDEX ledger_enrolled ON ledger (account_id, workflow_id, object_id) WHERE outcome = 'deleted';
CREATE INDEX ledger_decided ON ledger (decided_at);

-- What is to be told to others, written with the deed.
CREATE TABLE outbox (
  account_id INTEGER NOT NULL,
  message_id INTEGER PRIMARY KEY AUTOINCREMENT,
  type       TEXT NOT NULL,
  data       TEXT NOT NULL,
  created_at TEXT NOT NULL,
  UNIQUE (account_id, message_id)
);
CREATE INDEX outbox_created ON outbox (created_at);

-- Who did what, when, to which ids, how many. Never a property value: it would outlive the person.
-- Account 0 stands for deeds that concern the service as a whole.
CREATE TABLE audit (
  account_id INTEGER NOT NULL,
  audit_id   INTEGER PRIMARY KEY AUTOINCREMENT,
  at         TEXT NOT NULL,
  actor      TEXT NOT NULL,
  action     TEXT NOT NULL,
  ids        TEXT NOT NULL,
  count      INTEGER NOT NULL,
  UNIQUE (account_id, audit_id)
);
CREATE INDEX audit_at ON audit (at);

-- Who may run the scheduled jobs. The token grows with each change of hands: an old leader's is refused.
CREATE TABLE leases (
  name       TEXT PRIMARY KEY,
  holder     TEXT NOT NULL,
  token      INTEGER NOT NULL,
  expires_at TEXT NOT NULL
);

CREATE TABLE job_runs (
  job          TEXT PRIMARY KEY,
  first_seen   TEXT NOT NULL,
  started_at   TEXT,
  succeeded_at TEXT,
  result       TEXT,
  deleted      INTEGER NOT NULL
);

-- How far a JSON Lines feed was read, in bytes.
CREATE TABLE feed_checkpoints (
  feed     TEXT PRIMARY KEY,
  position INTEGER NOT NULL
);

-- Dead letters of a feed that has no broker to keep them.
CREATE TABLE dead_letters (
  dead_letter_id INTEGER PRIMARY KEY AUTOINCREMENT,
  feed           TEXT NOT NULL,
  at             TEXT NOT NULL,
  reason         TEXT NOT NULL,
  detail         TEXT NOT NULL,
  body           BLOB NOT NULL
);
