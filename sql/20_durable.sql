-- Durable topics: what they accept and refuse, and what their messages look like as rows. Numbers are
-- given by the hub after the commit, so none is shown here.
SET client_min_messages = error;
SELECT rtd_create_topic('t20-log', durable => true);
SELECT rtd_create_topic('t20-place', parameters => '{place,id}', durable => true);
SELECT rtd_create_topic('t20-bad', 'SELECT 1', durable => true);
SELECT name, kind, durable FROM rtd_topics WHERE name LIKE 't20-%' ORDER BY name;

SELECT rtd_broadcast('t20-log', '{"b": 1.10, "a": [null]}');
SELECT rtd_broadcast('t20-log', NULL, type => 'other_update', source => 'sync');
SELECT rtd_broadcast('t20-place', '"x"', ARRAY['a "quoted" \ place', '']);
SELECT rtd_broadcast('t20-log', '1', transactional => false);
SELECT rtd_file_event('/srv/a.csv', topic => 't20-place');
BEGIN READ ONLY;
SELECT rtd_broadcast('t20-log', '1');
ROLLBACK;
BEGIN;
SELECT rtd_broadcast('t20-log', '"rolled back"');
ROLLBACK;
BEGIN;
SELECT rtd_broadcast('t20-log', '"prepared"');
PREPARE TRANSACTION 't20';

-- a payload is stored as it is made, also one that jsonb would refuse
CREATE TABLE t20_thing (id int PRIMARY KEY, place text, body json);
SELECT rtd_watch_table('t20_thing', 't20-place', columns => '{id,body}', parameters => '{place,NULL}');
BEGIN;
SELECT rtd_broadcast('t20-log', '{"b": 1.10, "a": [null]}', type => 'other_update', source => 'poll');
SELECT rtd_broadcast('t20-place', '"x"', ARRAY['a "quoted" \ place', '']);
SELECT rtd_file_event('/srv/a.csv', topic => 't20-place');
INSERT INTO t20_thing VALUES (1, 'here', '{"z": 1, "a": "\u0000"}');
UPDATE t20_thing SET place = 'there';
INSERT INTO t20_thing VALUES (2, NULL, NULL);
TRUNCATE t20_thing;
SELECT topic, params, type, source, regexp_replace(data::text, '"20[^"]+"', '"<time>"') AS data,
       slot BETWEEN 0 AND 7 AS slot, created_at <= clock_timestamp() AS created, instance, sequence
  FROM rtd_message WHERE topic LIKE 't20-%' AND sequence IS NULL AND xmin::text = txid_current()::text ORDER BY id;
ROLLBACK;
DROP TABLE t20_thing;

-- its messages cannot be read or written by anybody else
CREATE ROLE regress_rtd_durable;
SELECT rtd_grant('t20-log', 'regress_rtd_durable', 'publish');
SET ROLE regress_rtd_durable;
SELECT rtd_broadcast('t20-log', '"granted"');
SELECT count(*) FROM rtd_message;
SELECT count(*) FROM rtd_message_0;
SELECT count(*) FROM rtd_durable_instance;
RESET ROLE;

SELECT rtd_alter_topic('t20-log', query => 'SELECT 1');
SELECT rtd_alter_topic('t20-log', query => 'SELECT 1', durable => false);
SELECT rtd_alter_topic('t20-log', durable => true);
SELECT rtd_alter_topic('t20-place', durable => false);
SELECT name, kind, durable FROM rtd_topics WHERE name LIKE 't20-%' ORDER BY name;
SELECT rtd_drop_topic(name) FROM rtd_topics WHERE name LIKE 't20-%' ORDER BY name;
DROP ROLE regress_rtd_durable;

-- settings
SET rtd.message_retention = '1 h';
SHOW rtd.message_retention;
