-- Tables by the terms of the documents: a pause, and an enrollment that is pending.
ALTER TABLE switches RENAME TO pauses;
ALTER TABLE waiting_enrollments RENAME TO pending_enrollments;
ALTER TABLE waiting_events RENAME TO pending_events;
