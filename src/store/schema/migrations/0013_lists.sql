-- Lists are of one account, by time: without these the list of a quiet account looks through what the others did.
CREATE INDEX trash_entries_listed_by_account ON trash_entries (account_id, deleted_at, entry_id) WHERE closed_at IS NULL;
CREATE INDEX ledger_account ON ledger (account_id, decided_at);
CREATE INDEX audit_account ON audit (account_id, at, audit_id);
