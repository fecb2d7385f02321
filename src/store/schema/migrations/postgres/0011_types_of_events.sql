-- Whether an account has any event of a type.
CREATE INDEX custom_events_type ON custom_events (account_id, event_type_id);
