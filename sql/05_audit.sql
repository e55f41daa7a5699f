-- audit => true: one row per change in the same transaction, whoever writes.
SET client_min_messages = error;
SELECT rtd_create_topic('t5-none', 'SELECT 1');
SELECT rtd_refresh('t5-none');
SELECT rtd_drop_topic('t5-none');
RESET client_min_messages;

CREATE TABLE t5_phase (a int, b text, note text, PRIMARY KEY (a, b));
SELECT rtd_create_topic('t5-state', 'SELECT count(*) FROM t5_phase');
SELECT rtd_watch_table('t5_phase', 't5-state', columns => '{a AS first,b,note}', audit => true);

-- an unprivileged writer needs no grant but the table's
CREATE ROLE regress_rtd_writer;
GRANT INSERT, UPDATE, DELETE, SELECT ON t5_phase TO regress_rtd_writer;
SET ROLE regress_rtd_writer;
INSERT INTO t5_phase VALUES (1, 'x'), (2, 'y "quoted"');
UPDATE t5_phase SET note = 'n';
UPDATE t5_phase SET note = 'n';
UPDATE t5_phase SET a = 3 WHERE a = 2;
DELETE FROM t5_phase WHERE a = 1;
SELECT * FROM rtd_audit_log;
RESET ROLE;
BEGIN;
DELETE FROM t5_phase;
ROLLBACK;
TRUNCATE t5_phase;
SELECT relation, action, key, changed_at > now() - interval '1 hour' AS recent
  FROM rtd_audit_log WHERE relation = 'public.t5_phase' ORDER BY id;

-- a watch without columns has no key to log
SELECT rtd_watch_table('t5_phase', 't5-state', columns => '{}', audit => true);
INSERT INTO t5_phase VALUES (9, 'z');
SELECT action, key FROM rtd_audit_log WHERE relation = 'public.t5_phase' ORDER BY id DESC LIMIT 1;

SELECT rtd_drop_topic('t5-state');
DELETE FROM rtd_audit_log WHERE relation = 'public.t5_phase';
DROP TABLE t5_phase;
DROP ROLE regress_rtd_writer;
