-- Tokens for the HTTP side. Each acts as a user of its account; of the secret itself only a hash is kept.
CREATE TABLE tokens (
  account_id   bigint NOT NULL,
  token_id     bigint GENERATED ALWAYS AS IDENTITY,
  user_id      bigint NOT NULL,
  name         text NOT NULL,
  token_hash   text NOT NULL,
  created_at   timestamptz NOT NULL,
  expires_at   timestamptz,
  revoked_at   timestamptz,
  last_used_at timestamptz,
  PRIMARY KEY (account_id, token_id)
);
CREATE UNIQUE INDEX tokens_hash ON tokens (account_id, token_hash);

-- A browser that has shown a token. It ends by itself, and with its token.
CREATE TABLE sessions (
  account_id   bigint NOT NULL,
  session_hash text NOT NULL,
  token_id     bigint NOT NULL,
  expires_at   timestamptz NOT NULL,
  PRIMARY KEY (account_id, session_hash)
);

-- Forms that were sent: none is taken twice. Kept for as long as one is good for.
CREATE TABLE spent_forms (
  account_id bigint NOT NULL,
  form       text NOT NULL,
  expires_at timestamptz NOT NULL,
  PRIMARY KEY (account_id, form)
);
