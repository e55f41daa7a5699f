-- A topic's query is checked when the topic is made, as its owner will run it.
CREATE TABLE t2_item (id int PRIMARY KEY, label text, data json);

-- accepted
SELECT rtd_create_topic('t2-select', 'SELECT * FROM t2_item ORDER BY id LIMIT 20');
SELECT rtd_create_topic('t2-with', 'WITH a AS (SELECT 1 AS n) SELECT json_agg(a) FROM a;');
SELECT rtd_create_topic('t2-values', 'VALUES (1, 2)');
SELECT rtd_create_topic('t2-table', 'TABLE t2_item');
SELECT rtd_create_topic('t2-union', 'SELECT 1 AS n UNION ALL SELECT 2');
SELECT rtd_create_topic('t2-typed', 'SELECT label, $2 AS word FROM t2_item WHERE id = $1', parameters => '{id,word}');
-- a parameter that could be anything is text
SELECT rtd_create_topic('t2-text', 'SELECT $1 IS NULL AS missing', parameters => '{a}');
SELECT rtd_create_topic('t2-unused', 'SELECT 1 AS n', parameters => '{id}');

-- refused: not one SELECT
SELECT rtd_create_topic('t2-bad', '');
SELECT rtd_create_topic('t2-bad', 'SELECT 1; SELECT 2');
SELECT rtd_create_topic('t2-bad', 'DELETE FROM t2_item');
SELECT rtd_create_topic('t2-bad', 'DROP TABLE t2_item');
SELECT rtd_create_topic('t2-bad', 'SELECT FROM t2_item');
SELECT rtd_create_topic('t2-bad', 'SELEC 1');
-- refused: writes or locks, however deep
SELECT rtd_create_topic('t2-bad', 'SELECT * INTO t2_copy FROM t2_item');
SELECT rtd_create_topic('t2-bad', 'WITH gone AS (DELETE FROM t2_item RETURNING id) SELECT * FROM gone');
SELECT rtd_create_topic('t2-bad', 'SELECT * FROM t2_item FOR UPDATE');
SELECT rtd_create_topic('t2-bad', 'SELECT (SELECT id FROM t2_item LIMIT 1 FOR SHARE) AS id');
SELECT rtd_create_topic('t2-bad', 'WITH held AS (SELECT id FROM t2_item FOR UPDATE) SELECT * FROM held');
-- refused: cannot be found, or not by another session
SELECT rtd_create_topic('t2-bad', 'SELECT * FROM t2_nowhere');
SELECT rtd_create_topic('t2-bad', 'SELECT colour FROM t2_item');
CREATE TEMPORARY TABLE t2_temp (id int);
SELECT rtd_create_topic('t2-bad', 'SELECT * FROM t2_temp');
-- refused: parameters
SELECT rtd_create_topic('t2-bad', 'SELECT * FROM t2_item WHERE id = $1');
SELECT rtd_create_topic('t2-bad', 'SELECT * FROM t2_item WHERE id = $3', parameters => '{a,b}');
SELECT count(*) AS made FROM rtd_topics WHERE name = 't2-bad';

-- the owner must be allowed to read what the query reads; nothing is executed
CREATE ROLE regress_rtd_reader;
SELECT format('GRANT CREATE ON DATABASE %I TO regress_rtd_reader', current_database()) \gexec
CREATE FUNCTION t2_fails() RETURNS int LANGUAGE plpgsql AS $$BEGIN RAISE 'executed'; END$$;
SET ROLE regress_rtd_reader;
SELECT rtd_create_topic('t2-bad', 'SELECT * FROM t2_item');
SELECT rtd_create_topic('t2-lazy', 'SELECT t2_fails() AS n');
RESET ROLE;
-- also when a superuser alters it
SELECT rtd_alter_topic('t2-lazy', 'SELECT * FROM t2_item');
GRANT SELECT ON t2_item TO regress_rtd_reader;
SELECT rtd_alter_topic('t2-lazy', 'SELECT * FROM t2_item');

SELECT rtd_drop_topic(name) FROM rtd_topics WHERE name LIKE 't2-%' ORDER BY name;
DROP FUNCTION t2_fails();
DROP TABLE t2_item, t2_temp;
SELECT format('REVOKE CREATE ON DATABASE %I FROM regress_rtd_reader', current_database()) \gexec
DROP ROLE regress_rtd_reader;
