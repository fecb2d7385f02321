-- As effects.sql, for SQLite: the contacts to go are in the table `chunk` (account_id, contact_id, enrollment_id, at).
INSERT INTO trash_entries (account_id, contact_id, deleted_at, deleted_by, workflow_id, enrollment_id)
  SELECT account_id, contact_id, at, 'workflow', 1, enrollment_id FROM chunk;

UPDATE contacts SET deleted_at = o.deleted_at, trash_entry_id = o.entry_id
  FROM chunk t CROSS JOIN trash_entries o ON o.account_id = t.account_id AND o.contact_id = t.contact_id AND o.closed_at IS NULL
  WHERE contacts.account_id = t.account_id AND contacts.contact_id = t.contact_id AND contacts.deleted_at IS NULL;

DELETE FROM segment_members WHERE (account_id, contact_id) IN (SELECT account_id, contact_id FROM chunk);

UPDATE workflow_enrollments SET active = FALSE
  WHERE active AND (account_id, contact_id) IN (SELECT account_id, contact_id FROM chunk);

UPDATE objects SET properties = json_remove(properties, '$.lifecyclestage')
  WHERE object_type = 'company' AND (account_id, object_id) IN
      (SELECT t.account_id, l.to_id FROM chunk t
         CROSS JOIN associations l ON l.account_id = t.account_id AND l.from_type = 'contact' AND l.from_id = t.contact_id AND l.to_type = 'company')
    AND NOT EXISTS (SELECT 1 FROM associations m JOIN contacts k ON k.account_id = m.account_id AND k.contact_id = m.from_id
      WHERE m.account_id = objects.account_id AND m.to_type = 'company' AND m.to_id = objects.object_id
        AND m.from_type = 'contact' AND k.deleted_at IS NULL);

INSERT INTO contact_counts (account_id, change) SELECT account_id, -count(*) FROM chunk GROUP BY account_id;

INSERT INTO guard_counts (account_id, workflow_id, slot_ends_at, deletions)
  SELECT account_id, w.value, at, count(*) FROM chunk, json_each('[0, 1]') w WHERE TRUE GROUP BY account_id, w.value
  ON CONFLICT (account_id, workflow_id, slot_ends_at) DO UPDATE SET deletions = guard_counts.deletions + excluded.deletions;

INSERT INTO outbox (account_id, type, data, created_at)
  SELECT t.account_id, 'contact.deletion', json_object('accountId', CAST(t.account_id AS TEXT), 'contactId', CAST(t.contact_id AS TEXT),
      'trashEntryId', CAST(o.entry_id AS TEXT), 'deletedAt', at,
      'deletedBy', json_object('kind', 'workflow', 'workflowId', '1', 'enrollmentId', CAST(t.enrollment_id AS TEXT))), at
  FROM chunk t CROSS JOIN trash_entries o ON o.account_id = t.account_id AND o.contact_id = t.contact_id AND o.closed_at IS NULL;

INSERT INTO audit (account_id, at, actor, action, ids, count)
  SELECT account_id, at, 'workflow:1', 'trash', json_group_array(CAST(contact_id AS TEXT)), count(*) FROM chunk GROUP BY account_id;

INSERT INTO ledger (account_id, enrollment_id, action_id, workflow_id, object_type_id, object_id, cause, enrolled_at,
    outcome, decided_at, trash_entry_id)
  SELECT t.account_id, t.enrollment_id, 1, 1, '0-1', t.contact_id, 'CRITERIA', at, 'deleted', at, o.entry_id
  FROM chunk t CROSS JOIN trash_entries o ON o.account_id = t.account_id AND o.contact_id = t.contact_id AND o.closed_at IS NULL
  WHERE TRUE ON CONFLICT DO NOTHING
