-- rtd_serve_table(): one call makes a table live. DETAIL and HINT of its own messages name the port
-- and the role, so they are left out here; test/e2e/serve_table.test.ts reads them.
CREATE ROLE regress_rtd_web;
CREATE ROLE regress_rtd_other;
\set VERBOSITY terse
CREATE TABLE t14_todo (id int PRIMARY KEY, title text, done boolean NOT NULL DEFAULT false);
SELECT rtd_serve_table('t14_todo', 'regress_rtd_web');
SELECT name, kind, key, security, query, has_source FROM rtd_topics WHERE name = 't14-todo';
SELECT topic, columns, operations, condition, key, problem FROM rtd_watched_tables WHERE relation = 't14_todo'::regclass;
SELECT * FROM rtd_topic_grant WHERE topic = 't14-todo';
SELECT * FROM rtd_served_table WHERE topic = 't14-todo';
-- again: nothing changes
SELECT rtd_serve_table('t14_todo', 'regress_rtd_web');
SELECT version FROM rtd_topics WHERE name = 't14-todo';
-- a second call changes it, grants it to another role too, and keeps what else was set
SELECT rtd_alter_topic('t14-todo', throttle => '1 s', history => 7);
SELECT rtd_serve_table('t14_todo', 'regress_rtd_other', columns => '{title}', condition => 'NOT done');
SELECT kind, key, query, throttle, history, version FROM rtd_topics WHERE name = 't14-todo';
SELECT * FROM rtd_topic_grant WHERE topic = 't14-todo' ORDER BY role::text;
SELECT rtd_serve_table('t14_todo', 'regress_rtd_web', columns => '{title AS what,id AS todo_id}');
SELECT key, query FROM rtd_topics WHERE name = 't14-todo';
SELECT key FROM rtd_watched_tables WHERE topic = 't14-todo';
-- the same table into a second topic
SELECT rtd_serve_table('t14_todo', 'regress_rtd_web', 't14-open', condition => 'NOT t14_todo.done -- nor hidden');
SELECT name, query FROM rtd_topics WHERE name = 't14-open';

-- names that need quotes, dropped, generated and identity columns, a composite key in the order of its index
CREATE SCHEMA "t14 Sch""ema";
CREATE TABLE "t14 Sch""ema"."Größe; DROP" (gone int, "Ort" text, "select" int GENERATED ALWAYS AS IDENTITY, "a""b" int,
    twice int GENERATED ALWAYS AS ("a""b" * 2) STORED, PRIMARY KEY ("select", "Ort") INCLUDE ("a""b"));
