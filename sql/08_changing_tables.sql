-- A watched table is renamed, altered, partitioned or dropped: the writes go on.
SET client_min_messages = error;
SELECT rtd_create_topic('t8-topic', parameters => '{project}');
SELECT rtd_broadcast('t8-topic', '1', '{1}');
RESET client_min_messages;
CREATE TABLE t8_item (id int PRIMARY KEY, project int, label text, other text);
SELECT rtd_watch_table('t8_item', 't8-topic', columns => '{id,label,TABLE AS table}', channel => 't8', audit => true);
INSERT INTO t8_item VALUES (1, 1, 'first');
LISTEN t8;

-- in the session that has the watch in memory
\o | sed -E 's/"timestamp": "[^"]*"/"timestamp": (ISO)/; s/ received from.*//'
ALTER TABLE t8_item RENAME TO t8_thing;
INSERT INTO t8_thing VALUES (2, 1, 'renamed table');
ALTER TABLE t8_thing ADD COLUMN extra int DEFAULT 5, DROP COLUMN other;
INSERT INTO t8_thing VALUES (3, 1, 'added and dropped another column');
ALTER TABLE t8_thing ALTER COLUMN id TYPE text;
INSERT INTO t8_thing VALUES ('4', 1, 'changed type');
\o
ALTER TABLE t8_thing RENAME COLUMN label TO name;
SELECT problem FROM rtd_watched_tables WHERE topic = 't8-topic';
\o | sed -E 's/"timestamp": "[^"]*"/"timestamp": (ISO)/; s/ received from.*//'
INSERT INTO t8_thing VALUES ('5', 1, 'renamed column');
INSERT INTO t8_thing VALUES ('6', 1, 'warned once');
ALTER TABLE t8_thing DROP COLUMN project;
INSERT INTO t8_thing VALUES ('7', 'dropped parameter');
ALTER TABLE t8_thing DROP COLUMN id;
INSERT INTO t8_thing VALUES ('dropped key');
\o
SELECT relation, problem FROM rtd_watched_tables WHERE topic = 't8-topic';
SELECT action, key FROM rtd_audit_log WHERE relation LIKE 'public.t8%' ORDER BY id;
SELECT rtd_watch_table('t8_thing', 't8-topic', columns => '{name}', parameters => '{NULL}', channel => 't8');
SELECT problem IS NULL AS repaired FROM rtd_watched_tables WHERE topic = 't8-topic';
\o | sed -E 's/"timestamp": "[^"]*"/"timestamp": (ISO)/; s/ received from.*//'
INSERT INTO t8_thing VALUES ('repaired');
\o

-- triggers that were disabled or dropped are reported
ALTER TABLE t8_thing DISABLE TRIGGER "rtd_t8-topic";
SELECT trigger_exists, enabled, problem FROM rtd_watched_tables WHERE topic = 't8-topic';
DROP TRIGGER "rtd_t8-topic" ON t8_thing;
SELECT trigger_exists, enabled, problem FROM rtd_watched_tables WHERE topic = 't8-topic';
SELECT has_source FROM rtd_topics WHERE name = 't8-topic';

-- a dropped table leaves its row until the next watch
DROP TABLE t8_thing;
SELECT problem FROM rtd_watched_tables WHERE topic = 't8-topic';
CREATE TABLE t8_next (id int PRIMARY KEY, project text);
SELECT rtd_watch_table('t8_next', 't8-topic');
SELECT relation, problem FROM rtd_watched_tables WHERE topic = 't8-topic';

-- the topic changes under a trigger that is in memory
INSERT INTO t8_next VALUES (1, 'p');
SELECT rtd_alter_topic('t8-topic', 'SELECT $1 AS project', retain => false);
INSERT INTO t8_next VALUES (2, 'p'), (3, NULL);

-- a partitioned table, with its partitions of now and later
CREATE TABLE t8_log (id int, day date, note text, PRIMARY KEY (id, day)) PARTITION BY RANGE (day);
CREATE TABLE t8_log_1 PARTITION OF t8_log FOR VALUES FROM ('2026-01-01') TO ('2026-02-01');
CREATE TABLE t8_log_2 (note text, junk int, day date NOT NULL, id int NOT NULL);
ALTER TABLE t8_log_2 DROP COLUMN junk;
SELECT rtd_create_topic('t8-log');
SELECT rtd_watch_table('t8_log', 't8-log', columns => '{id,note,TABLE AS table}', channel => 't8', audit => true);
ALTER TABLE t8_log ATTACH PARTITION t8_log_2 FOR VALUES FROM ('2026-02-01') TO ('2026-03-01');
\o | sed -E 's/"timestamp": "[^"]*"/"timestamp": (ISO)/; s/ received from.*//'
INSERT INTO t8_log VALUES (1, '2026-01-05', 'one'), (2, '2026-02-05', 'two');
UPDATE t8_log SET note = 'changed';
UPDATE t8_log SET day = '2026-02-06' WHERE id = 1;
ALTER TABLE t8_log RENAME TO t8_journal;
INSERT INTO t8_log_2 VALUES ('direct', '2026-02-07', 3);
TRUNCATE t8_journal;
\o
SELECT relation, action, key FROM rtd_audit_log WHERE relation LIKE 'public.t8_log' OR relation LIKE 'public.t8_journal' ORDER BY id;
SELECT rtd_unwatch_table('t8_journal');
SELECT count(*) AS triggers_left FROM pg_trigger WHERE tgrelid IN ('t8_journal'::regclass, 't8_log_1'::regclass, 't8_log_2'::regclass);

SELECT rtd_drop_topic(name) FROM rtd_topics WHERE name LIKE 't8-%' ORDER BY name;
DELETE FROM rtd_audit_log WHERE relation LIKE 'public.t8%';
DROP TABLE t8_next, t8_journal;
