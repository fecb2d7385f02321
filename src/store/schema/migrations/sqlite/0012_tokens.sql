-- Tokens for the HTTP side. Each acts as a user of its account; of the secret itself only a hash is kept.
CREATE TABLE tokens (
  account_id   INTEGER NOT NULL,
  token_id     INTEGER PRIMARY KEY AUTOINCREMENT,
  user_id      INTEGER NOT NULL,
  name         TEXT NOT NULL,
  token_hash   TEXT NOT NULL,
  created_at   TEXT NOT NULL,
  expires_at   TEXT,
  revoked_at   TEXT,
  last_used_at TEXT,
  UNIQUE (account_id, token_id)
);
CREATE UNIQUE INDEX tokens_hash ON tokens (account_id, token_hash);

-- A browser that has shown a token. It ends by itself, and with its token.
CREATE TABLE sessions (
  account_id   INTEGER NOT NULL,
  session_hash TEXT NOT NULL,
  token_id     INTEGER NOT NULL,
  expires_at   TEXT NOT NULL,
  PRIMARY KEY (account_id, session_hash)
);

-- Forms that were sent: none is taken twice. Kept for as long as one is good for.
CREATE TABLE spent_forms (
  account_id INTEGER NOT NULL,
  form       TEXT NOT NULL,
  expires_at TEXT NOT NULL,
  PRIMARY KEY (account_id, form)
);
