-- The triggers of a watch are DDL like others: event triggers see them being made and dropped, as the user who
-- calls the function, and may refuse them.
SET client_min_messages = error; -- the word about a hub that is not there, once per session
SELECT rtd_create_topic('t16-word', 'SELECT 1 AS id'), rtd_refresh('t16-word'), rtd_drop_topic('t16-word');
RESET client_min_messages;
CREATE ROLE regress_rtd_owner;
CREATE ROLE regress_rtd_watcher;
SELECT format('GRANT CREATE ON DATABASE %I TO regress_rtd_watcher', current_database()) \gexec
CREATE TABLE t16_item (id int PRIMARY KEY, note text);
CREATE TABLE t16_parted (id int PRIMARY KEY) PARTITION BY RANGE (id);
CREATE TABLE t16_part PARTITION OF t16_parted FOR VALUES FROM (0) TO (10);
ALTER TABLE t16_item OWNER TO regress_rtd_owner;
GRANT SELECT, TRIGGER ON t16_item TO regress_rtd_watcher;

CREATE FUNCTION t16_start() RETURNS event_trigger LANGUAGE plpgsql AS $$
BEGIN RAISE NOTICE 'start of % by %', TG_TAG, current_user; END$$;
CREATE FUNCTION t16_end() RETURNS event_trigger LANGUAGE plpgsql AS $$
DECLARE made record;
BEGIN
    FOR made IN SELECT * FROM pg_event_trigger_ddl_commands() LOOP
        RAISE NOTICE '%: % %, by %', TG_TAG, made.command_tag, regexp_replace(made.object_identity, '_of_\d+', '_of_<oid>'), current_user;
    END LOOP;
END$$;
CREATE FUNCTION t16_drop() RETURNS event_trigger LANGUAGE plpgsql AS $$
DECLARE dropped record;
BEGIN
    FOR dropped IN SELECT * FROM pg_event_trigger_dropped_objects() LOOP
        RAISE NOTICE '%: dropped % %', TG_TAG, dropped.object_type, regexp_replace(dropped.object_identity, '_of_\d+', '_of_<oid>');
    END LOOP;
END$$;
CREATE EVENT TRIGGER t16_start ON ddl_command_start WHEN TAG IN ('CREATE TRIGGER', 'DROP TRIGGER') EXECUTE FUNCTION t16_start();
CREATE EVENT TRIGGER t16_end ON ddl_command_end WHEN TAG IN ('CREATE TRIGGER', 'DROP TRIGGER') EXECUTE FUNCTION t16_end();
CREATE EVENT TRIGGER t16_drop ON sql_drop WHEN TAG IN ('CREATE TRIGGER', 'DROP TRIGGER') EXECUTE FUNCTION t16_drop();

-- as for the statement
CREATE TRIGGER t16_own AFTER INSERT ON t16_item FOR EACH ROW EXECUTE FUNCTION suppress_redundant_updates_trigger();
DROP TRIGGER t16_own ON t16_item;

SELECT rtd_create_topic('t16-topic');
SELECT rtd_watch_table('t16_item', 't16-topic', operations => '{INSERT,TRUNCATE}');
SELECT rtd_watch_table('t16_item', 't16-topic'); -- anew
SELECT rtd_unwatch_table('t16_item', 't16-topic');
SELECT rtd_watch_table('t16_parted', 't16-topic', operations => '{INSERT}');
SELECT rtd_drop_topic('t16-topic');
SET ROLE regress_rtd_watcher;
SELECT rtd_create_topic('t16-mine');
SELECT rtd_watch_table('t16_item', 't16-mine', operations => '{INSERT}', condition => 'NEW.note = ''x''');
RESET ROLE;

-- one that refuses
CREATE FUNCTION t16_refuse() RETURNS event_trigger LANGUAGE plpgsql AS $$
BEGIN RAISE EXCEPTION '% is for the release', TG_TAG USING ERRCODE = 'insufficient_privilege', HINT = 'Ask the release manager.'; END$$;
CREATE EVENT TRIGGER t16_refuse ON ddl_command_end WHEN TAG IN ('CREATE TRIGGER') EXECUTE FUNCTION t16_refuse();
CREATE VIEW t16_watches AS SELECT w.topic, w.operations, (SELECT count(*) FROM pg_trigger t
    WHERE t.tgrelid = w.relation AND t.tgname LIKE 'rtd_%') AS triggers FROM rtd_watched_tables w WHERE w.topic LIKE 't16-%';
SELECT rtd_watch_table('t16_item', 't16-mine');
SELECT rtd_watch_table('t16_parted');
TABLE t16_watches;
SELECT name FROM rtd_topics WHERE name LIKE 't16-%' OR name LIKE 't16_%';
DROP EVENT TRIGGER t16_refuse;
CREATE EVENT TRIGGER t16_refuse ON ddl_command_start WHEN TAG IN ('DROP TRIGGER') EXECUTE FUNCTION t16_refuse();
SELECT rtd_unwatch_table('t16_item');
SELECT rtd_drop_topic('t16-mine');
TABLE t16_watches;
DROP EVENT TRIGGER t16_refuse;
CREATE EVENT TRIGGER t16_refuse ON sql_drop WHEN TAG IN ('DROP TRIGGER') EXECUTE FUNCTION t16_refuse();
SELECT rtd_unwatch_table('t16_item');
TABLE t16_watches;
DROP EVENT TRIGGER t16_refuse, t16_start, t16_end, t16_drop;

-- and the session goes on
SELECT rtd_drop_topic('t16-mine');
DROP VIEW t16_watches;
DROP TABLE t16_item, t16_parted;
DROP FUNCTION t16_start, t16_end, t16_drop, t16_refuse;
SELECT format('REVOKE CREATE ON DATABASE %I FROM regress_rtd_watcher', current_database()) \gexec
DROP ROLE regress_rtd_owner, regress_rtd_watcher;
