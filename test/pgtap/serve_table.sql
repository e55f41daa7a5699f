-- Contracts of rtd_serve_table(): SQLSTATEs, and what is registered. Run with pg_prove in a database
-- that has the extensions rtd and pgtap.
BEGIN;
SELECT no_plan();
SET LOCAL client_min_messages = error;
CREATE ROLE serve_contract;
CREATE TABLE serve_contract (id int PRIMARY KEY, "Name" text);
CREATE VIEW serve_contract_view AS SELECT * FROM serve_contract;

SELECT throws_ok(format($$SELECT rtd_serve_table('serve_contract', 'serve_contract', %s)$$, arguments), sqlstate, NULL, problem)
  FROM (VALUES ($$columns => '{x}'$$, '42703', 'a missing column says undefined_column'),
               ($$columns => '{"Name","Name"}'$$, '42701', 'a name given twice says duplicate_column'),
               ($$columns => '{}'$$, '22023', 'no columns says invalid_parameter_value'),
               ($$columns => '{NULL}'$$, '22004', 'a null column says null_value_not_allowed'),
               ($$condition => 'true, true'$$, '42601', 'two conditions say syntax_error'),
               ($$condition => 'true) OR (true'$$, '42601', 'a condition that leaves its parentheses says syntax_error'),
               ($$condition => 'id'$$, '42804', 'a condition that is none says datatype_mismatch'),
               ($$condition => 'id = $1'$$, '42P02', 'a parameter says undefined_parameter'),
               ($$topic => 'Serve'$$, '42602', 'a bad name says invalid_name')) AS refused (arguments, sqlstate, problem);
SELECT throws_ok($$SELECT rtd_serve_table('serve_contract_view', 'serve_contract')$$, '42809', NULL,
    'a view says wrong_object_type');
SELECT throws_ok($$SELECT rtd_serve_table('serve_contract', 0::oid::regrole)$$, '42704', NULL,
    'a missing role says undefined_object');
SELECT is_empty($$SELECT FROM rtd_topics WHERE name = 'serve-contract'$$, 'a call that fails makes no topic');

SELECT lives_ok($$SELECT rtd_serve_table('serve_contract', 'serve_contract')$$, 'a table is served');
SELECT results_eq($$SELECT topic, relation::text FROM rtd_served_table$$,
    $$VALUES ('serve-contract'::text, 'serve_contract'::text)$$, 'which is registered');
SELECT results_eq($$SELECT kind, key, security, has_source FROM rtd_topics WHERE name = 'serve-contract'$$,
    $$VALUES ('keyed'::text, '{id}'::text[], 'definer'::text, true)$$, 'as a keyed topic that the table feeds');
SELECT results_eq($$SELECT count(*)::int FROM pg_trigger t
        JOIN pg_depend d ON d.classid = 'pg_trigger'::regclass AND d.objid = t.oid AND d.deptype = 'x'
       WHERE t.tgrelid = 'serve_contract'::regclass$$,
    ARRAY[2], 'whose triggers depend on the extension');
SELECT lives_ok($$SELECT rtd_create_topic('serve-other')$$, 'a topic of something else');
SELECT throws_ok($$SELECT rtd_serve_table('serve_contract', 'serve_contract', 'serve-other')$$, '42710', NULL,
    'is not replaced: duplicate_object');
SELECT lives_ok($$SELECT rtd_drop_topic('serve-contract')$$, 'a dropped topic');
SELECT is_empty($$SELECT FROM rtd_served_table$$, 'is served no more');

SELECT finish();
ROLLBACK;
