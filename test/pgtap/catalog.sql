-- Contracts of the catalog: what the install script must have said about every object. Run with
-- pg_prove in a database that has the extensions rtd and pgtap.
BEGIN;
SELECT no_plan();

-- The public functions, with volatility, strictness and parallel mark. A function that is not
-- listed, or listed and missing, fails.
SELECT set_eq(
    $$SELECT p.proname::text, p.provolatile::text, p.proisstrict, p.proparallel::text
        FROM pg_proc p
        JOIN pg_depend d ON d.classid = 'pg_proc'::regclass AND d.objid = p.oid AND d.deptype = 'e'
        JOIN pg_extension e ON e.oid = d.refobjid AND e.extname = 'rtd'
       WHERE d.refclassid = 'pg_extension'::regclass AND p.proname NOT LIKE 'rtd\_stat\_%'$$,
    $$VALUES ('rtd_alter_topic', 'v', false, 'u'),
             ('rtd_broadcast', 'v', false, 'u'),
             ('rtd_catalog_changed', 'v', true, 'u'),
             ('rtd_catalog_trigger', 'v', false, 'u'),
             ('rtd_create_topic', 'v', false, 'u'),
             ('rtd_drop_topic', 'v', false, 'u'),
             ('rtd_file_event', 'v', false, 'u'),
             ('rtd_grant', 'v', false, 'u'),
             ('rtd_listen', 'v', false, 'u'),
             ('rtd_refresh', 'v', false, 'u'),
             ('rtd_restore_trigger', 'v', false, 'u'),
             ('rtd_revoke', 'v', false, 'u'),
             ('rtd_serve_table', 'v', false, 'u'),
             ('rtd_topic_problem', 'v', true, 'u'),
             ('rtd_trigger', 'v', false, 'u'),
             ('rtd_unlisten', 'v', false, 'u'),
             ('rtd_unwatch_table', 'v', false, 'u'),
             ('rtd_wait_until_ready', 'v', true, 'r'),
             ('rtd_watch_problem', 's', true, 's'),
             ('rtd_watch_table', 'v', false, 'u')$$,
    'functions have the volatility, strictness and parallel mark that they need');

CREATE TEMPORARY VIEW member AS
SELECT d.classid, d.objid, pg_describe_object(d.classid, d.objid, 0) AS object
  FROM pg_depend d JOIN pg_extension e ON e.oid = d.refobjid
 WHERE d.refclassid = 'pg_extension'::regclass AND d.deptype = 'e' AND e.extname = 'rtd';

SELECT is_empty(
    $$SELECT object FROM member
       WHERE classid IN ('pg_proc'::regclass, 'pg_class'::regclass)
         AND NOT (classid = 'pg_class'::regclass
                  AND (SELECT relkind FROM pg_class WHERE oid = objid) = 'S')
         AND obj_description(objid, classid::regclass::text::name) IS NULL$$,
    'every function, table and view has a comment');

SELECT is_empty(
    $$SELECT object FROM member JOIN pg_proc p ON p.oid = objid AND classid = 'pg_proc'::regclass
        JOIN pg_language l ON l.oid = p.prolang WHERE l.lanname <> 'c' OR p.prosecdef$$,
    'functions are C and none is SECURITY DEFINER');

SELECT set_eq(
    $$SELECT p.proname::text FROM member JOIN pg_proc p ON p.oid = objid
       WHERE classid = 'pg_proc'::regclass
         AND NOT EXISTS (SELECT FROM aclexplode(coalesce(p.proacl, acldefault('f', p.proowner))) a
                          WHERE a.grantee = 0 AND a.privilege_type = 'EXECUTE')$$,
    ARRAY['rtd_catalog_changed', 'rtd_catalog_trigger', 'rtd_restore_trigger'],
    'only what wakes the hub or guards the registry is closed to PUBLIC');

SELECT is_empty(
    $$SELECT object, a.privilege_type FROM member JOIN pg_class c ON c.oid = objid,
             aclexplode(coalesce(c.relacl, acldefault('r', c.relowner))) a
       WHERE classid = 'pg_class'::regclass AND c.relkind IN ('r', 'p', 'S') AND a.grantee = 0$$,
    'PUBLIC has no privilege on any table of the registry');

SELECT set_eq(
    $$SELECT c.relname::text FROM member JOIN pg_class c ON c.oid = objid
       WHERE classid = 'pg_class'::regclass AND c.relkind = 'v' AND c.relname NOT LIKE 'rtd\_stat\_%'
         AND has_table_privilege('public', c.oid, 'SELECT')
         AND NOT has_table_privilege('public', c.oid, 'INSERT, UPDATE, DELETE')$$,
    ARRAY['rtd_topics', 'rtd_watched_tables'],
    'the views are readable by everybody, and nothing more');

