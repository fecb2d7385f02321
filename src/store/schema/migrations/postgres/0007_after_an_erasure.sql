-- A mail that did not go through waits by itself until retry_at.
ALTER TABLE outbox ADD COLUMN tries bigint NOT NULL DEFAULT 0;
ALTER TABLE outbox ADD COLUMN retry_at timestamptz;
-- Mails are looked for beside events, which may wait in their millions.
CREATE INDEX outbox_mail ON outbox (message_id) WHERE type = 'mail.erasure';

-- Erasures by an address that nobody had are told apart by their time.
CREATE INDEX erasures_unknown ON erasures (account_id, at) WHERE contact_id IS NULL;
