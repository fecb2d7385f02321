-- What each run of a job did, written with every batch of it: of a run that was killed it is known how far it came.
CREATE TABLE retention_runs (
  run_id     INTEGER PRIMARY KEY AUTOINCREMENT,
  job        TEXT NOT NULL,
  run_by     TEXT NOT NULL,
  token      INTEGER,
  started_at TEXT NOT NULL,
  active_at  TEXT NOT NULL,
  ended_at   TEXT,
  stopped_by TEXT,
  batches    INTEGER NOT NULL,
  deleted    INTEGER NOT NULL,
  failed     INTEGER NOT NULL,
  remaining  INTEGER,
  counts     TEXT NOT NULL
);
CREATE INDEX retention_runs_job ON retention_runs (job, run_id);
-- A job does not overlap with itself.
CREATE UNIQUE INDEX retention_runs_open ON retention_runs (job) WHERE ended_at IS NULL;

INSERT INTO retention_runs
  (job, run_by, started_at, active_at, ended_at, stopped_by, batches, deleted, failed, counts)
SELECT job, 'unknown', started_at, started_at, coalesce(succeeded_at, started_at), coalesce(result, 'killed'), 0,
       deleted, 0, '{}'
FROM job_runs WHERE started_at IS NOT NULL;
ALTER TABLE job_runs DROP COLUMN started_at;
ALTER TABLE job_runs DROP COLUMN succeeded_at;
ALTER TABLE job_runs DROP COLUMN result;
ALTER TABLE job_runs DROP COLUMN deleted;

-- What a job could not delete: it is set aside for the rest of the run, and each later run tries it once, by itself.
CREATE TABLE retention_failures (
  account_id INTEGER NOT NULL,
  job        TEXT NOT NULL,
  item_id    INTEGER NOT NULL,
  failed_at  TEXT NOT NULL,
  tries      INTEGER NOT NULL,
  PRIMARY KEY (account_id, job, item_id)
);
CREATE INDEX retention_failures_job ON retention_failures (job, failed_at);

-- From then on the feedback and the form submissions of a contact in the trash are on no page.
ALTER TABLE trash_entries ADD COLUMN unlisted_at TEXT;
CREATE INDEX trash_entries_listed ON trash_entries (deleted_at) WHERE closed_at IS NULL AND unlisted_at IS NULL;

DROP VIEW crm_page_feedback;
CREATE VIEW crm_page_feedback AS
SELECT f.account_id, f.feedback_id AS id, coalesce(CAST(c.contact_id AS text), 'Unknown contact') AS contact
FROM feedback f
LEFT JOIN crm_contacts c ON c.account_id = f.account_id AND c.contact_id = f.contact_id
WHERE NOT EXISTS (SELECT 1 FROM trash_entries e
                  WHERE e.account_id = f.account_id AND e.contact_id = f.contact_id AND e.closed_at IS NULL
                    AND e.unlisted_at IS NOT NULL);

DROP VIEW crm_page_form_submissions;
CREATE VIEW crm_page_form_submissions AS
SELECT s.account_id, s.submission_id AS id, coalesce(CAST(c.contact_id AS text), 'No contact') AS contact
FROM form_submissions s
LEFT JOIN crm_contacts c ON c.account_id = s.account_id AND c.contact_id = s.contact_id
WHERE NOT EXISTS (SELECT 1 FROM trash_entries e
                  WHERE e.account_id = s.account_id AND e.contact_id = s.contact_id AND e.closed_at IS NULL
                    AND e.unlisted_at IS NOT NULL);
