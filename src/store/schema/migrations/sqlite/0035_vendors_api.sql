-- The vendor's API for activities, lists and workflows.

ALTER TABLE activities ADD COLUMN updated_at TEXT;

-- Was the id given here, rather than by an import?
ALTER TABLE activities ADD COLUMN has_given_id BOOLEAN NOT NULL DEFAULT FALSE;
ALTER TABLE segments ADD COLUMN has_given_id BOOLEAN NOT NULL DEFAULT FALSE;
ALTER TABLE workflows ADD COLUMN has_given_id BOOLEAN NOT NULL DEFAULT FALSE;

-- By which label an account knows a type of associations.
CREATE INDEX associations_labelled ON associations (account_id, association_type_id) WHERE label <> '';

-- Segments have a trash of their own. One in it is unknown wherever it is asked for, and shows no members.
ALTER TABLE segments ADD COLUMN created_at TEXT;
ALTER TABLE segments ADD COLUMN updated_at TEXT;
ALTER TABLE segments ADD COLUMN deleted_at TEXT;
CREATE INDEX segments_deleted ON segments (deleted_at) WHERE deleted_at IS NOT NULL;
ALTER TABLE segment_members ADD COLUMN joined_at TEXT;
ALTER TABLE record_segment_members ADD COLUMN joined_at TEXT;

DROP VIEW crm_segment_members;
CREATE VIEW crm_segment_members AS
SELECT m.account_id, m.segment_id, m.contact_id
FROM segment_members m
JOIN crm_contacts c ON c.account_id = m.account_id AND c.contact_id = m.contact_id
WHERE NOT EXISTS (SELECT 1 FROM segments s
                  WHERE s.account_id = m.account_id AND s.segment_id = m.segment_id AND s.deleted_at IS NOT NULL);

DROP VIEW crm_record_segment_members;
CREATE VIEW crm_record_segment_members AS
SELECT m.account_id, m.segment_id, s.object_type, m.record_id
FROM record_segment_members m
JOIN segments s ON s.account_id = m.account_id AND s.segment_id = m.segment_id AND s.deleted_at IS NULL
WHERE EXISTS (SELECT 1 FROM stored_records r
              WHERE r.account_id = m.account_id AND r.object_type = s.object_type AND r.record_id = m.record_id
                AND r.deleted_at IS NULL);
