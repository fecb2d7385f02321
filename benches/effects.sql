-- All that a delete by workflow 1 does to contacts, as one would write it by hand: no checks. Every statement takes the
-- same three lists: accounts, contacts, enrollments.
INSERT INTO trash_entries (account_id, contact_id, deleted_at, deleted_by, workflow_id, enrollment_id)
  SELECT a, c, now(), 'workflow', 1, e FROM unnest($1::bigint[], $2::bigint[], $3::bigint[]) AS t(a, c, e);

UPDATE contacts SET deleted_at = now(), trash_entry_id = o.entry_id
  FROM unnest($1::bigint[], $2::bigint[], $3::bigint[]) AS t(a, c, e) JOIN trash_entries o ON o.account_id = a AND o.contact_id = c AND o.closed_at IS NULL
  WHERE contacts.account_id = a AND contacts.contact_id = c AND contacts.deleted_at IS NULL;

DELETE FROM segment_members USING unnest($1::bigint[], $2::bigint[], $3::bigint[]) AS t(a, c, e)
  WHERE account_id = a AND contact_id = c AND e IS NOT NULL;

UPDATE workflow_enrollments SET active = FALSE FROM unnest($1::bigint[], $2::bigint[], $3::bigint[]) AS t(a, c, e)
  WHERE account_id = a AND contact_id = c AND active AND e IS NOT NULL;

UPDATE objects SET properties = properties - 'lifecyclestage'
  WHERE object_type = 'company' AND (account_id, object_id) IN
      (SELECT a, l.to_id FROM unnest($1::bigint[], $2::bigint[], $3::bigint[]) AS t(a, c, e)
         JOIN associations l ON l.account_id = a AND l.from_type = 'contact' AND l.from_id = c AND l.to_type = 'company')
    AND NOT EXISTS (SELECT 1 FROM associations m JOIN contacts k ON k.account_id = m.account_id AND k.contact_id = m.from_id
      WHERE m.account_id = objects.account_id AND m.to_type = 'company' AND m.to_id = objects.object_id
        AND m.from_type = 'contact' AND k.deleted_at IS NULL);

INSERT INTO contact_counts (account_id, change) SELECT a, -count(*) FROM unnest($1::bigint[], $2::bigint[], $3::bigint[]) AS t(a, c, e) GROUP BY a;

INSERT INTO guard_counts (account_id, workflow_id, slot_ends_at, deletions)
  SELECT a, w, date_trunc('minute', now()) + interval '1 minute', count(*) FROM unnest($1::bigint[], $2::bigint[], $3::bigint[]) AS t(a, c, e), unnest(ARRAY[0, 1]) w GROUP BY a, w
  ON CONFLICT (account_id, workflow_id, slot_ends_at) DO UPDATE SET deletions = guard_counts.deletions + excluded.deletions;

INSERT INTO outbox (account_id, type, data, created_at)
  SELECT a, 'contact.deletion', json_build_object('accountId', a::text, 'contactId', c::text, 'trashEntryId', o.entry_id::text,
      'deletedAt', now(), 'deletedBy', json_build_object('kind', 'workflow', 'workflowId', '1', 'enrollmentId', e::text)), now()
  FROM unnest($1::bigint[], $2::bigint[], $3::bigint[]) AS t(a, c, e) JOIN trash_entries o ON o.account_id = a AND o.contact_id = c AND o.closed_at IS NULL;

INSERT INTO audit (account_id, at, actor, action, ids, count)
  SELECT a, now(), 'workflow:1', 'trash', json_build_object('ids', json_agg(c::text)), count(*) FROM unnest($1::bigint[], $2::bigint[], $3::bigint[]) AS t(a, c, e) GROUP BY a;

INSERT INTO ledger (account_id, enrollment_id, action_id, workflow_id, object_type_id, object_id, cause, enrolled_at,
    outcome, decided_at, trash_entry_id)
  SELECT a, e, 1, 1, '0-1', c, 'CRITERIA', now(), 'deleted', now(), o.entry_id
  FROM unnest($1::bigint[], $2::bigint[], $3::bigint[]) AS t(a, c, e) JOIN trash_entries o ON o.account_id = a AND o.contact_id = c AND o.closed_at IS NULL
  ON CONFLICT DO NOTHING
