-- A purge changes no other record: it looks for no one in their texts.
DROP TABLE owed_searches;

-- Not every address of a contact belongs to that contact alone: several may have one work_email.
ALTER TABLE contact_emails ADD COLUMN exclusive boolean NOT NULL DEFAULT TRUE;

-- Addresses of purged people get a mark of their own: only those of erased people are redacted in texts that come in. A hash
-- has the time of the transaction that made it.
UPDATE address_hashes SET status = 'purged' WHERE status = 'erased'
  AND EXISTS (SELECT 1 FROM gone_contacts g WHERE g.account_id = address_hashes.account_id
                AND g.gone_at = address_hashes.at AND g.state = 'purged')
  AND NOT EXISTS (SELECT 1 FROM erasures e WHERE e.account_id = address_hashes.account_id AND e.at = address_hashes.at);

-- Records of other kinds that an erasure deleted: no import brings them back.
CREATE TABLE erased_records (
  account_id bigint NOT NULL,
  kind       text NOT NULL,
  record_id  bigint NOT NULL,
  PRIMARY KEY (account_id, kind, record_id)
);

-- What an erasure did beyond its categories: records that stay and were changed, by kind; records that have an address and
-- were left alone. first_at is set where the person was erased before, and a backup brought the person back.
ALTER TABLE erasures ADD COLUMN others jsonb NOT NULL DEFAULT '{}';
ALTER TABLE erasures ADD COLUMN found jsonb NOT NULL DEFAULT '[]';
ALTER TABLE erasures ADD COLUMN first_at timestamptz;

-- Which addresses an erasure was about, as keyed hashes: a receipt is found by an address.
CREATE TABLE erasure_addresses (
  account_id bigint NOT NULL,
  hash       text NOT NULL,
  erasure_id bigint NOT NULL,
  PRIMARY KEY (account_id, hash, erasure_id)
);
INSERT INTO erasure_addresses (account_id, hash, erasure_id)
  SELECT e.account_id, h.hash, e.erasure_id FROM erasures e
  JOIN address_hashes h ON h.account_id = e.account_id AND h.at = e.at AND h.status = 'erased';

-- Calls stay on their page while their contact is in the trash, without it, as tasks do (row 6 of the matrix).
DROP VIEW crm_page_calls;
CREATE VIEW crm_page_calls AS
SELECT a.account_id, a.activity_id AS id, a.contact
FROM crm_activities a
WHERE a.type = 'call' AND NOT a.stub;
