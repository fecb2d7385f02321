-- By what a file is known again: another one under its name is not read from the position of the first.
ALTER TABLE feed_checkpoints ADD COLUMN fingerprint TEXT;
