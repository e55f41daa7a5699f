-- DROP EXTENSION needs no CASCADE and leaves the user's tables as they were.
SET client_min_messages = error;
SELECT rtd_create_topic('t99-none', 'SELECT 1');
SELECT rtd_refresh('t99-none');
RESET client_min_messages;
CREATE TABLE t99_item (id int PRIMARY KEY, note text);
CREATE TABLE t99_log (id int, day date) PARTITION BY LIST (day);
CREATE TABLE t99_log_1 PARTITION OF t99_log FOR VALUES IN ('2026-01-01');
SELECT rtd_create_topic('t99-state', 'SELECT count(*) FROM t99_item');
SELECT rtd_create_topic('t99-durable', durable => true), rtd_broadcast('t99-durable', '1') >= 0 AS sent;
SELECT rtd_watch_table('t99_item');
SELECT rtd_watch_table('t99_item', 't99-state', audit => true, condition => 'OLD.note IS DISTINCT FROM ''x''',
    operations => '{UPDATE,DELETE,TRUNCATE}');
SELECT rtd_watch_table('t99_log', 't99-state');
CREATE TABLE t99_log_2 PARTITION OF t99_log FOR VALUES IN ('2026-01-02');
INSERT INTO t99_item VALUES (1, 'a');
DROP EXTENSION rtd;
SELECT count(*) AS triggers FROM pg_trigger WHERE tgrelid::regclass::text LIKE 't99%';
INSERT INTO t99_item VALUES (2, 'b');
UPDATE t99_item SET note = 'c';
DELETE FROM t99_item WHERE id = 1;
INSERT INTO t99_log VALUES (1, '2026-01-01'), (2, '2026-01-02');
SELECT * FROM t99_item;
TRUNCATE t99_item, t99_log;

-- the same session goes on with an extension in another schema
CREATE SCHEMA t99_elsewhere;
CREATE EXTENSION rtd SCHEMA t99_elsewhere;
SELECT t99_elsewhere.rtd_watch_table('t99_item', audit => true);
INSERT INTO t99_item VALUES (3, 'd');
SELECT relation, action, key FROM t99_elsewhere.rtd_audit_log;
SELECT relation, topic, problem FROM t99_elsewhere.rtd_watched_tables;
DROP EXTENSION rtd;
DROP SCHEMA t99_elsewhere;
CREATE EXTENSION rtd;
DROP TABLE t99_item, t99_log;
