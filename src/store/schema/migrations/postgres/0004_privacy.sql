-- Addresses of erased and purged people, as keyed hashes. The status 'erased' marks the address itself; the others
-- are its bounces, spam reports, unsubscribes and quarantines, in force again when the address comes back.
CREATE TABLE address_hashes (
  account_id      bigint NOT NULL,
  hash            text NOT NULL,
  status          text NOT NULL,
  key_id          text NOT NULL,
  at              timestamptz NOT NULL,
  subscription_id text,
  PRIMARY KEY (account_id, hash, status)
);

-- The key of the hashes, where no file holds it.
CREATE TABLE hash_keys (
  key_id   text PRIMARY KEY,
  key_line text NOT NULL
);

-- What an erasure did: counts, no person. contact_id is null where an address was unknown.
CREATE TABLE erasures (
  account_id bigint NOT NULL,
  erasure_id bigint GENERATED ALWAYS AS IDENTITY,
  contact_id bigint,
  at         timestamptz NOT NULL,
  user_id    bigint NOT NULL,
  counts     jsonb NOT NULL,
  PRIMARY KEY (account_id, erasure_id)
);

-- A contact under a hold can be neither erased nor purged.
CREATE TABLE legal_holds (
  account_id bigint NOT NULL,
  contact_id bigint NOT NULL,
  set_by     text NOT NULL,
  reason     text NOT NULL,
  since      timestamptz NOT NULL,
  PRIMARY KEY (account_id, contact_id)
);

-- When the last person of a quote was erased: from then on the schedule may delete it.
ALTER TABLE quotes ADD COLUMN orphaned_at timestamptz;
CREATE INDEX quotes_orphaned ON quotes (orphaned_at) WHERE orphaned_at IS NOT NULL;
