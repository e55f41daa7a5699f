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
