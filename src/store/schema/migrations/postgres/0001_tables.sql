-- Every key starts with account_id: no statement can touch another account, and the store can be sharded by it.
-- Foreign keys to contacts are deferred, so that an import may name a contact before it brings it.

CREATE TABLE accounts (
  account_id bigint PRIMARY KEY CHECK (account_id > 0),
  name       text NOT NULL,
  time_zone  text
);

CREATE TABLE subscriptions (
  account_id bigint NOT NULL REFERENCES accounts DEFERRABLE INITIALLY DEFERRED,
  product    text NOT NULL,
  starts_at  timestamptz NOT NULL,
  tier       text NOT NULL,
  ends_at    timestamptz,
  PRIMARY KEY (account_id, product, starts_at)
);

CREATE TABLE users (
  account_id  bigint NOT NULL REFERENCES accounts DEFERRABLE INITIALLY DEFERRED,
  user_id     bigint NOT NULL,
  email       text NOT NULL,
  email_key   text NOT NULL,
  permissions jsonb NOT NULL,
  PRIMARY KEY (account_id, user_id)
);
CREATE INDEX users_email ON users (account_id, email_key);

-- A contact in the trash keeps its rows: deleted_at hides them through the views.
CREATE TABLE contacts (
  account_id     bigint NOT NULL REFERENCES accounts DEFERRABLE INITIALLY DEFERRED,
  contact_id     bigint NOT NULL,
  properties     jsonb NOT NULL,
  history        jsonb NOT NULL,
  created_at     timestamptz NOT NULL,
  updated_at     timestamptz,
  deleted_at     timestamptz,
  trash_entry_id bigint,
  restored_at    timestamptz,
  PRIMARY KEY (account_id, contact_id),
  CHECK ((deleted_at IS NULL) = (trash_entry_id IS NULL))
);

CREATE TABLE contact_emails (
  account_id bigint NOT NULL,
  contact_id bigint NOT NULL,
  email_key  text NOT NULL,
  email      text NOT NULL,
  live       boolean NOT NULL,
  PRIMARY KEY (account_id, contact_id, email_key),
  FOREIGN KEY (account_id, contact_id) REFERENCES contacts DEFERRABLE INITIALLY DEFERRED
);
CREATE INDEX contact_emails_key ON contact_emails (account_id, email_key, contact_id);
-- An address belongs to one live contact; those in the trash may share it.
CREATE UNIQUE INDEX contact_emails_live ON contact_emails (account_id, email_key) WHERE live;

-- Contacts that were erased or purged: their ids are never used again.
CREATE TABLE gone_contacts (
  account_id bigint NOT NULL,
  contact_id bigint NOT NULL,
  state      text NOT NULL CHECK (state IN ('erased', 'purged')),
  gone_at    timestamptz NOT NULL,
  PRIMARY KEY (account_id, contact_id)
);

-- One deletion, one entry. closed_as tells how it ended: restored, erased or purged.
CREATE TABLE trash_entries (
  account_id    bigint NOT NULL,
  entry_id      bigint GENERATED ALWAYS AS IDENTITY,
  contact_id    bigint NOT NULL,
  deleted_at    timestamptz NOT NULL,
  deleted_by    text NOT NULL CHECK (deleted_by IN ('workflow', 'user', 'import')),
  workflow_id   bigint,
  enrollment_id bigint,
  user_id       bigint,
  closed_at     timestamptz,
  closed_as     text,
  PRIMARY KEY (account_id, entry_id)
);
CREATE UNIQUE INDEX trash_entries_open ON trash_entries (account_id, contact_id) WHERE closed_at IS NULL;
CREATE INDEX trash_entries_due ON trash_entries (deleted_at) WHERE closed_at IS NULL;

-- Companies, deals and tickets.
CREATE TABLE objects (
  account_id  bigint NOT NULL REFERENCES accounts DEFERRABLE INITIALLY DEFERRED,
  object_type text NOT NULL,
  object_id   bigint NOT NULL,
  properties  jsonb NOT NULL,
  PRIMARY KEY (account_id, object_type, object_id)
);