SELECT set_eq(
    $$SELECT unnest(extconfig)::regclass::text FROM pg_extension WHERE extname = 'rtd'$$,
    $$SELECT objid::regclass::text FROM member JOIN pg_class c ON c.oid = objid
       WHERE classid = 'pg_class'::regclass AND c.relkind IN ('r', 'p', 'S')
         AND c.relname !~ '^rtd_(message|durable_instance)'$$,
    'pg_dump keeps the rows of every table, and the position of every sequence, but no durable message');

SELECT columns_are('rtd_topic', ARRAY['name', 'kind', 'owner', 'query', 'search_path', 'parameters', 'parameter_types',
    'parameter_collations', 'type', 'throttle', 'debounce', 'refresh', 'retain', 'history', 'version', 'created_at',
    'key', 'security', 'significant', 'durable', 'shape']);
SELECT columns_are('rtd_topic_grant', ARRAY['topic', 'role', 'privilege']);
SELECT columns_are('rtd_served_table', ARRAY['topic', 'relation']);
SELECT columns_are('rtd_channel', ARRAY['channel', 'topic', 'parameters']);
SELECT columns_are('rtd_retained', ARRAY['topic', 'params', 'message', 'stored_at']);
SELECT columns_are('rtd_audit_log', ARRAY['id', 'relation', 'action', 'key', 'changed_at']);
SELECT columns_are('rtd_message', ARRAY['id', 'slot', 'topic', 'params', 'type', 'source', 'data',
    'created_at', 'instance', 'sequence']);
SELECT columns_are('rtd_durable_instance', ARRAY['id', 'topic', 'path', 'epoch', 'timeline', 'former_epochs', 'former_newest', 'sequence']);
SELECT set_eq(
    $$SELECT substring(pg_get_expr(c.relpartbound, c.oid) FROM '\d+')::int
        FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid WHERE i.inhparent = 'rtd_message'::regclass$$,
    ARRAY[0, 1, 2, 3, 4, 5, 6, 7],
    'the ring of messages has a partition for every slot');
SELECT columns_are('rtd_watch', ARRAY['relation', 'topic', 'columns', 'parameters', 'operations',
    'condition', 'channel', 'audit', 'key', 'key_is_named', 'schema_name', 'table_name']);

-- Triggers of watches depend on the extension, so that it can be dropped without CASCADE.
SET LOCAL client_min_messages = error;
CREATE TABLE catalog_contract (id int PRIMARY KEY);
SELECT lives_ok($$SELECT rtd_watch_table('catalog_contract')$$, 'a table is watched');
SELECT results_eq(
    $$SELECT count(*)::int FROM pg_trigger t
        JOIN pg_depend d ON d.classid = 'pg_trigger'::regclass AND d.objid = t.oid AND d.deptype = 'x'
        JOIN pg_extension e ON e.oid = d.refobjid AND e.extname = 'rtd'
       WHERE t.tgrelid = 'catalog_contract'::regclass$$,
    ARRAY[2], 'both triggers of a watch depend on the extension');
SELECT throws_ok($$SELECT rtd_watch_table('catalog_contract', 'none')$$, '42704', NULL,
    'a watch into a missing topic says undefined_object');
SELECT throws_ok($$SELECT rtd_watch_table('catalog_contract', columns => '{x}')$$, '42703', NULL,
    'a missing column says undefined_column');
SELECT throws_ok($$SELECT rtd_create_topic('catalog-contract')$$, '42710', NULL,
    'a second topic of a name says duplicate_object');
SELECT throws_ok($$SELECT rtd_create_topic('Catalog')$$, '42602', NULL,
    'a bad name says invalid_name');
SELECT throws_ok($$SELECT rtd_create_topic('catalog', throttle => '1 month')$$, '22023', NULL,
    'a month says invalid_parameter_value');
SELECT throws_ok($$SELECT rtd_create_topic('catalog', 'SELECT 1', durable => true)$$, '22023', NULL,
    'a durable topic with a query says invalid_parameter_value');
SELECT lives_ok($$SELECT rtd_create_topic('durable-contract', durable => true)$$, 'a topic is durable');
SELECT throws_ok($$SELECT rtd_broadcast('durable-contract', '1', transactional => false)$$, '0A000', NULL,
    'a durable message at once says feature_not_supported');
SELECT throws_ok($$SELECT rtd_broadcast('none', '1')$$, '42704', NULL,
    'a broadcast to a missing topic says undefined_object');
SELECT throws_ok($$SELECT rtd_broadcast(NULL, '1')$$, '22004', NULL,
    'a broadcast to NULL says null_value_not_allowed');
SELECT throws_ok($$SELECT rtd_refresh('catalog-contract')$$, '42809', NULL,
    'a refresh of an event topic says wrong_object_type');

SELECT * FROM finish();
ROLLBACK;
