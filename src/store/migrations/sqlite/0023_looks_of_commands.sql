-- Where a command looked at the clock last, a day may have passed until the next one: commands are run by the day.
ALTER TABLE clock ADD COLUMN by_command BOOLEAN NOT NULL DEFAULT FALSE;

-- The first look: a store that nobody ever looked after cannot tell a wrong clock.
INSERT INTO clock (clock_id, seen_at, by_command) VALUES (1, strftime('%Y-%m-%dT%H:%M:%f000Z', 'now'), TRUE) ON CONFLICT DO NOTHING;