CREATE TABLE associations (
  account_id          bigint NOT NULL REFERENCES accounts DEFERRABLE INITIALLY DEFERRED,
  from_type           text NOT NULL,
  from_id             bigint NOT NULL,
  to_type             text NOT NULL,
  to_id               bigint NOT NULL,
  label               text NOT NULL,
  association_type_id text,
  PRIMARY KEY (account_id, from_type, from_id, to_type, to_id, label)
);
CREATE INDEX associations_to ON associations (account_id, to_type, to_id);

-- Notes, tasks, meetings, calls and e-mails. A stub is what the engagement reports keep of a deleted one.
CREATE TABLE activities (
  account_id  bigint NOT NULL REFERENCES accounts DEFERRABLE INITIALLY DEFERRED,
  activity_id bigint NOT NULL,
  type        text NOT NULL,
  occurred_at timestamptz NOT NULL,
  properties  jsonb NOT NULL,
  stub        boolean NOT NULL,
  PRIMARY KEY (account_id, activity_id)
);

CREATE TABLE activity_associations (
  account_id  bigint NOT NULL,
  activity_id bigint NOT NULL,
  object_type text NOT NULL,
  object_id   bigint NOT NULL,
  PRIMARY KEY (account_id, activity_id, object_type, object_id),
  FOREIGN KEY (account_id, activity_id) REFERENCES activities DEFERRABLE INITIALLY DEFERRED
);
CREATE INDEX activity_associations_object ON activity_associations (account_id, object_type, object_id);

CREATE TABLE conversations (
  account_id      bigint NOT NULL,
  conversation_id bigint NOT NULL,
  contact_id      bigint,
  channel         text NOT NULL,
  messages        jsonb NOT NULL,
  PRIMARY KEY (account_id, conversation_id),
  FOREIGN KEY (account_id, contact_id) REFERENCES contacts DEFERRABLE INITIALLY DEFERRED
);
CREATE INDEX conversations_contact ON conversations (account_id, contact_id);

CREATE TABLE conversation_tickets (
  account_id      bigint NOT NULL,
  conversation_id bigint NOT NULL,
  ticket_id       bigint NOT NULL,
  PRIMARY KEY (account_id, conversation_id, ticket_id),
  FOREIGN KEY (account_id, conversation_id) REFERENCES conversations DEFERRABLE INITIALLY DEFERRED
);

-- Bounces, spam reports, unsubscribes and quarantines, kept by address.
CREATE TABLE deliverability (
  account_id      bigint NOT NULL REFERENCES accounts DEFERRABLE INITIALLY DEFERRED,
  email_key       text NOT NULL,
  status          text NOT NULL,
  at              timestamptz NOT NULL,
  subscription_id text,
  PRIMARY KEY (account_id, email_key, status)
);

CREATE TABLE custom_events (
  account_id    bigint NOT NULL,
  event_id      bigint NOT NULL,
  contact_id    bigint NOT NULL,
  event_type_id text NOT NULL,
  occurred_at   timestamptz NOT NULL,
  properties    jsonb NOT NULL,
  PRIMARY KEY (account_id, event_id),
  FOREIGN KEY (account_id, contact_id) REFERENCES contacts DEFERRABLE INITIALLY DEFERRED
);
CREATE INDEX custom_events_contact ON custom_events (account_id, contact_id);

CREATE TABLE analytics_events (
  account_id  bigint NOT NULL,
  event_id    bigint NOT NULL,
  contact_id  bigint,
  type        text NOT NULL,
  occurred_at timestamptz NOT NULL,
  source      text NOT NULL,
  PRIMARY KEY (account_id, event_id),
  FOREIGN KEY (account_id, contact_id) REFERENCES contacts DEFERRABLE INITIALLY DEFERRED
);
CREATE INDEX analytics_events_contact ON analytics_events (account_id, contact_id);

CREATE TABLE feedback (
  account_id   bigint NOT NULL,
  feedback_id  bigint NOT NULL,
  contact_id   bigint NOT NULL,
  survey_id    text NOT NULL,
  submitted_at timestamptz NOT NULL,
  rating       jsonb NOT NULL,
  comment      text NOT NULL,
  PRIMARY KEY (account_id, feedback_id),
  FOREIGN KEY (account_id, contact_id) REFERENCES contacts DEFERRABLE INITIALLY DEFERRED
);
CREATE INDEX feedback_contact ON feedback (account_id, contact_id);

