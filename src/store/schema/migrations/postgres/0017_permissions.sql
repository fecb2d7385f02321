-- Reading over HTTP takes the permission view from now on, and erasing takes permanently_delete instead of delete. So that
-- users go on doing what they did, those who hold any permission get view, and those who hold delete get
-- permanently_delete. A user without any permission could read the whole account, which was a fault, and gets none;
-- super_admin stands for all.
CREATE TEMPORARY TABLE granted ON COMMIT DROP AS
  SELECT account_id, user_id, permissions
    || CASE WHEN permissions @> '["delete"]' AND NOT permissions @> '["permanently_delete"]'
            THEN '["permanently_delete"]'::jsonb ELSE '[]'::jsonb END
    || CASE WHEN permissions @> '["view"]' THEN '[]'::jsonb ELSE '["view"]'::jsonb END AS permissions
  FROM users WHERE permissions <> '[]' AND NOT permissions @> '["super_admin"]';

INSERT INTO audit (account_id, at, actor, action, ids, count)
  SELECT account_id, now(), 'migration:permissions', 'grant_permissions',
         jsonb_agg(CAST(user_id AS text) ORDER BY user_id), count(*)
  FROM granted GROUP BY account_id;

UPDATE users SET permissions = g.permissions FROM granted g
WHERE users.account_id = g.account_id AND users.user_id = g.user_id;

DROP TABLE granted;
