-- rtd_alter_topic() refuses what rtd_create_topic() would, with the same error, and leaves the row that it
-- would have made: for every pair of an existing topic and a change.
SET client_min_messages = error;
CREATE ROLE regress_rtd_altering;
SELECT format('GRANT CREATE ON DATABASE %I TO regress_rtd_altering', current_database()) \gexec
GRANT ALL ON SCHEMA public TO regress_rtd_altering;
SET ROLE regress_rtd_altering;
CREATE FUNCTION t15_moved(old jsonb, new jsonb) RETURNS boolean LANGUAGE sql AS 'SELECT old <> new';
CREATE FUNCTION t15_number(old jsonb, new jsonb) RETURNS int LANGUAGE sql AS 'SELECT 1';

-- The arguments of a declaration: each option's name and its value as SQL.
CREATE TABLE t15_existing (name text, declared jsonb);
INSERT INTO t15_existing VALUES
    ('event', '{}'),
    ('durable', '{"durable": "true"}'),
    ('with parameters', '{"parameters": "''{a,b}''"}'),
    ('state', '{"query": "''SELECT 1 AS id, 2 AS n''"}'),
    ('value', '{"query": "''SELECT to_jsonb(1) AS id''"}'),
    ('state of one', '{"query": "''SELECT $1::int AS id''", "parameters": "''{a}''"}'),
    ('refreshed', '{"query": "''SELECT 1 AS id''", "refresh": "''1 s''"}'),
    ('significant', '{"query": "''SELECT 1 AS id''", "significant": "''t15_moved(jsonb,jsonb)''"}'),
    ('throttled', '{"query": "''SELECT 1 AS id''", "throttle": "''5 s''", "debounce": "''1 s''"}'),
    ('throttled event', '{"throttle": "''5 s''"}'),
    ('invoker', '{"query": "''SELECT 1 AS id''", "security": "''invoker''"}'),
    ('keyed', '{"query": "''SELECT 1 AS id, 2 AS n''", "key": "''{id}''"}'),
    ('throttled keyed', '{"query": "''SELECT 1 AS id''", "key": "''{id}''", "throttle": "''5 s''"}');
CREATE TABLE t15_change (name text, declared jsonb);
INSERT INTO t15_change VALUES
    ('nothing', '{}'),
    ('query', '{"query": "''SELECT 3 AS id''"}'),
    ('json query', '{"query": "''SELECT to_json(3) AS id''"}'),
    ('query without the key', '{"query": "''SELECT 3 AS other''"}'),
    ('no query at all', '{"query": "''SELECT FROM''"}'),
    ('query of a parameter', '{"query": "''SELECT $1::int AS id''", "parameters": "''{a}''"}'),
    ('key', '{"key": "''{id}''"}'),
    ('no key', '{"key": "''{}''"}'),
    ('key that is not there', '{"key": "''{missing}''"}'),
    ('key twice', '{"key": "''{id,id}''"}'),
    ('null key', '{"key": "''{NULL}''"}'),
    ('parameters', '{"parameters": "''{a}''"}'),
    ('parameter twice', '{"parameters": "''{a,a}''"}'),
    ('no parameters', '{"parameters": "''{}''"}'),
    ('type', '{"type": "''mine''"}'),
    ('reserved type', '{"type": "''rtd_mine''"}'),
    ('security', '{"security": "''invoker''"}'),
    ('definer', '{"security": "''definer''"}'),
    ('unknown security', '{"security": "''nobody''"}'),
    ('throttle', '{"throttle": "''2 s''"}'),
    ('long throttle', '{"throttle": "''25 h''"}'),
    ('month of debounce', '{"debounce": "''1 month''"}'),
    ('refresh', '{"refresh": "''2 s''"}'),
    ('no refresh', '{"refresh": "''0''"}'),
    ('short refresh', '{"refresh": "''1 ms''"}'),
    ('significant', '{"significant": "''t15_moved(jsonb,jsonb)''"}'),
    ('not significant', '{"significant": "''t15_number(jsonb,jsonb)''"}'),
    ('no significant', '{"significant": "''-''"}'),
    ('missing significant', '{"significant": "1"}'),
    ('retain', '{"retain": "false"}'),
    ('history', '{"history": "5"}'),
    ('long history', '{"history": "10001"}'),
    ('durable', '{"durable": "true"}'),
    ('not durable', '{"durable": "false"}'),
    ('rows', '{"shape": "''rows''"}'),
    ('value', '{"shape": "''value''"}'),
    ('unknown shape', '{"shape": "''tree''"}'),
    ('key and query', '{"query": "''SELECT 4 AS id''", "key": "''{id}''"}'),
    ('key, not significant', '{"key": "''{id}''", "significant": "''-''"}'),
    ('query, not durable', '{"query": "''SELECT 1 AS id''", "durable": "false"}');

CREATE FUNCTION t15_declare(declared jsonb, function text) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    arguments text := (SELECT string_agg(format(', %I => %s', key, value), '' ORDER BY key)
                       FROM jsonb_each_text(declared));
