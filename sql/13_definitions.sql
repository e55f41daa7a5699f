-- DDL moves what topics and watches depend on.
SET client_min_messages = error; -- the word about a hub that is not there, once per session
SELECT rtd_create_topic('t13-word', 'SELECT 1 AS id'), rtd_refresh('t13-word'), rtd_drop_topic('t13-word');
RESET client_min_messages;
CREATE ROLE regress_rtd_first;
CREATE ROLE regress_rtd_second;
SELECT format('GRANT CREATE ON DATABASE %I TO regress_rtd_first, regress_rtd_second', current_database()) \gexec

-- the key of a watch follows the view
CREATE TABLE t13_item (id int PRIMARY KEY, other int UNIQUE, note text);
CREATE VIEW t13_view AS SELECT id, note FROM t13_item;
SELECT rtd_create_topic('t13-keyed', 'SELECT * FROM t13_view', key => '{id}');
SELECT rtd_watch_table('t13_item', 't13-keyed');
CREATE VIEW t13_keys AS SELECT relation, topic, key, problem FROM rtd_watched_tables WHERE topic LIKE 't13-%';
TABLE t13_keys;
-- also at the end of a transaction that became read-only
BEGIN;
CREATE OR REPLACE VIEW t13_view AS SELECT other AS id, note FROM t13_item;
SET TRANSACTION READ ONLY;
COMMIT;
TABLE t13_keys;
CREATE OR REPLACE VIEW t13_view AS SELECT id, note FROM t13_item;
CREATE OR REPLACE VIEW t13_view AS SELECT other AS id, note FROM t13_item;
TABLE t13_keys;
CREATE OR REPLACE VIEW t13_view AS SELECT id + 1 AS id, note FROM t13_item;
TABLE t13_keys;
BEGIN;
CREATE OR REPLACE VIEW t13_view AS SELECT other AS id, note FROM t13_item;
ROLLBACK;
TABLE t13_keys;
BEGIN;
SAVEPOINT s;
CREATE OR REPLACE VIEW t13_view AS SELECT other AS id, note FROM t13_item;
ROLLBACK TO s;
CREATE OR REPLACE VIEW t13_view AS SELECT id, note FROM t13_item;
COMMIT;
TABLE t13_keys;
ALTER TABLE t13_item RENAME COLUMN id TO number;
TABLE t13_keys;
-- in a function, and in a DO block
DO $$BEGIN EXECUTE 'CREATE OR REPLACE VIEW t13_view AS SELECT other AS id, note FROM t13_item'; END$$;
TABLE t13_keys;
-- the query fails: the topic says so, and its key waits
SELECT name, problem FROM rtd_topics WHERE name LIKE 't13-%' ORDER BY name;
DROP VIEW t13_view;
SELECT name, problem FROM rtd_topics WHERE name LIKE 't13-%' ORDER BY name;
TABLE t13_keys;
CREATE VIEW t13_view AS SELECT number AS id, note FROM t13_item;
SELECT name, problem FROM rtd_topics WHERE name LIKE 't13-%' ORDER BY name;
TABLE t13_keys;
SELECT rtd_unwatch_table('t13_item');

-- a table is swapped by renaming
SELECT rtd_create_topic('t13-event');
CREATE TABLE t13_live (id int PRIMARY KEY);
CREATE TABLE t13_next (id int PRIMARY KEY);
SELECT rtd_watch_table('t13_live', 't13-event');
ALTER TABLE t13_live RENAME TO t13_former;
TABLE t13_keys;
ALTER TABLE t13_next RENAME TO t13_live;
TABLE t13_keys;
SELECT has_source FROM rtd_topics WHERE name = 't13-event';
SELECT rtd_watch_table('t13_live', 't13-event');
TABLE t13_keys;
SELECT rtd_unwatch_table('t13_former');

-- a column is renamed: the event's fields keep their names
CREATE TABLE t13_fields (id int PRIMARY KEY, label text, "odd AS name" text);
SELECT rtd_watch_table('t13_fields', 't13-event', columns => '{id,label AS caption,"odd AS name",TABLE AS table}');
ALTER TABLE t13_fields RENAME COLUMN id TO number;
ALTER TABLE t13_fields RENAME COLUMN label TO title;
SELECT columns, problem FROM rtd_watched_tables WHERE relation = 't13_fields'::regclass;
-- back again
ALTER TABLE t13_fields RENAME COLUMN number TO id;
SELECT columns, problem FROM rtd_watched_tables WHERE relation = 't13_fields'::regclass;
-- two columns change places: the name decides, as in a query
BEGIN;
ALTER TABLE t13_fields RENAME COLUMN title TO title_old;
ALTER TABLE t13_fields ADD COLUMN title int;
COMMIT;
SELECT columns, problem FROM rtd_watched_tables WHERE relation = 't13_fields'::regclass;

