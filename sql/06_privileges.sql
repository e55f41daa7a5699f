-- Who may do what. The caller's role counts, also after SET ROLE and in SECURITY DEFINER functions.
SET client_min_messages = error;
SELECT rtd_create_topic('t6-none', 'SELECT 1');
SELECT rtd_refresh('t6-none');
SELECT rtd_drop_topic('t6-none');
RESET client_min_messages;

CREATE ROLE regress_rtd_owner;
CREATE ROLE regress_rtd_member IN ROLE regress_rtd_owner;
CREATE ROLE regress_rtd_other;
CREATE ROLE regress_rtd_group;
CREATE ROLE regress_rtd_grouped IN ROLE regress_rtd_group;
GRANT CREATE, USAGE ON SCHEMA public TO regress_rtd_owner;

-- to create a topic takes CREATE on the database
SET ROLE regress_rtd_owner;
\set VERBOSITY terse
SELECT rtd_create_topic('t6-topic');
\set VERBOSITY default
RESET ROLE;
SELECT format('GRANT CREATE ON DATABASE %I TO regress_rtd_owner', current_database()) \gexec
SET ROLE regress_rtd_owner;
SELECT rtd_create_topic('t6-topic');
SELECT rtd_create_topic('t6-state', 'SELECT 1 AS n');
CREATE TABLE t6_mine (id int PRIMARY KEY);
SELECT rtd_watch_table('t6_mine', 't6-topic');
SELECT owner FROM rtd_topics WHERE name = 't6-topic';

-- the registry is closed
SELECT * FROM rtd_topic;
INSERT INTO rtd_topic_grant VALUES ('t6-topic', 'regress_rtd_other', 'publish');
SELECT * FROM rtd_retained;
SELECT rtd_catalog_changed();

-- another role may do nothing
SET ROLE regress_rtd_other;
CREATE TEMPORARY TABLE t6_temp (id int PRIMARY KEY);
SELECT rtd_alter_topic('t6-topic', history => 1);
SELECT rtd_drop_topic('t6-topic');
SELECT rtd_grant('t6-topic', 'regress_rtd_other', 'publish');
SELECT rtd_revoke('t6-topic', 'regress_rtd_other');
SELECT rtd_listen('t6', 't6-topic');
SELECT rtd_watch_table('t6_mine', 't6-topic');
SELECT rtd_unwatch_table('t6_mine');
SELECT rtd_broadcast('t6-topic', '1');
SELECT rtd_refresh('t6-state');
SELECT rtd_file_event('/x', topic => 't6-topic');
RESET ROLE;
-- with TRIGGER on the table, the topic is still another's
GRANT TRIGGER ON t6_mine TO regress_rtd_other;
SET ROLE regress_rtd_other;
SELECT rtd_watch_table('t6_mine', 't6-topic');

-- a member of the owner may do all of it
SET ROLE regress_rtd_member;
SELECT rtd_alter_topic('t6-topic', history => 1);
SELECT rtd_grant('t6-topic', 'regress_rtd_group', 'publish');
SELECT rtd_grant('t6-topic', 'regress_rtd_other');
SELECT rtd_grant('t6-topic', 'regress_rtd_other', 'read');
SELECT rtd_grant('t6-topic', 'regress_rtd_nobody');
SELECT rtd_broadcast('t6-topic', '1');

-- publish is inherited; subscribe does not include it
SET ROLE regress_rtd_grouped;
SELECT rtd_broadcast('t6-topic', '1');
SET ROLE regress_rtd_other;
SELECT rtd_broadcast('t6-topic', '1');
RESET ROLE;
SELECT topic, role, privilege FROM rtd_topic_grant WHERE topic LIKE 't6-%' ORDER BY 2, 3;
SELECT rtd_revoke('t6-topic', 'regress_rtd_group', 'publish');
SELECT rtd_revoke('t6-topic', 'regress_rtd_group', 'publish');
SET ROLE regress_rtd_grouped;
SELECT rtd_broadcast('t6-topic', '1');
RESET ROLE;

-- a SECURITY DEFINER function lends its owner's rights
CREATE FUNCTION t6_say(jsonb) RETURNS bigint LANGUAGE sql SECURITY DEFINER SET search_path = public
    AS $$SELECT rtd_broadcast('t6-topic', $1)$$;
ALTER FUNCTION t6_say(jsonb) OWNER TO regress_rtd_owner;
SET ROLE regress_rtd_other;
SELECT t6_say('{"a": 1}');
SELECT current_user;
RESET ROLE;

-- operators of the caller are not used with the extension's rights
CREATE SCHEMA t6_trap;
GRANT USAGE ON SCHEMA t6_trap TO PUBLIC;
CREATE FUNCTION t6_trap.caught(text, text) RETURNS boolean LANGUAGE plpgsql
    AS $$BEGIN RAISE EXCEPTION 'caught as %', current_user; END$$;
CREATE OPERATOR t6_trap.= (LEFTARG = text, RIGHTARG = text, FUNCTION = t6_trap.caught);
SET ROLE regress_rtd_owner;
SET search_path = t6_trap, pg_catalog, public;
SELECT rtd_broadcast('t6-topic', '1');
SELECT rtd_watch_table('t6_mine', 't6-topic');
INSERT INTO t6_mine VALUES (1);
SELECT count(*) FROM rtd_topics WHERE OPERATOR(pg_catalog.-) history < 0 AND name OPERATOR(pg_catalog.=) 't6-topic';
RESET search_path;
RESET ROLE;

-- a trigger that somebody makes by hand feeds nothing

CREATE TABLE t6_forged (id int PRIMARY KEY);
CREATE TRIGGER forged AFTER INSERT ON t6_forged FOR EACH ROW EXECUTE FUNCTION rtd_trigger('t6-topic');
INSERT INTO t6_forged VALUES (1);
INSERT INTO t6_forged VALUES (2);
SELECT count(*) FROM t6_forged;
SELECT rtd_trigger();

-- the owner of the table may end a watch, whosever topic it feeds
SELECT rtd_watch_table('t6_mine', 't6-state');
SELECT rtd_grant('t6-state', 'regress_rtd_other');
ALTER TABLE t6_mine OWNER TO regress_rtd_other;
SET ROLE regress_rtd_other;
SELECT rtd_unwatch_table('t6_mine', 't6-state');
RESET ROLE;

SELECT rtd_drop_topic(name) FROM rtd_topics WHERE name LIKE 't6-%' ORDER BY name;
SELECT count(*) AS grants_left FROM rtd_topic_grant WHERE topic LIKE 't6-%';
DROP SCHEMA t6_trap CASCADE;
DROP FUNCTION t6_say(jsonb);
DROP TABLE t6_mine, t6_forged, t6_temp;
SELECT format('REVOKE CREATE ON DATABASE %I FROM regress_rtd_owner', current_database()) \gexec
REVOKE ALL ON SCHEMA public FROM regress_rtd_owner;
DROP ROLE regress_rtd_member, regress_rtd_owner, regress_rtd_other, regress_rtd_grouped, regress_rtd_group;
