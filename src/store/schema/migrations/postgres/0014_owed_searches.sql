-- What identifies people who were purged, until the run that purged them has searched the texts of others for it.
CREATE TABLE owed_searches (
  account_id bigint NOT NULL,
  contact_id bigint NOT NULL,
  texts      jsonb NOT NULL,
  PRIMARY KEY (account_id, contact_id)
);