ALTER TABLE "t14 Sch""ema"."Größe; DROP" DROP COLUMN gone;
SELECT rtd_serve_table('"t14 Sch""ema"."Größe; DROP"', 'regress_rtd_web');
SELECT rtd_serve_table('"t14 Sch""ema"."Größe; DROP"', 'regress_rtd_web', 't14-quoted');
SELECT key, query FROM rtd_topics WHERE name = 't14-quoted';
SELECT rtd_serve_table('"t14 Sch""ema"."Größe; DROP"', 'regress_rtd_web', 't14-quoted', '{"a\"b AS x\"y",Ort,twice}');
SELECT key, query FROM rtd_topics WHERE name = 't14-quoted';
SELECT key FROM rtd_watched_tables WHERE topic = 't14-quoted';
-- key columns named like the members of every event, and a deferrable key
CREATE TABLE t14_series ("timestamp" timestamptz, operation text, n float, PRIMARY KEY (operation, "timestamp") DEFERRABLE);
SELECT rtd_serve_table('t14_series', 'regress_rtd_web');
SELECT key FROM rtd_topics WHERE name = 't14-series';
-- eight columns, and one too many
CREATE TABLE t14_eight (a int, b int, c int, d int, e int, f int, g int, h int, i int, PRIMARY KEY (a, b, c, d, e, f, g, h));
SELECT rtd_serve_table('t14_eight', 'regress_rtd_web');
SELECT key FROM rtd_topics WHERE name = 't14-eight';
ALTER TABLE t14_eight DROP CONSTRAINT t14_eight_pkey, ADD PRIMARY KEY (a, b, c, d, e, f, g, h, i);
SELECT rtd_serve_table('t14_eight', 'regress_rtd_web');
SELECT kind, key, throttle FROM rtd_topics WHERE name = 't14-eight';
-- key types by which nothing can be looked up
CREATE TABLE t14_float (x float8 PRIMARY KEY, note text);
SELECT rtd_serve_table('t14_float', 'regress_rtd_web');
SELECT kind, key FROM rtd_topics WHERE name = 't14-float';
CREATE TABLE t14_doc (doc jsonb PRIMARY KEY);
SELECT rtd_serve_table('t14_doc', 'regress_rtd_web');
SELECT kind FROM rtd_topics WHERE name = 't14-doc';
-- a column of JSON alone is told apart by the key, which is added
CREATE TABLE t14_json (id int PRIMARY KEY, doc jsonb);
SELECT rtd_serve_table('t14_json', 'regress_rtd_web', columns => '{doc}');
SELECT kind, key, query FROM rtd_topics WHERE name = 't14-json';
-- no primary key: a state topic, and a keyed one once there is one
CREATE TABLE t14_log (line text);
SELECT rtd_serve_table('t14_log', 'regress_rtd_web', condition => 'line <> ''''');
SELECT kind, key, throttle, query FROM rtd_topics WHERE name = 't14-log';
SELECT columns, key FROM rtd_watched_tables WHERE topic = 't14-log';
ALTER TABLE t14_log ADD id int GENERATED ALWAYS AS IDENTITY PRIMARY KEY;
SELECT rtd_serve_table('t14_log', 'regress_rtd_web');
SELECT kind, key, throttle, query FROM rtd_topics WHERE name = 't14-log';
ALTER TABLE t14_log DROP COLUMN id;
SELECT rtd_serve_table('t14_log', 'regress_rtd_web');
SELECT kind, key, throttle FROM rtd_topics WHERE name = 't14-log';
-- partitions and inheritance
CREATE TABLE t14_part (id int, region text, PRIMARY KEY (id, region)) PARTITION BY LIST (region);
CREATE TABLE t14_part_a PARTITION OF t14_part FOR VALUES IN ('a');
SELECT rtd_serve_table('t14_part', 'regress_rtd_web');
SELECT key, query FROM rtd_topics WHERE name = 't14-part';
SELECT rtd_serve_table('t14_part_a', 'regress_rtd_web');
CREATE TABLE t14_child () INHERITS (t14_todo);
SELECT rtd_serve_table('t14_todo', 'regress_rtd_web');

-- row-level security
ALTER TABLE t14_todo ENABLE ROW LEVEL SECURITY;
SELECT topic, problem FROM rtd_watched_tables WHERE relation = 't14_todo'::regclass ORDER BY topic;
SELECT rtd_serve_table('t14_todo', 'regress_rtd_web');
SELECT name, security FROM rtd_topics WHERE name IN ('t14-todo', 't14-open') ORDER BY name;
SELECT topic, problem FROM rtd_watched_tables WHERE relation = 't14_todo'::regclass ORDER BY topic;
CREATE POLICY everything ON t14_todo USING (true);
GRANT SELECT (id, title) ON t14_todo TO regress_rtd_web;
SELECT rtd_serve_table('t14_todo', 'regress_rtd_web', columns => '{title}');
SELECT rtd_serve_table('t14_todo', 'regress_rtd_web');
GRANT SELECT ON t14_todo TO regress_rtd_web;
SELECT rtd_serve_table('t14_todo', 'regress_rtd_web');
ALTER TABLE t14_todo DISABLE ROW LEVEL SECURITY;
SELECT rtd_serve_table('t14_todo', 'regress_rtd_web');
SELECT security FROM rtd_topics WHERE name = 't14-todo';

-- the event topic that rtd_watch_table() makes becomes the served one; what else it does goes on
CREATE TABLE t14_event (id int PRIMARY KEY, note text);
SELECT rtd_watch_table('t14_event', columns => '{id,note}', channel => 't14_changed', audit => true);
SELECT rtd_serve_table('t14_event', 'regress_rtd_web');
SELECT kind, key FROM rtd_topics WHERE name = 't14-event';
SELECT columns, channel, audit, key FROM rtd_watched_tables WHERE topic = 't14-event';
-- a watch that was made narrower sees everything again
SELECT rtd_watch_table('t14_event', 't14-event', operations => '{INSERT}', condition => 'NEW.id > 0', channel => 't14_changed');
SELECT rtd_serve_table('t14_event', 'regress_rtd_web');
SELECT operations, condition, channel FROM rtd_watched_tables WHERE topic = 't14-event';
-- without its watch, and in place of a table that was dropped
SELECT rtd_unwatch_table('t14_event');
SELECT rtd_serve_table('t14_event', 'regress_rtd_web');
DROP TABLE t14_event;
CREATE TABLE t14_event (n int PRIMARY KEY);
SELECT rtd_serve_table('t14_event', 'regress_rtd_web');
SELECT key, problem FROM rtd_watched_tables WHERE topic = 't14-event';
ALTER TABLE t14_event RENAME TO t14_renamed;
SELECT rtd_serve_table('t14_renamed', 'regress_rtd_web', 't14-event');
SELECT query FROM rtd_topics WHERE name = 't14-event';

\set VERBOSITY default
-- refused: another topic of that name
CREATE TABLE "t14 Sch""ema".t14_todo (id int PRIMARY KEY);
SELECT rtd_serve_table('"t14 Sch""ema".t14_todo', 'regress_rtd_web');
CREATE TABLE t14_taken (id int PRIMARY KEY);
SELECT rtd_create_topic('t14-taken', 'SELECT count(*) FROM t14_taken');
SELECT rtd_serve_table('t14_taken', 'regress_rtd_web');
SELECT rtd_watch_table('t14_taken', 't14-taken');
SELECT rtd_serve_table('t14_taken', 'regress_rtd_web');
SELECT rtd_drop_topic('t14-taken');
SELECT rtd_create_topic('t14-taken');
SELECT rtd_serve_table('t14_taken', 'regress_rtd_web');
SELECT rtd_watch_table('t14_taken', condition => 'NEW.id > 0', operations => '{INSERT,UPDATE}');
SELECT rtd_serve_table('t14_taken', 'regress_rtd_web');
SELECT rtd_watch_table('t14_taken');
SELECT rtd_listen('t14_elsewhere', 't14-taken');
SELECT rtd_serve_table('t14_taken', 'regress_rtd_web');
SELECT rtd_unlisten('t14_elsewhere');
SELECT rtd_alter_topic('t14-taken', durable => true);
SELECT rtd_serve_table('t14_taken', 'regress_rtd_web');
SELECT kind, durable FROM rtd_topics WHERE name = 't14-taken';
-- refused: no tables of users
CREATE VIEW t14_view AS SELECT * FROM t14_todo;
CREATE MATERIALIZED VIEW t14_matview AS SELECT 1 AS id;
CREATE SEQUENCE t14_sequence;
CREATE TEMPORARY TABLE t14_temporary (id int PRIMARY KEY);
CREATE FOREIGN DATA WRAPPER t14_wrapper;
CREATE SERVER t14_server FOREIGN DATA WRAPPER t14_wrapper;
CREATE FOREIGN TABLE t14_foreign (id int) SERVER t14_server;
SELECT rtd_serve_table('t14_view', 'regress_rtd_web');
SELECT rtd_serve_table('t14_matview', 'regress_rtd_web');
SELECT rtd_serve_table('t14_sequence', 'regress_rtd_web');
SELECT rtd_serve_table('t14_temporary', 'regress_rtd_web');
SELECT rtd_serve_table('t14_foreign', 'regress_rtd_web');
SELECT rtd_serve_table('t14_todo_pkey', 'regress_rtd_web');
SELECT rtd_serve_table('pg_class', 'regress_rtd_web');
SELECT rtd_serve_table('rtd_topic', 'regress_rtd_web');
SELECT rtd_serve_table('t14_nowhere', 'regress_rtd_web');
SELECT rtd_serve_table(999999999::oid::regclass, 'regress_rtd_web');
SELECT rtd_serve_table(NULL, 'regress_rtd_web');
SELECT rtd_serve_table('t14_taken', NULL);
SELECT rtd_serve_table('t14_taken', 999999999::oid::regrole);
SELECT rtd_serve_table('t14_taken', 'regress_rtd_web', topic => 'T14');
-- refused: columns
SELECT rtd_serve_table('t14_todo', 'regress_rtd_web', columns => '{title,nothing}');
SELECT rtd_serve_table('t14_todo', 'regress_rtd_web', columns => '{ctid}');
SELECT rtd_serve_table('t14_todo', 'regress_rtd_web', columns => '{TABLE}');
SELECT rtd_serve_table('t14_todo', 'regress_rtd_web', columns => '{title,title}');
SELECT rtd_serve_table('t14_todo', 'regress_rtd_web', columns => '{title AS id}');
SELECT rtd_serve_table('t14_todo', 'regress_rtd_web', columns => '{}');
SELECT rtd_serve_table('t14_todo', 'regress_rtd_web', columns => '{title,NULL}');
SELECT rtd_serve_table('t14_todo', 'regress_rtd_web', columns => '{"title FROM t14_log --"}');
-- refused: what is more, or less, than one condition
SELECT rtd_serve_table('t14_todo', 'regress_rtd_web', condition => '');
SELECT rtd_serve_table('t14_todo', 'regress_rtd_web', condition => 'true) UNION SELECT 1, ''x'', true --');
SELECT rtd_serve_table('t14_todo', 'regress_rtd_web', condition => 'true UNION SELECT true');
SELECT rtd_serve_table('t14_todo', 'regress_rtd_web', condition => 'true; DROP TABLE t14_todo');
SELECT rtd_serve_table('t14_todo', 'regress_rtd_web', condition => 'true FROM t14_log');
SELECT rtd_serve_table('t14_todo', 'regress_rtd_web', condition => 'true ORDER BY 1');
SELECT rtd_serve_table('t14_todo', 'regress_rtd_web', condition => 'true LIMIT 1');
SELECT rtd_serve_table('t14_todo', 'regress_rtd_web', condition => 'done, done');
SELECT rtd_serve_table('t14_todo', 'regress_rtd_web', condition => 'done AS x');
SELECT rtd_serve_table('t14_todo', 'regress_rtd_web', condition => 'done /* ');
SELECT rtd_serve_table('t14_todo', 'regress_rtd_web', condition => '''');
SELECT rtd_serve_table('t14_todo', 'regress_rtd_web', condition => '*');
SELECT rtd_serve_table('t14_todo', 'regress_rtd_web', condition => '1');
SELECT rtd_serve_table('t14_todo', 'regress_rtd_web', condition => 'NEW.id > 0');
SELECT rtd_serve_table('t14_todo', 'regress_rtd_web', condition => 'id = $1');
SELECT rtd_serve_table('t14_todo', 'regress_rtd_web', condition => 'count(*) > 0');
SELECT query FROM rtd_topics WHERE name = 't14-todo';

-- a condition that looks at other tables: told
\set VERBOSITY terse
SELECT rtd_serve_table('t14_todo', 'regress_rtd_web', condition => 'title IN (SELECT line FROM t14_log)');

-- privileges: those of the functions that it stands for, and nothing is left of a call that fails
\set VERBOSITY default
CREATE TABLE t14_private (id int PRIMARY KEY);
SET ROLE regress_rtd_other;
SELECT rtd_serve_table('t14_private', 'regress_rtd_web');
RESET ROLE;
GRANT TRIGGER ON t14_private TO regress_rtd_other;
SET ROLE regress_rtd_other;
SELECT rtd_serve_table('t14_private', 'regress_rtd_web');
RESET ROLE;
SELECT format('GRANT CREATE ON DATABASE %I TO regress_rtd_other', current_database()) \gexec
SET ROLE regress_rtd_other;
SELECT rtd_serve_table('t14_private', 'regress_rtd_web');
RESET ROLE;
SELECT count(*) AS topics FROM rtd_topics WHERE name = 't14-private';
GRANT SELECT ON t14_private TO regress_rtd_other;
\set VERBOSITY terse
SET ROLE regress_rtd_other;
SELECT rtd_serve_table('t14_private', 'regress_rtd_web');
RESET ROLE;
SELECT owner, security FROM rtd_topics WHERE name = 't14-private';
GRANT ALL ON t14_todo TO regress_rtd_other;
SET ROLE regress_rtd_other;
SELECT rtd_serve_table('t14_todo', 'regress_rtd_web');
RESET ROLE;
-- a call that is rolled back leaves nothing
BEGIN;
SELECT rtd_serve_table('t14_taken', 'regress_rtd_web', 't14-rolled-back');
ROLLBACK;
SELECT count(*) AS topics FROM rtd_topics WHERE name = 't14-rolled-back';
SELECT count(*) AS triggers FROM pg_trigger WHERE tgname LIKE 'rtd_t14-rolled-back%';

SELECT rtd_drop_topic(name) FROM rtd_topics WHERE name LIKE 't14-%' ORDER BY name;
SELECT count(*) AS served FROM rtd_served_table;
DROP FOREIGN DATA WRAPPER t14_wrapper CASCADE;
DROP SCHEMA "t14 Sch""ema" CASCADE;
DROP MATERIALIZED VIEW t14_matview;
DROP SEQUENCE t14_sequence;
DROP TABLE t14_json, t14_todo, t14_child, t14_series, t14_eight, t14_float, t14_doc, t14_log, t14_part, t14_renamed, t14_taken,
    t14_private, t14_temporary CASCADE;
SELECT format('REVOKE CREATE ON DATABASE %I FROM regress_rtd_other', current_database()) \gexec
DROP ROLE regress_rtd_web, regress_rtd_other;
