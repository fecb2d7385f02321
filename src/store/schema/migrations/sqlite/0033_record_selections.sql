-- Records of every type are selected by a segment or a filter, and are members of segments of their type.

-- The type of what a deletion selects; NULL where records that are no contacts were named.
ALTER TABLE deletions ADD COLUMN object_type TEXT;
UPDATE deletions SET object_type = 'contact'
WHERE NOT EXISTS (SELECT 1 FROM record_trash_entries e
                  WHERE e.account_id = deletions.account_id AND e.deletion_id = deletions.deletion_id);
ALTER TABLE deletion_items RENAME COLUMN contact_id TO record_id;
CREATE INDEX record_trash_entries_deletion ON record_trash_entries (account_id, deletion_id, record_id)
  WHERE deletion_id IS NOT NULL;
-- When a record came back: a restore changes it.
CREATE INDEX record_trash_entries_restored ON record_trash_entries (account_id, object_type, record_id)
  WHERE closed_as = 'restored';

-- The type of its members, and those that are no contacts.
ALTER TABLE segments ADD COLUMN object_type TEXT NOT NULL DEFAULT 'contact';
CREATE TABLE record_segment_members (
  account_id INTEGER NOT NULL,
  segment_id INTEGER NOT NULL,
  record_id  INTEGER NOT NULL,
  PRIMARY KEY (account_id, segment_id, record_id),
  FOREIGN KEY (account_id, segment_id) REFERENCES segments DEFERRABLE INITIALLY DEFERRED
);
CREATE INDEX record_segment_members_record ON record_segment_members (account_id, record_id);

-- Records that are no contacts, live and in the trash.
CREATE VIEW stored_records AS
SELECT account_id, object_type, object_id AS record_id, deleted_at
FROM objects
UNION ALL
SELECT account_id, type, activity_id, deleted_at
FROM activities
WHERE NOT stub;

CREATE VIEW crm_record_segment_members AS
SELECT m.account_id, m.segment_id, s.object_type, m.record_id
FROM record_segment_members m
JOIN segments s ON s.account_id = m.account_id AND s.segment_id = m.segment_id
WHERE EXISTS (SELECT 1 FROM stored_records r
              WHERE r.account_id = m.account_id AND r.object_type = s.object_type AND r.record_id = m.record_id
                AND r.deleted_at IS NULL);

DROP VIEW crm_page_segment;
CREATE VIEW crm_page_segment AS
SELECT account_id, segment_id, contact_id AS id
FROM crm_segment_members
UNION ALL
SELECT account_id, segment_id, record_id
FROM crm_record_segment_members;
