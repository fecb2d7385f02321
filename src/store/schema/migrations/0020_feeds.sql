-- By what a file is known again: another one under its name is not read from the position of the first.
ALTER TABLE feed_checkpoints ADD COLUMN fingerprint TEXT;

-- An enrollment may wait for its contact, with the event that enrolled it: there is no contact yet that it could refer to.
ALTER TABLE waiting_events RENAME TO former_waiting_events;
CREATE TABLE waiting_events (
  account_id    bigint NOT NULL,
  enrollment_id bigint NOT NULL,
  action_id     bigint NOT NULL,
  contact_id    bigint NOT NULL,
  event         text NOT NULL,
  PRIMARY KEY (account_id, enrollment_id, action_id)
);
INSERT INTO waiting_events (account_id, enrollment_id, action_id, contact_id, event)
  SELECT account_id, enrollment_id, action_id, contact_id, event FROM former_waiting_events;
DROP TABLE former_waiting_events;
CREATE INDEX waiting_events_contact ON waiting_events (account_id, contact_id);
