-- rtd_broadcast(), rtd_refresh(), rtd_file_event(), rtd_listen(): what they accept and refuse.
SET client_min_messages = error;
SELECT rtd_create_topic('t7-state', 'SELECT $1 AS id', parameters => '{id}');
SELECT rtd_refresh('t7-state');
RESET client_min_messages;
SELECT rtd_create_topic('t7-events');
SELECT rtd_create_topic('t7-params', parameters => '{project_id,session_id}');

SELECT rtd_broadcast('t7-events', '{"a": [1, "two", null]}');
SELECT rtd_broadcast('t7-events', NULL);
SELECT rtd_broadcast('t7-events', '1', type => 'other_update', source => 'sync', transactional => false);
SELECT rtd_broadcast('t7-params', '1', '{4,x y}');
SELECT rtd_broadcast('t7-state', '1', '{4}');
SELECT rtd_broadcast('t7-none', '1');
SELECT rtd_broadcast(NULL, '1');
SELECT rtd_broadcast('t7-params', '1');
SELECT rtd_broadcast('t7-params', '1', '{1}');
SELECT rtd_broadcast('t7-params', '1', '{1,NULL}');
SELECT rtd_broadcast('t7-events', '1', '{1}');
SELECT rtd_broadcast('t7-events', '1', source => 'magic');
SELECT rtd_broadcast('t7-events', '1', type => 'rtd_gap');
SELECT rtd_broadcast('t7-events', 'not json');

-- what a session keeps of a topic follows every change of it, also one that is taken back
BEGIN;
SELECT rtd_alter_topic('t7-events', parameters => '{id}');
SELECT rtd_broadcast('t7-events', '1', '{1}');
ROLLBACK;
SELECT rtd_broadcast('t7-events', '1');
BEGIN;
SAVEPOINT before_drop;
SELECT rtd_drop_topic('t7-events');
SELECT rtd_broadcast('t7-events', '1');
ROLLBACK TO before_drop;
SELECT rtd_broadcast('t7-events', '1');
COMMIT;

SELECT rtd_refresh('t7-state', '{4}');
SELECT rtd_refresh('t7-state', '{}');
SELECT rtd_refresh('t7-events');
SELECT rtd_refresh('t7-none');

SELECT rtd_file_event('/srv/workflows/a.json', topic => 't7-events');
SELECT rtd_file_event('/srv/workflows/a.json', 'deleted', 't7-state');
SELECT rtd_file_event('/srv/workflows/a.json');
SELECT rtd_file_event('/srv/workflows/a.json', 'opened', 't7-events');
SELECT rtd_file_event('', topic => 't7-events');

SELECT rtd_listen('t7_channel', 't7-events');
SELECT rtd_listen('t7_channel', 't7-params', '{project_id,session}');
SELECT rtd_listen('t7_channel', 't7-params', '{project,session}');
SELECT * FROM rtd_channel WHERE channel = 't7_channel' ORDER BY topic;
SELECT rtd_listen('t7_channel', 't7-params');
SELECT rtd_listen('t7_channel', 't7-events', '{id}');
SELECT rtd_listen('', 't7-events');
SELECT rtd_listen(repeat('c', 64), 't7-events');
SELECT rtd_listen('t7_channel', 't7-none');
SELECT name, has_source FROM rtd_topics WHERE name LIKE 't7-%' ORDER BY name;
SELECT rtd_unlisten('t7_channel', 't7-state');
SELECT rtd_unlisten('t7_channel', 't7-events');
SELECT rtd_unlisten('t7_channel');
SELECT rtd_unlisten('t7_channel');

SELECT rtd_drop_topic(name) FROM rtd_topics WHERE name LIKE 't7-%' ORDER BY name;
