-- A contact in the trash holds its addresses until another one claims them, so that holding one (contact_emails.live) does
-- not say any more that the contact shows. Until the last older worker ends, its restores and imports may refuse an
-- address that is held in the trash; they succeed afterwards.
DROP VIEW crm_contact_members;
CREATE VIEW crm_contact_members AS
SELECT l.account_id, l.object_id AS contact_id,
       CASE l.type WHEN 'call' THEN 'calls' WHEN 'email' THEN 'emails' ELSE 'activities' END AS category,
       CAST(l.activity_id AS text) AS member
FROM crm_activity_associations l WHERE l.object_type = 'contact'
UNION ALL
SELECT l.account_id, l.object_id, 'associations', 'activity:' || l.activity_id
FROM crm_activity_associations l WHERE l.object_type = 'contact'
UNION ALL
SELECT a.account_id, a.from_id, 'associations',
       a.to_type || ':' || a.to_id || CASE a.label WHEN '' THEN '' ELSE ':' || a.label END
FROM crm_associations a WHERE a.from_type = 'contact'
UNION ALL
SELECT a.account_id, a.to_id, 'associations',
       a.from_type || ':' || a.from_id || CASE a.label WHEN '' THEN '' ELSE ':' || a.label END
FROM crm_associations a WHERE a.to_type = 'contact'
UNION ALL
SELECT e.account_id, e.contact_id, 'analytics', CAST(e.event_id AS text)
FROM analytics_events e JOIN crm_contacts c ON c.account_id = e.account_id AND c.contact_id = e.contact_id
UNION ALL
SELECT v.account_id, v.contact_id, CASE v.channel WHEN 'bot' THEN 'bots' ELSE 'conversations' END,
       CAST(v.conversation_id AS text)
FROM conversations v JOIN crm_contacts c ON c.account_id = v.account_id AND c.contact_id = v.contact_id
UNION ALL
SELECT m.account_id, m.contact_id, 'suppressions', d.status || ':' || d.email_key
FROM contact_emails m
JOIN deliverability d ON d.account_id = m.account_id AND d.email_key = m.email_key
JOIN crm_contacts c ON c.account_id = m.account_id AND c.contact_id = m.contact_id
UNION ALL
SELECT e.account_id, e.contact_id, 'customEvents', CAST(e.event_id AS text)
FROM custom_events e JOIN crm_contacts c ON c.account_id = e.account_id AND c.contact_id = e.contact_id
UNION ALL
SELECT f.account_id, f.contact_id, 'feedback', CAST(f.feedback_id AS text)
FROM feedback f JOIN crm_contacts c ON c.account_id = f.account_id AND c.contact_id = f.contact_id
UNION ALL
SELECT f.account_id, f.contact_id, 'files', CAST(f.file_id AS text)
FROM file_contacts f JOIN crm_contacts c ON c.account_id = f.account_id AND c.contact_id = f.contact_id
UNION ALL
SELECT f.account_id, s.contact_id, 'files', CAST(f.file_id AS text)
FROM form_submissions s
JOIN files f ON f.account_id = s.account_id AND f.form_submission_id = s.submission_id
JOIN crm_contacts c ON c.account_id = s.account_id AND c.contact_id = s.contact_id
WHERE NOT EXISTS (SELECT 1 FROM file_contacts l
                  WHERE l.account_id = f.account_id AND l.file_id = f.file_id AND l.contact_id = s.contact_id)
UNION ALL
SELECT s.account_id, s.contact_id, 'formSubmissions', CAST(s.submission_id AS text)
FROM form_submissions s JOIN crm_contacts c ON c.account_id = s.account_id AND c.contact_id = s.contact_id
UNION ALL
SELECT i.account_id, i.contact_id, 'integrations', i.source
FROM integrations i JOIN crm_contacts c ON c.account_id = i.account_id AND c.contact_id = i.contact_id
UNION ALL
SELECT m.account_id, m.contact_id, 'segments', CAST(m.segment_id AS text)
FROM crm_segment_members m
UNION ALL
-- Notifications stay while their contact is in the trash.
SELECT n.account_id, n.contact_id, 'notifications', CAST(n.notification_id AS text)
FROM notifications n WHERE n.contact_id IS NOT NULL
UNION ALL
SELECT q.account_id, q.contact_id, 'quotes', CAST(q.quote_id AS text)
FROM quote_contacts q JOIN crm_contacts c ON c.account_id = q.account_id AND c.contact_id = q.contact_id
UNION ALL
SELECT e.account_id, e.contact_id, 'workflows', CAST(e.workflow_id AS text)
FROM crm_active_enrollments e;
