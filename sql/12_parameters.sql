-- Which types parameters have, and what is no value of them.
SET client_min_messages = error; -- the word about a hub that is not there, once per session
SELECT rtd_create_topic('t12-word', 'SELECT 1 AS id'), rtd_refresh('t12-word'), rtd_drop_topic('t12-word');
RESET client_min_messages;
CREATE TABLE invoice (id bigint PRIMARY KEY, customer uuid, day date, name text COLLATE "C");
CREATE DOMAIN customer_id AS uuid;

SELECT rtd_create_topic('typed', parameters => '{id,customer,day,name}', query =>
    'SELECT * FROM invoice WHERE id = $1 AND customer = $2::customer_id AND day = $3 AND name = $4');
-- Compared otherwise than for equality: a change concerns any value.
SELECT rtd_create_topic('loose', parameters => '{a,b,c,d}', query =>
    'SELECT * FROM invoice WHERE lower(name) = lower($1) AND day > $2 AND id = $3::text::int AND name = $4');
SELECT rtd_create_topic('unwatched', parameters => '{id}');
SELECT name, parameter_types FROM rtd_topics WHERE parameters <> '{}' ORDER BY name;
SELECT name, parameter_collations FROM rtd_topic WHERE parameters <> '{}' ORDER BY name;

-- Without a query the watches say it.
CREATE TABLE refund (id int PRIMARY KEY, amount numeric);
CREATE TABLE note (id text PRIMARY KEY);
SELECT rtd_watch_table('refund', 'unwatched');
SELECT parameter_types FROM rtd_topics WHERE name = 'unwatched';
SELECT rtd_watch_table('invoice', 'unwatched');
SELECT parameter_types FROM rtd_topics WHERE name = 'unwatched';
SELECT rtd_watch_table('note', 'unwatched');
SELECT parameter_types FROM rtd_topics WHERE name = 'unwatched';
SELECT rtd_unwatch_table('note', 'unwatched');

-- A query and parameters that change.
SELECT rtd_alter_topic('typed', query => 'SELECT $1::int2, $2::citext_that_is_not_there', parameters => '{a,b}');
SELECT rtd_alter_topic('typed', query => 'SELECT $1::int2 AS a, $2 AS b', parameters => '{a,b}');
SELECT parameter_types FROM rtd_topics WHERE name = 'typed';

-- DDL under a query and under a watch.
SELECT rtd_create_topic('by-day', parameters => '{day}', query => 'SELECT * FROM invoice WHERE day = $1');
SELECT rtd_watch_table('invoice', 'by-day');
BEGIN;
ALTER TABLE invoice ALTER day TYPE timestamptz, ALTER id TYPE numeric;
COMMIT;
SELECT name, parameter_types FROM rtd_topics WHERE name IN ('by-day', 'unwatched') ORDER BY name;
BEGIN;
ALTER TABLE invoice ALTER day TYPE text;
ROLLBACK;
SELECT parameter_types FROM rtd_topics WHERE name = 'by-day';
-- A query that DDL breaks keeps the types, and the DDL goes on.
ALTER TABLE invoice RENAME day TO date;
SELECT parameter_types FROM rtd_topics WHERE name = 'by-day';

-- What is no value.
\set VERBOSITY terse
DO $$ BEGIN PERFORM rtd_broadcast('unwatched', '1', '{abc}');
EXCEPTION WHEN invalid_text_representation THEN RAISE NOTICE '% %', SQLSTATE, SQLERRM; END $$;
DO $$ BEGIN PERFORM rtd_broadcast('unwatched', '1', '{1e100000}');
EXCEPTION WHEN program_limit_exceeded THEN RAISE NOTICE '% %', SQLSTATE, SQLERRM; END $$;
DO $$ BEGIN PERFORM rtd_refresh('typed', '{99999,x}');
EXCEPTION WHEN numeric_value_out_of_range THEN RAISE NOTICE '% %', SQLSTATE, SQLERRM; END $$;
\set VERBOSITY default
SELECT rtd_broadcast('unwatched', '1', '{042.00}');

SELECT rtd_drop_topic(name) FROM rtd_topics WHERE name IN ('typed', 'loose', 'unwatched', 'by-day') ORDER BY name;
DROP TABLE invoice, refund, note;
DROP DOMAIN customer_id;
