-- Dead letters of both feeds, each written with the batch that it is of. Account 0: the body names none. By its identity
-- a later delivery of the message is known, so that no message is written twice.
ALTER TABLE dead_letters RENAME TO former_dead_letters;
CREATE TABLE dead_letters (
  account_id     INTEGER NOT NULL DEFAULT 0,
  dead_letter_id INTEGER PRIMARY KEY AUTOINCREMENT,
  feed           TEXT NOT NULL,
  at             TEXT NOT NULL,
  reason         TEXT NOT NULL,
  detail         TEXT NOT NULL,
  attempts       INTEGER NOT NULL DEFAULT 0,
  exchange       TEXT NOT NULL DEFAULT '',
  routing_key    TEXT NOT NULL DEFAULT '',
  traceparent    TEXT,
  content_type   TEXT,
  body           BLOB NOT NULL,
  identity       TEXT,
  may_repeat     INTEGER NOT NULL DEFAULT FALSE,
  UNIQUE (account_id, dead_letter_id)
);
CREATE INDEX dead_letters_at ON dead_letters (at);
CREATE INDEX dead_letters_identity ON dead_letters (identity);

INSERT INTO dead_letters (dead_letter_id, feed, at, reason, detail, body)
SELECT dead_letter_id, feed, at, reason, detail, body FROM former_dead_letters;
DROP TABLE former_dead_letters;

-- The account that the body names. A body need not be text, nor JSON.
UPDATE dead_letters SET account_id = named.account_id
FROM (SELECT dead_letter_id,
             coalesce(json_extract(body, '$.data.accountId'), json_extract(body, '$.data.portalId')) AS account_id,
             json_extract(body, '$.data.portalId') AS portal_id
      FROM (SELECT dead_letter_id, CAST(body AS text) AS body FROM dead_letters
            WHERE json_valid(CAST(body AS text)))) AS named
WHERE named.dead_letter_id = dead_letters.dead_letter_id
  AND CAST(CAST(named.account_id AS INTEGER) AS text) = CAST(named.account_id AS text)
  AND CAST(named.account_id AS INTEGER) > 0
  AND (named.portal_id IS NULL OR CAST(named.portal_id AS text) = CAST(named.account_id AS text));
