-- :contacts live contacts in :accounts accounts with :workflows workflows each, every contact with 11 related rows and
-- :more notes; ten contacts a company. Contact n is of account 1 + n % :accounts.
-- All rows fit: nothing is to be checked.
SET session_replication_role = replica;
CREATE TEMP TABLE c AS
  SELECT 1 + n % :accounts AS account_id, n AS contact_id FROM generate_series(1::bigint, :contacts) n;

INSERT INTO accounts SELECT n, 'Account ' || n, 'Europe/Berlin' FROM generate_series(1, :accounts) n;
INSERT INTO subscriptions
  SELECT account_id, 'marketing_hub', now() - interval '30 days', 'enterprise' FROM accounts;
INSERT INTO workflows (account_id, workflow_id, flow)
  SELECT account_id, n, replace(:flow, ':workflow', n::text) FROM accounts, generate_series(1, :workflows) n;
INSERT INTO segments SELECT account_id, n, 'Segment ' || n, 'MANUAL' FROM accounts, generate_series(1, 2) n;
INSERT INTO objects
  SELECT account_id, 'company', 1 + contact_id / :accounts / 10, '{"name": "A Company", "lifecyclestage": "lead"}'
  FROM c GROUP BY 1, 3;

INSERT INTO contacts (account_id, contact_id, properties, history, created_at)
  SELECT account_id, contact_id,
    jsonb_build_object('email', 'contact' || contact_id || '@example.com', 'lifecyclestage', 'lead',
      'firstname', 'First' || contact_id, 'lastname', 'Last' || contact_id, 'city', 'Berlin', 'country', 'DE',
      'lastmodifieddate', '2026-01-01T00:00:00Z'),
    '{}', now() - interval '20 days'
  FROM c;
INSERT INTO contact_counts (account_id, change) SELECT account_id, count(*) FROM c GROUP BY account_id;
INSERT INTO contact_emails (account_id, contact_id, email_key, email, live)
  SELECT account_id, contact_id, m, m, TRUE
  FROM (SELECT *, 'contact' || contact_id || end_of AS m FROM c, unnest(ARRAY['@example.com', '@example.org']) end_of) a;
INSERT INTO segment_members SELECT account_id, n, contact_id FROM c, generate_series(1, 2) n;
INSERT INTO workflow_enrollments (account_id, workflow_id, contact_id, enrolled_at, active)
  SELECT account_id, 1000000, contact_id, now() - interval '2 days', TRUE FROM c;
INSERT INTO associations (account_id, from_type, from_id, to_type, to_id, label)
  SELECT account_id, 'contact', contact_id, 'company', 1 + contact_id / :accounts / 10, '' FROM c;
INSERT INTO activities (account_id, activity_id, type, occurred_at, properties, stub)
  SELECT account_id, contact_id * 1000 + n, 'note', now() - interval '5 days', '{"body": "They called."}', FALSE
  FROM c, generate_series(0, :more) n;
INSERT INTO activity_associations (account_id, activity_id, object_type, object_id)
  SELECT account_id, contact_id * 1000 + n, 'contact', contact_id FROM c, generate_series(0, :more) n;
INSERT INTO analytics_events (account_id, event_id, contact_id, type, occurred_at, source)
  SELECT account_id, contact_id, contact_id, 'page_view', now() - interval '5 days', 'organic' FROM c;
INSERT INTO form_submissions (account_id, submission_id, contact_id, form_id, submitted_at, field_values)
  SELECT account_id, contact_id, contact_id, 'signup', now() - interval '5 days', '{}' FROM c;
INSERT INTO lifecycle_transitions SELECT account_id, contact_id, 'lead', now() - interval '20 days' FROM c;
DROP TABLE c;

-- The past: 100,000 deletions of contacts that are purged by now. For a ledger that is empty when its statistics are taken
-- PostgreSQL makes plans that suit an empty one.
CREATE TEMP TABLE past AS
  SELECT 1 + n % :accounts AS account_id, 2000000000 + n AS id, now() - interval '100 days' AS at FROM generate_series(1, 100000) n;
INSERT INTO trash_entries (account_id, contact_id, deleted_at, deleted_by, workflow_id, enrollment_id, closed_at, closed_as)
  SELECT account_id, id, at, 'workflow', 1, id, now() - interval '9 days', 'purged' FROM past;
INSERT INTO gone_contacts (account_id, contact_id, state, gone_at)
  SELECT account_id, id, 'purged', now() - interval '9 days' FROM past;
INSERT INTO ledger (account_id, enrollment_id, action_id, workflow_id, object_type_id, object_id, cause, enrolled_at, outcome, decided_at)
  SELECT account_id, id, 1, 1, '0-1', id, 'CRITERIA', at, 'deleted', at FROM past;
DROP TABLE past;
RESET session_replication_role;
