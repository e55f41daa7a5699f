-- significant: which functions it accepts, and how it is altered.
CREATE ROLE regress_rtd_measurer;
SELECT format('GRANT CREATE ON DATABASE %I TO regress_rtd_measurer', current_database()) \gexec
CREATE FUNCTION s9_moved(old jsonb, new jsonb) RETURNS boolean LANGUAGE sql RETURN old <> new;
CREATE FUNCTION s9_set(old jsonb, new jsonb) RETURNS SETOF boolean LANGUAGE sql AS 'SELECT true';
CREATE FUNCTION s9_one(old jsonb) RETURNS boolean LANGUAGE sql RETURN true;
CREATE FUNCTION s9_number(old jsonb, new jsonb) RETURNS int LANGUAGE sql RETURN 1;
REVOKE EXECUTE ON FUNCTION s9_moved(jsonb, jsonb) FROM PUBLIC;

SELECT rtd_create_topic('s9-kept', 'SELECT 1 AS n', significant => 's9_moved(jsonb,jsonb)');
SELECT name, significant FROM rtd_topics WHERE name = 's9-kept';
-- NULL keeps it, '-' takes it away
SELECT rtd_alter_topic('s9-kept', throttle => '1 s');
SELECT significant FROM rtd_topics WHERE name = 's9-kept';
SELECT rtd_alter_topic('s9-kept', significant => '-');
SELECT significant FROM rtd_topics WHERE name = 's9-kept';
SELECT rtd_alter_topic('s9-kept', significant => 's9_moved(jsonb,jsonb)');

-- refused
SELECT rtd_create_topic('s9-bad', significant => 's9_moved(jsonb,jsonb)');
SELECT rtd_create_topic('s9-bad', 'SELECT 1', significant => 's9_set(jsonb,jsonb)');
SELECT rtd_create_topic('s9-bad', 'SELECT 1', significant => 's9_one(jsonb)');
SELECT rtd_create_topic('s9-bad', 'SELECT 1', significant => 's9_number(jsonb,jsonb)');
SELECT rtd_alter_topic('s9-kept', significant => 's9_number(jsonb,jsonb)');
SELECT rtd_alter_topic('s9-kept', significant => 1);
SET ROLE regress_rtd_measurer;
SELECT rtd_create_topic('s9-bad', 'SELECT 1', significant => 's9_moved(jsonb,jsonb)');
RESET ROLE;
GRANT EXECUTE ON FUNCTION s9_moved(jsonb, jsonb) TO regress_rtd_measurer;
SET ROLE regress_rtd_measurer;
SELECT rtd_create_topic('s9-granted', 'SELECT 1', significant => 's9_moved(jsonb,jsonb)');
RESET ROLE;
SELECT count(*) AS made FROM rtd_topics WHERE name = 's9-bad';

SELECT rtd_drop_topic(name) FROM rtd_topics WHERE name LIKE 's9-%' ORDER BY name;
DROP FUNCTION s9_moved, s9_set, s9_one, s9_number;
SELECT format('REVOKE CREATE ON DATABASE %I FROM regress_rtd_measurer', current_database()) \gexec
DROP ROLE regress_rtd_measurer;

-- The function is known by its name: it may be renamed, moved, dropped and made again.
CREATE SCHEMA s9_a;
CREATE FUNCTION s9_a.moved(old jsonb, new jsonb) RETURNS boolean LANGUAGE sql RETURN old <> new;
SELECT rtd_create_topic('s9-named', 'SELECT 1 AS n', significant => 's9_a.moved(jsonb,jsonb)');
ALTER FUNCTION s9_a.moved RENAME TO "Has moved";
SELECT significant, problem FROM rtd_topics WHERE name = 's9-named';
ALTER SCHEMA s9_a RENAME TO "s9.b";
SELECT significant, problem FROM rtd_topics WHERE name = 's9-named';
CREATE SCHEMA s9_c;
BEGIN;
ALTER FUNCTION "s9.b"."Has moved" SET SCHEMA s9_c;
ALTER FUNCTION s9_c."Has moved" RENAME TO moved;
ALTER SCHEMA s9_c RENAME TO s9_d;
COMMIT;
SELECT significant, problem FROM rtd_topics WHERE name = 's9-named';
BEGIN;
ALTER FUNCTION s9_d.moved RENAME TO other;
ROLLBACK;
SELECT significant, problem FROM rtd_topics WHERE name = 's9-named';
DROP FUNCTION s9_d.moved;
SELECT significant, problem FROM rtd_topics WHERE name = 's9-named';
CREATE FUNCTION s9_d.moved(old jsonb, new jsonb) RETURNS boolean LANGUAGE sql RETURN true;
SELECT significant, problem FROM rtd_topics WHERE name = 's9-named';

-- What pg_upgrade refuses: columns of types whose OIDs it does not preserve.
SELECT c.relname, a.attname, a.atttypid::regtype
  FROM pg_depend d JOIN pg_class c ON c.oid = d.objid JOIN pg_attribute a ON a.attrelid = c.oid
 WHERE d.refclassid = 'pg_extension'::regclass AND d.classid = 'pg_class'::regclass AND c.relkind IN ('r', 'm', 'i')
   AND a.atttypid::regtype::text ~ '^(oid|reg(proc|procedure|oper|operator|config|dictionary|namespace|collation))(\[\])?$'
   AND d.refobjid = (SELECT oid FROM pg_extension WHERE extname = 'rtd') AND a.attnum > 0;
-- So are the types of parameters, also where no query names them.
CREATE TYPE s9_d.mood AS ENUM ('happy', 'sad');
CREATE TABLE s9_feeling (id int PRIMARY KEY, mood s9_d.mood);
SELECT rtd_create_topic('s9-mood', parameters => '{mood}'), rtd_watch_table('s9_feeling', 's9-mood');
SELECT parameter_types FROM rtd_topics WHERE name = 's9-mood';
ALTER TYPE s9_d.mood RENAME TO "Mood";
SELECT parameter_types FROM rtd_topics WHERE name = 's9-mood';
ALTER SCHEMA s9_d RENAME TO s9_e;
SELECT parameter_types FROM rtd_topics WHERE name = 's9-mood';
\set VERBOSITY terse
SELECT rtd_broadcast('s9-mood', '1', '{angry}');
\set VERBOSITY default

SELECT rtd_drop_topic(name) FROM rtd_topics WHERE name LIKE 's9-%' ORDER BY name;
DROP TABLE s9_feeling;
SET client_min_messages = warning;
DROP SCHEMA "s9.b", s9_e CASCADE;
RESET client_min_messages;
