-- What identifies people who were purged, until the run that purged them has searched the texts of others for it.
CREATE TABLE owed_searches (
  account_id INTEGER NOT NULL,
  contact_id INTEGER NOT NULL,
  texts      TEXT NOT NULL,
  PRIMARY KEY (account_id, contact_id)
);
