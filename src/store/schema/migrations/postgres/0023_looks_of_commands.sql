-- Where a command looked at the clock last, a day may have passed until the next one: commands are run by the day.
ALTER TABLE clock ADD COLUMN by_command boolean NOT NULL DEFAULT FALSE;
