-- When the clock was last seen, and when it was last seen to jump.
CREATE TABLE clock (
  clock_id  INTEGER PRIMARY KEY CHECK (clock_id = 1),
  seen_at   TEXT NOT NULL,
  jumped_at TEXT
);