-- partitions watched into the topic of their parent, in any order
CREATE TABLE t13_parent (id int, day int) PARTITION BY LIST (day);
CREATE TABLE t13_child (id int, day int);
CREATE TABLE t13_later PARTITION OF t13_parent FOR VALUES IN (2);
SELECT rtd_watch_table('t13_child', 't13-event', columns => '{id}', channel => 't13');
SELECT rtd_watch_table('t13_parent', 't13-event', columns => '{id}', channel => 't13');
ALTER TABLE t13_parent ATTACH PARTITION t13_child FOR VALUES IN (1);
SELECT rtd_watch_table('t13_later', 't13-event', columns => '{id}', channel => 't13');
LISTEN t13;
\o | sed -E 's/"timestamp": "[^"]*"/"timestamp": (ISO)/; s/ received from.*//'
INSERT INTO t13_parent VALUES (1, 1), (2, 2);
UPDATE t13_later SET id = 3;
ALTER TABLE t13_parent DETACH PARTITION t13_child;
INSERT INTO t13_child VALUES (4, 1);
\o
UNLISTEN t13;

-- owners
SET ROLE regress_rtd_first;
SELECT rtd_create_topic('t13-mine', 'SELECT current_user AS me, 1 AS n'), rtd_create_topic('t13-log');
RESET ROLE;
CREATE VIEW t13_owners AS SELECT name, owner, problem FROM rtd_topics WHERE name IN ('t13-mine', 't13-log') ORDER BY name;
SET ROLE regress_rtd_first;
\set VERBOSITY sqlstate
SELECT rtd_alter_topic('t13-mine', owner => 'regress_rtd_second');
\set VERBOSITY default
RESET ROLE;
GRANT regress_rtd_second TO regress_rtd_first;
SET ROLE regress_rtd_first;
SELECT rtd_alter_topic('t13-mine', owner => 'regress_rtd_second');
RESET ROLE;
SET ROLE regress_rtd_second;
SELECT rtd_alter_topic('t13-log', owner => 'regress_rtd_second');
RESET ROLE;
SELECT rtd_alter_topic('t13-mine', owner => 0::regrole);
TABLE t13_owners;
-- the new owner must be allowed to read what the query reads
SELECT rtd_alter_topic('t13-keyed', owner => 'regress_rtd_first');
REASSIGN OWNED BY regress_rtd_first, regress_rtd_second TO CURRENT_USER;
SELECT name, owner = current_user::regrole AS mine FROM t13_owners;
SELECT rtd_alter_topic('t13-mine', owner => 'regress_rtd_first'), rtd_alter_topic('t13-log', owner => 'regress_rtd_second'),
       rtd_grant('t13-event', 'regress_rtd_first');
DROP OWNED BY regress_rtd_first;
TABLE t13_owners;
SELECT * FROM rtd_topic_grant WHERE topic = 't13-event';
SELECT rtd_grant('t13-event', 'regress_rtd_second', 'publish'), rtd_grant('t13-event', 'regress_rtd_first', 'publish');
SELECT format('REVOKE CREATE ON DATABASE %I FROM regress_rtd_second', current_database()) \gexec
DROP ROLE regress_rtd_second;
SELECT name, problem FROM t13_owners;
SELECT * FROM rtd_topic_grant WHERE topic = 't13-event';
SELECT rtd_alter_topic('t13-log', owner => 'regress_rtd_first');
SELECT format('GRANT CREATE ON DATABASE %I TO regress_rtd_first', current_database()) \gexec
SELECT rtd_alter_topic('t13-log', owner => 'regress_rtd_first');
TABLE t13_owners;
DROP OWNED BY regress_rtd_first;
DROP ROLE regress_rtd_first;
TABLE t13_owners;

SELECT rtd_drop_topic(name) FROM rtd_topics WHERE name LIKE 't13-%' ORDER BY name;
DROP VIEW t13_view, t13_keys, t13_owners;
DROP TABLE t13_item, t13_former, t13_live, t13_fields, t13_parent, t13_child;
