-- The outbox is read from its oldest message on, whatever the account; without this each look would sort all of it.
CREATE INDEX outbox_order ON outbox (message_id);
