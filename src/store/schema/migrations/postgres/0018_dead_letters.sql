-- Dead letters of both feeds, each written with the batch that it is of. Account 0: the body names none. By its identity
-- a later delivery of the message is known, so that no message is written twice.
ALTER TABLE dead_letters RENAME TO former_dead_letters;
CREATE TABLE dead_letters (
  account_id     bigint NOT NULL DEFAULT 0,
  dead_letter_id bigint GENERATED ALWAYS AS IDENTITY,
  feed           text NOT NULL,
  at             timestamptz NOT NULL,
  reason         text NOT NULL,
  detail         text NOT NULL,
  attempts       bigint NOT NULL DEFAULT 0,
  exchange       text NOT NULL DEFAULT '',
  routing_key    text NOT NULL DEFAULT '',
  traceparent    text,
  content_type   text,
  body           bytea NOT NULL,
  identity       text,
  may_repeat     boolean NOT NULL DEFAULT FALSE,
  PRIMARY KEY (account_id, dead_letter_id)
);
CREATE INDEX dead_letters_by_id ON dead_letters (dead_letter_id);
CREATE INDEX dead_letters_at ON dead_letters (at);
CREATE INDEX dead_letters_identity ON dead_letters (identity);

INSERT INTO dead_letters (dead_letter_id, feed, at, reason, detail, body)
OVERRIDING SYSTEM VALUE
SELECT dead_letter_id, feed, at, reason, detail, body FROM former_dead_letters;
SELECT setval(pg_get_serial_sequence('dead_letters', 'dead_letter_id'),
              (SELECT coalesce(max(dead_letter_id), 0) + 1 FROM dead_letters), FALSE);
DROP TABLE former_dead_letters;

-- The account that the body names. A body need not be text, nor JSON.
DO $$
DECLARE
  letter record;
  named  jsonb;
BEGIN
  FOR letter IN SELECT dead_letter_id, body FROM dead_letters LOOP
    BEGIN
      named := CAST(convert_from(letter.body, 'UTF8') AS jsonb) -> 'data';
      UPDATE dead_letters SET account_id = CAST(coalesce(named ->> 'accountId', named ->> 'portalId') AS bigint)
      WHERE dead_letter_id = letter.dead_letter_id
        AND coalesce(named ->> 'accountId', named ->> 'portalId') ~ '^[1-9][0-9]*$'
        AND (named ->> 'portalId' IS NULL OR named ->> 'accountId' IS NULL
             OR named ->> 'portalId' = named ->> 'accountId');
    EXCEPTION WHEN OTHERS THEN
      NULL;
    END;
  END LOOP;
END $$;
