-- security: as whom a topic's query runs.
CREATE SCHEMA "t10 Own";
SET search_path = "$user", "t10 Own", public;
SELECT rtd_create_topic('t10-definer', 'SELECT 1 AS n');
SELECT rtd_create_topic('t10-invoker', 'SELECT 1 AS n', security => 'invoker');
-- "$user" would be the subscriber's schema: the owner's name takes its place
SELECT name, security, replace(search_path, quote_ident(current_user), 'the owner') AS search_path
  FROM rtd_topics WHERE name LIKE 't10-%' ORDER BY name;
RESET search_path;
SELECT rtd_alter_topic('t10-definer', security => 'invoker');
SELECT security, replace(search_path, quote_ident(current_user), 'the owner') AS search_path
  FROM rtd_topics WHERE name = 't10-definer';
-- NULL keeps it
SELECT rtd_alter_topic('t10-definer', throttle => '1 s');
SELECT rtd_alter_topic('t10-invoker', security => 'definer');
SELECT name, security FROM rtd_topics WHERE name LIKE 't10-%' ORDER BY name;

-- refused
SELECT rtd_create_topic('t10-event', security => 'definer');
SELECT rtd_create_topic('t10-bad', security => 'invoker');
SELECT rtd_alter_topic('t10-event', security => 'invoker');
SELECT rtd_alter_topic('t10-event', security => 'Invoker');
-- an event topic that becomes a state topic
SELECT rtd_alter_topic('t10-event', 'SELECT 1 AS n', security => 'invoker');
SELECT kind, security FROM rtd_topics WHERE name = 't10-event';
-- the creator must be able to read what the query reads
CREATE ROLE regress_rtd_invoker;
SELECT format('GRANT CREATE ON DATABASE %I TO regress_rtd_invoker', current_database()) \gexec
CREATE TABLE t10_secret (id int);
SET ROLE regress_rtd_invoker;
SELECT rtd_create_topic('t10-bad', 'SELECT id FROM t10_secret', security => 'invoker');
RESET ROLE;

SELECT rtd_drop_topic(name) FROM rtd_topics WHERE name LIKE 't10-%' ORDER BY name;
SELECT format('REVOKE CREATE ON DATABASE %I FROM regress_rtd_invoker', current_database()) \gexec
DROP ROLE regress_rtd_invoker;
DROP TABLE t10_secret;
DROP SCHEMA "t10 Own";