CREATE TABLE form_submissions (
  account_id    bigint NOT NULL,
  submission_id bigint NOT NULL,
  contact_id    bigint NOT NULL,
  form_id       text NOT NULL,
  submitted_at  timestamptz NOT NULL,
  field_values  jsonb NOT NULL,
  PRIMARY KEY (account_id, submission_id),
  FOREIGN KEY (account_id, contact_id) REFERENCES contacts DEFERRABLE INITIALLY DEFERRED
);
CREATE INDEX form_submissions_contact ON form_submissions (account_id, contact_id);

CREATE TABLE files (
  account_id         bigint NOT NULL REFERENCES accounts DEFERRABLE INITIALLY DEFERRED,
  file_id            bigint NOT NULL,
  name               text NOT NULL,
  form_submission_id bigint,
  PRIMARY KEY (account_id, file_id)
);
CREATE INDEX files_form_submission ON files (account_id, form_submission_id);

CREATE TABLE file_contacts (
  account_id bigint NOT NULL,
  file_id    bigint NOT NULL,
  contact_id bigint NOT NULL,
  PRIMARY KEY (account_id, file_id, contact_id),
  FOREIGN KEY (account_id, file_id) REFERENCES files DEFERRABLE INITIALLY DEFERRED
);
CREATE INDEX file_contacts_contact ON file_contacts (account_id, contact_id);

CREATE TABLE integrations (
  account_id bigint NOT NULL,
  contact_id bigint NOT NULL,
  source     text NOT NULL,
  payload    jsonb NOT NULL,
  PRIMARY KEY (account_id, contact_id, source),
  FOREIGN KEY (account_id, contact_id) REFERENCES contacts DEFERRABLE INITIALLY DEFERRED
);

CREATE TABLE lifecycle_transitions (
  account_id bigint NOT NULL,
  contact_id bigint NOT NULL,
  stage      text NOT NULL,
  at         timestamptz NOT NULL,
  PRIMARY KEY (account_id, contact_id, stage, at),
  FOREIGN KEY (account_id, contact_id) REFERENCES contacts DEFERRABLE INITIALLY DEFERRED
);

CREATE TABLE segments (
  account_id      bigint NOT NULL REFERENCES accounts DEFERRABLE INITIALLY DEFERRED,
  segment_id      bigint NOT NULL,
  name            text NOT NULL,
  processing_type text NOT NULL,
  PRIMARY KEY (account_id, segment_id)
);

CREATE TABLE segment_members (
  account_id bigint NOT NULL,
  segment_id bigint NOT NULL,
  contact_id bigint NOT NULL,
  PRIMARY KEY (account_id, segment_id, contact_id),
  FOREIGN KEY (account_id, segment_id) REFERENCES segments DEFERRABLE INITIALLY DEFERRED
);
CREATE INDEX segment_members_contact ON segment_members (account_id, contact_id);

CREATE TABLE notifications (
  account_id      bigint NOT NULL REFERENCES accounts DEFERRABLE INITIALLY DEFERRED,
  notification_id bigint NOT NULL,
  user_id         bigint NOT NULL,
  contact_id      bigint,
  contact_name    text NOT NULL,
  contact_email   text NOT NULL,
  title           text NOT NULL,
  created_at      timestamptz NOT NULL,
  PRIMARY KEY (account_id, notification_id),
  FOREIGN KEY (account_id, contact_id) REFERENCES contacts DEFERRABLE INITIALLY DEFERRED
);
CREATE INDEX notifications_contact ON notifications (account_id, contact_id);
CREATE INDEX notifications_created ON notifications (created_at);

CREATE TABLE quotes (
  account_id bigint NOT NULL REFERENCES accounts DEFERRABLE INITIALLY DEFERRED,
  quote_id   bigint NOT NULL,
  title      text NOT NULL,
  created_at timestamptz NOT NULL,
  PRIMARY KEY (account_id, quote_id)
);

