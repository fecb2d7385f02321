-- Reading over HTTP takes the permission view from now on, and erasing takes permanently_delete instead of delete. So that
-- users go on doing what they did, those who hold any permission get view, and those who hold delete get
-- permanently_delete. A user without any permission could read the whole account, which was a fault, and gets none;
-- super_admin stands for all.
CREATE TEMPORARY TABLE granted AS
  SELECT u.account_id, u.user_id, (
    SELECT json_group_array(p.name) FROM (
      SELECT h.value AS name FROM json_each(u.permissions) h
      UNION ALL
      SELECT 'permanently_delete' WHERE EXISTS (SELECT 1 FROM json_each(u.permissions) h WHERE h.value = 'delete')
        AND NOT EXISTS (SELECT 1 FROM json_each(u.permissions) h WHERE h.value = 'permanently_delete')
      UNION ALL
      SELECT 'view' WHERE NOT EXISTS (SELECT 1 FROM json_each(u.permissions) h WHERE h.value = 'view')) p) AS permissions
  FROM users u
  WHERE json_array_length(u.permissions) > 0
    AND NOT EXISTS (SELECT 1 FROM json_each(u.permissions) h WHERE h.value = 'super_admin');

INSERT INTO audit (account_id, at, actor, action, ids, count)
  SELECT account_id, strftime('%Y-%m-%dT%H:%M:%f', 'now') || '000Z', 'migration:permissions', 'grant_permissions',
         json_group_array(CAST(user_id AS text)), count(*)
  FROM (SELECT account_id, user_id FROM granted ORDER BY account_id, user_id) GROUP BY account_id;

UPDATE users SET permissions = g.permissions FROM granted g
WHERE users.account_id = g.account_id AND users.user_id = g.user_id;

DROP TABLE granted;