BEGIN
    EXECUTE format('SELECT %s(%L%s)', function, 't15-topic', arguments);
END$$;

-- What comes of one declaration and, if given, a change: the topic or the error. Nothing is left of it.
CREATE FUNCTION t15_outcome(declared jsonb, change jsonb DEFAULT NULL) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    state text; message text; detail text; hint text;
BEGIN
    PERFORM t15_declare(declared, 'rtd_create_topic');
    IF change IS NOT NULL THEN
        PERFORM t15_declare(change, 'rtd_alter_topic');
    END IF;
    -- where an invoker runs the query, the owner's name stands for "$user", which means the same
    SELECT to_jsonb(t) - '{version,created_at}'::text[] || jsonb_build_object('search_path',
        replace(search_path, '"$user"', owner::text)) FROM rtd_topics t WHERE t.name = 't15-topic' INTO message;
    RAISE EXCEPTION USING ERRCODE = 'P0R15', MESSAGE = message;
EXCEPTION WHEN others THEN
    GET STACKED DIAGNOSTICS state = RETURNED_SQLSTATE, message = MESSAGE_TEXT,
        detail = PG_EXCEPTION_DETAIL, hint = PG_EXCEPTION_HINT;
    RETURN concat_ws(' | ', state, message, detail, hint);
END$$;

CREATE TABLE t15_pair AS
    SELECT e.name AS existing, c.name AS change, t15_outcome(e.declared, c.declared) AS altered,
        t15_outcome(e.declared || c.declared) AS created
    FROM t15_existing e, t15_change c;
SELECT existing, change, altered, created FROM t15_pair WHERE altered <> created ORDER BY 1, 2 \gx
-- the comparison compared something, of either kind
SELECT count(*) AS pairs, count(*) FILTER (WHERE altered LIKE 'P0R15%') AS topics,
    count(DISTINCT left(altered, 5)) AS sqlstates FROM t15_pair;
SELECT existing, change, altered FROM t15_pair WHERE altered NOT LIKE 'P0R15%'
    AND (existing, change) IN (('significant', 'key'), ('durable', 'query'), ('event', 'key'), ('keyed', 'significant'))
    ORDER BY 1, 2;

-- the throttle of its kind is exchanged with the kind, one that was chosen stays
SELECT rtd_create_topic('t15-kind', 'SELECT 1 AS id'), rtd_create_topic('t15-chosen', 'SELECT 1 AS id', throttle => '2 s');
SELECT rtd_alter_topic('t15-kind', key => '{id}'), rtd_alter_topic('t15-chosen', key => '{id}');
SELECT name, kind, throttle FROM rtd_topics WHERE name LIKE 't15-%' ORDER BY name;
-- what is broken by now can be changed, and mended
CREATE TABLE t15_item (id int PRIMARY KEY, note text);
SELECT rtd_create_topic('t15-broken', 'SELECT * FROM t15_item', significant => 't15_moved(jsonb,jsonb)');
SELECT rtd_watch_table('t15_item', 't15-broken');
ALTER TABLE t15_item RENAME TO t15_thing;
DROP FUNCTION t15_moved;
SELECT rtd_alter_topic('t15-broken', throttle => '1 s', history => 3);
SELECT rtd_alter_topic('t15-broken', key => '{id}');
SELECT rtd_alter_topic('t15-broken', 'SELECT * FROM t15_thing', key => '{id}');
SELECT rtd_alter_topic('t15-broken', 'SELECT * FROM t15_thing', key => '{id}', significant => '-');
SELECT kind, key, significant, throttle, history, problem FROM rtd_topics WHERE name = 't15-broken';
SELECT key, problem FROM rtd_watched_tables WHERE topic = 't15-broken';
-- a drop takes along all that depends on the topic, also where its table is gone
SELECT rtd_grant('t15-broken', 'regress_rtd_altering');
DROP TABLE t15_thing;
SELECT rtd_create_topic('t15-event', durable => true), rtd_listen('t15_channel', 't15-event');
SELECT rtd_broadcast('t15-event', '1') IS NOT NULL AS sent;
SELECT rtd_drop_topic('t15-broken'), rtd_drop_topic('t15-event'), rtd_drop_topic('t15-kind'), rtd_drop_topic('t15-chosen');
RESET ROLE;
SELECT (SELECT count(*) FROM rtd_topic WHERE name LIKE 't15-%') AS topics,
    (SELECT count(*) FROM rtd_watch WHERE topic LIKE 't15-%') AS watches,
    (SELECT count(*) FROM rtd_topic_grant WHERE topic LIKE 't15-%') AS grants,
    (SELECT count(*) FROM rtd_channel WHERE topic LIKE 't15-%') AS channels,
    (SELECT count(*) FROM pg_trigger WHERE tgname LIKE 'rtd_t15-%') AS triggers;
DROP OWNED BY regress_rtd_altering;
DROP ROLE regress_rtd_altering;