CREATE TABLE quote_contacts (
  account_id bigint NOT NULL,
  quote_id   bigint NOT NULL,
  contact_id bigint NOT NULL,
  PRIMARY KEY (account_id, quote_id, contact_id),
  FOREIGN KEY (account_id, quote_id) REFERENCES quotes DEFERRABLE INITIALLY DEFERRED
);
CREATE INDEX quote_contacts_contact ON quote_contacts (account_id, contact_id);

-- The definition as it came, member for member.
CREATE TABLE workflows (
  account_id  bigint NOT NULL REFERENCES accounts DEFERRABLE INITIALLY DEFERRED,
  workflow_id bigint NOT NULL,
  flow        text NOT NULL,
  PRIMARY KEY (account_id, workflow_id)
);

-- Enrollments that the CRM tells of, past and present; the service's own decisions are in the ledger.
CREATE TABLE workflow_enrollments (
  account_id    bigint NOT NULL,
  workflow_id   bigint NOT NULL,
  contact_id    bigint NOT NULL,
  enrolled_at   timestamptz NOT NULL,
  enrollment_id bigint,
  active        boolean NOT NULL,
  PRIMARY KEY (account_id, workflow_id, contact_id, enrolled_at),
  FOREIGN KEY (account_id, contact_id) REFERENCES contacts DEFERRABLE INITIALLY DEFERRED
);
CREATE INDEX workflow_enrollments_contact ON workflow_enrollments (account_id, contact_id);

-- Every decision, once. It refers to nothing: an enrollment of an unknown account is decided too.
CREATE TABLE ledger (
  account_id     bigint NOT NULL,
  enrollment_id  bigint NOT NULL,
  action_id      bigint NOT NULL,
  workflow_id    bigint NOT NULL,
  object_type_id text NOT NULL,
  object_id      bigint NOT NULL,
  cause          text NOT NULL,
  enrolled_at    timestamptz NOT NULL,
  outcome        text NOT NULL,
  reason         text,
  decided_at     timestamptz NOT NULL,
  trash_entry_id bigint,
  PRIMARY KEY (account_id, enrollment_id, action_id)
);
-- "Enrolled before" asks for decisions that took the contact in; refused and skipped ones do not count.
CREATE INDEX ledger_enrolled ON ledger (account_id, workflow_id, object_id) WHERE outcome = 'deleted';
CREATE INDEX ledger_decided ON ledger (decided_at);

-- What is to be told to others, written with the deed.
CREATE TABLE outbox (
  account_id bigint NOT NULL,
  message_id bigint GENERATED ALWAYS AS IDENTITY,
  type       text NOT NULL,
  data       text NOT NULL,
  created_at timestamptz NOT NULL,
  PRIMARY KEY (account_id, message_id)
);
CREATE INDEX outbox_created ON outbox (created_at);

-- Who did what, when, to which ids, how many. Never a property value: it would outlive the person.
-- Account 0 stands for deeds that concern the service as a whole.
CREATE TABLE audit (
  account_id bigint NOT NULL,
  audit_id   bigint GENERATED ALWAYS AS IDENTITY,
  at         timestamptz NOT NULL,
  actor      text NOT NULL,
  action     text NOT NULL,
  ids        jsonb NOT NULL,
  count      bigint NOT NULL,
  PRIMARY KEY (account_id, audit_id)
);
CREATE INDEX audit_at ON audit (at);

-- Who may run the scheduled jobs. The token grows with each change of hands: an old leader's is refused.
CREATE TABLE leases (
  name       text PRIMARY KEY,
  holder     text NOT NULL,
  token      bigint NOT NULL,
  expires_at timestamptz NOT NULL
);

CREATE TABLE job_runs (
  job          text PRIMARY KEY,
  first_seen   timestamptz NOT NULL,
  started_at   timestamptz,
  succeeded_at timestamptz,
  result       text,
  deleted      bigint NOT NULL
);

-- How far a JSON Lines feed was read, in bytes.
CREATE TABLE feed_checkpoints (
  feed     text PRIMARY KEY,
  position bigint NOT NULL
);

-- Dead letters of a feed that has no broker to keep them.
CREATE TABLE dead_letters (
  dead_letter_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  feed           text NOT NULL,
  at             timestamptz NOT NULL,
  reason         text NOT NULL,
  detail         text NOT NULL,
  body           bytea NOT NULL
);
