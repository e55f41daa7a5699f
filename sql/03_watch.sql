-- Watches: what is found when one is made, never when a row is written.
CREATE TABLE t3_feature (id int PRIMARY KEY, title text);
CREATE TABLE t3_plain (a int, b text);
CREATE TABLE t3_pair (x int, y int, operation text, PRIMARY KEY (x, y));

-- a table with nothing else watches into a topic of its name
SELECT rtd_watch_table('t3_feature');
SELECT name, kind, has_source FROM rtd_topics WHERE name = 't3-feature';
SELECT * FROM rtd_watched_tables WHERE topic LIKE 't3-%';
SELECT tgname, pg_get_triggerdef(oid) FROM pg_trigger WHERE tgrelid = 't3_feature'::regclass ORDER BY 1;
-- a second call replaces the first
SELECT rtd_watch_table('t3_feature', columns => '{id AS feature_id,title}', operations => '{update,INSERT}',
    condition => 'NEW.title IS NOT NULL', channel => 't3_changed', audit => true);
SELECT * FROM rtd_watched_tables WHERE topic LIKE 't3-%';
SELECT tgname, pg_get_triggerdef(oid) FROM pg_trigger WHERE tgrelid = 't3_feature'::regclass ORDER BY 1;
-- DDL to another topic leaves it alone
SELECT rtd_create_topic('t3-state', 'SELECT count(*) FROM t3_plain');
SELECT rtd_watch_table('t3_plain', 't3-state');
SELECT columns, parameters FROM rtd_watched_tables WHERE topic = 't3-state';

-- columns
SELECT rtd_watch_table('t3_plain');
SELECT count(*) AS made FROM rtd_topics WHERE name = 't3-plain';
SELECT rtd_watch_table('t3_plain', 't3-feature', columns => '{a,c}');
SELECT rtd_watch_table('t3_plain', 't3-feature', columns => '{a,b AS a}');
SELECT rtd_watch_table('t3_plain', 't3-feature', columns => '{a,NULL}');
SELECT rtd_watch_table('t3_pair', 't3-feature', columns => '{x,y,operation}');
SELECT rtd_watch_table('t3_pair', 't3-feature', columns => '{x,y,operation AS what,TABLE,TABLE AS source}');
SELECT columns FROM rtd_watched_tables WHERE relation = 't3_pair'::regclass;

-- parameters
SELECT rtd_create_topic('t3-params', parameters => '{project,id}');
SELECT rtd_watch_table('t3_feature', 't3-params');
SELECT rtd_watch_table('t3_feature', 't3-params', parameters => '{id}');
SELECT rtd_watch_table('t3_feature', 't3-params', parameters => '{project,id}');
SELECT rtd_watch_table('t3_feature', 't3-params', parameters => '{NULL,id}');
SELECT parameters FROM rtd_watched_tables WHERE topic = 't3-params';
SELECT rtd_watch_table('t3_feature', 't3-feature', parameters => '{id}');
-- a fed topic keeps its parameters
SELECT rtd_alter_topic('t3-params', parameters => '{id}');

-- operations, condition, channel
SELECT rtd_watch_table('t3_feature', 't3-feature', operations => '{INSERT,SELECT}');
SELECT rtd_watch_table('t3_feature', 't3-feature', operations => '{}');
SELECT rtd_watch_table('t3_feature', 't3-feature', condition => 'NEW.colour = 1', operations => '{INSERT}');
SELECT rtd_watch_table('t3_feature', 't3-feature', condition => 'NEW.id > 0');
SELECT rtd_watch_table('t3_feature', 't3-feature', condition => 'NEW.id', operations => '{INSERT}');
SELECT rtd_watch_table('t3_feature', 't3-feature', condition => 'true', operations => '{TRUNCATE}');
SELECT rtd_watch_table('t3_feature', 't3-feature', condition => 'true) EXECUTE FUNCTION x(); --', operations => '{INSERT}');
SELECT rtd_watch_table('t3_feature', 't3-feature', condition => 'true FROM t3_plain', operations => '{INSERT}');
SELECT rtd_watch_table('t3_feature', 't3-feature', channel => repeat('c', 64));
SELECT rtd_watch_table('t3_feature', 't3-feature', channel => '');

-- what cannot be watched
CREATE VIEW t3_view AS SELECT 1 AS id;
CREATE MATERIALIZED VIEW t3_matview AS SELECT 1 AS id;
CREATE TEMPORARY TABLE t3_temp (id int PRIMARY KEY);
CREATE SEQUENCE t3_sequence;
SELECT rtd_watch_table('t3_view', 't3-feature');
SELECT rtd_watch_table('t3_matview', 't3-feature');
SELECT rtd_watch_table('t3_temp', 't3-feature');
SELECT rtd_watch_table('t3_sequence', 't3-feature');
SELECT rtd_watch_table('t3_feature_pkey', 't3-feature');
SELECT rtd_watch_table('pg_class', 't3-feature', columns => '{relname}');
SELECT rtd_watch_table('rtd_audit_log', 't3-feature');
SELECT rtd_watch_table('t3_nowhere');
SELECT rtd_watch_table(NULL);
SELECT rtd_watch_table('t3_feature', 't3-none');

-- the watch of before all these errors is intact
SELECT columns, operations, condition, channel, audit, trigger_exists FROM rtd_watched_tables
 WHERE topic = 't3-feature' AND relation = 't3_feature'::regclass;

-- unwatch
SELECT rtd_unwatch_table('t3_plain', 't3-feature');
SELECT rtd_unwatch_table('t3_plain');
SELECT rtd_unwatch_table('t3_plain');
SELECT rtd_unwatch_table('t3_feature', 't3-params');
SELECT relation, topic FROM rtd_watched_tables WHERE topic LIKE 't3-%' ORDER BY relation::text;
-- a renamed trigger is still found
ALTER TRIGGER "rtd_t3-feature" ON t3_feature RENAME TO my_own_name;
SELECT trigger_exists, problem FROM rtd_watched_tables WHERE relation = 't3_feature'::regclass;
SELECT rtd_unwatch_table('t3_feature');
SELECT count(*) AS left_over FROM pg_trigger WHERE tgrelid = 't3_feature'::regclass;

-- dropping a topic takes its triggers along
SELECT count(*) AS triggers FROM pg_trigger WHERE tgrelid = 't3_pair'::regclass;
SELECT rtd_drop_topic('t3-feature');
SELECT count(*) AS triggers FROM pg_trigger WHERE tgrelid = 't3_pair'::regclass;

-- two topics with long names on one table get two triggers
SELECT rtd_create_topic(repeat('x', 61) || i) FROM generate_series(1, 2) i;
SELECT rtd_watch_table('t3_feature', repeat('x', 61) || i) FROM generate_series(1, 2) i;
SELECT tgname, length(tgname) FROM pg_trigger WHERE tgrelid = 't3_feature'::regclass ORDER BY 1;

SELECT rtd_drop_topic(name) FROM rtd_topics WHERE name LIKE 't3-%' OR name LIKE 'xxx%' ORDER BY name;
DROP VIEW t3_view;
DROP MATERIALIZED VIEW t3_matview;
DROP SEQUENCE t3_sequence;
DROP TABLE t3_feature, t3_plain, t3_pair, t3_temp;
