-- PostgreSQL gets an index on message_id here. SQLite has it: the column is the table's rowid. The step is kept so
-- that one number means one schema on both; a statement that does nothing, because a script needs one.
SELECT 1;
