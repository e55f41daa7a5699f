-- Topics: defaults, and everything that is refused when one is declared.
SELECT rtd_create_topic('t1-events');
SELECT rtd_create_topic('t1-state', 'SELECT 1 AS n');
SELECT name, kind, type, parameters, query, search_path, throttle, debounce, refresh, retain, history,
       version, owner = current_user::regrole AS mine
  FROM rtd_topics WHERE name LIKE 't1-%' ORDER BY name;

-- every option is kept
SELECT rtd_create_topic('t1-all', 'SELECT $1::int AS n', parameters => '{id}', type => 'all.update',
    throttle => '2 s', debounce => '50 ms', refresh => '1 min', retain => false, history => 0);
SELECT type, parameters, throttle, debounce, refresh, retain, history FROM rtd_topics WHERE name = 't1-all';

-- a second one of the same name
SELECT rtd_create_topic('t1-events');
SELECT rtd_create_topic('t1-events', if_not_exists => true);

-- names
SELECT rtd_create_topic('Planned');
SELECT rtd_create_topic('a_b');
SELECT rtd_create_topic('-a');
SELECT rtd_create_topic('a--b');
SELECT rtd_create_topic('');
SELECT rtd_create_topic(NULL);
SELECT rtd_create_topic(repeat('x', 64));
SELECT rtd_create_topic(repeat('x', 63));
SELECT rtd_drop_topic(repeat('x', 63));

-- parameters
SELECT rtd_create_topic('t1-bad', parameters => '{a,a}');
SELECT rtd_create_topic('t1-bad', parameters => '{a,NULL}');
SELECT rtd_create_topic('t1-bad', parameters => '{{a},{b}}');
SELECT rtd_create_topic('t1-bad', parameters => array_agg('p' || i)) FROM generate_series(1, 17) i;

-- times, history, type
SELECT rtd_create_topic('t1-bad', throttle => '-1 ms');
SELECT rtd_create_topic('t1-bad', debounce => '1 month');
SELECT rtd_create_topic('t1-bad', throttle => '25 hours');
SELECT rtd_create_topic('t1-bad', 'SELECT 1', refresh => '1 ms');
SELECT rtd_create_topic('t1-bad', refresh => '1 s');
SELECT rtd_create_topic('t1-bad', history => -1);
SELECT rtd_create_topic('t1-bad', history => 10001);
SELECT rtd_create_topic('t1-bad', type => 'two words');
SELECT rtd_create_topic('t1-bad', type => 'rtd_error');

-- security
SELECT rtd_create_topic('t1-bad', security => 'invoker');
SELECT rtd_create_topic('t1-bad', 'SELECT 1', security => 'x');
SELECT count(*) AS made FROM rtd_topics WHERE name = 't1-bad';

-- alter: NULL keeps, and each change counts
SELECT rtd_alter_topic('t1-state', throttle => '5 s', refresh => '10 s', type => 'mine');
SELECT rtd_alter_topic('t1-state', history => 7, retain => false);
SELECT kind, query, type, throttle, debounce, refresh, retain, history, version
  FROM rtd_topics WHERE name = 't1-state';
SELECT rtd_alter_topic('t1-state', throttle => '0', refresh => '0', type => '');
SELECT type, throttle, refresh, version FROM rtd_topics WHERE name = 't1-state';
-- an event topic becomes a state topic, but not the other way round
SELECT rtd_alter_topic('t1-events', refresh => '1 s');
SELECT rtd_alter_topic('t1-events', 'SELECT 2 AS n', refresh => '1 s');
SELECT kind, query, throttle, refresh FROM rtd_topics WHERE name = 't1-events';
SELECT rtd_alter_topic('t1-events', '');
-- the query is checked again with other parameters
SELECT rtd_alter_topic('t1-all', parameters => '{}');
SELECT rtd_alter_topic('t1-all', parameters => '{id,other}');
SELECT parameters FROM rtd_topics WHERE name = 't1-all';
SELECT rtd_alter_topic('t1-none');

-- the search_path of the declaration is kept, without pg_temp
CREATE SCHEMA "t1 Odd";
CREATE TABLE "t1 Odd".here (id int);
SET search_path = "t1 Odd", pg_temp, public;
SELECT rtd_create_topic('t1-path', 'SELECT id FROM here');
RESET search_path;
SELECT search_path FROM rtd_topics WHERE name = 't1-path';
-- options change under another path without harm; a query takes the present one along
SELECT rtd_alter_topic('t1-path', history => 1);
SELECT search_path FROM rtd_topics WHERE name = 't1-path';
SELECT rtd_alter_topic('t1-path', 'SELECT id FROM here');
SELECT rtd_alter_topic('t1-path', 'SELECT 1');
SELECT search_path FROM rtd_topics WHERE name = 't1-path';

-- a topic that nothing can make send
SELECT name, has_source FROM rtd_topics WHERE name LIKE 't1-%' ORDER BY name;

SELECT rtd_drop_topic(name) FROM rtd_topics WHERE name LIKE 't1-%' ORDER BY name;
SELECT rtd_drop_topic('t1-all');
SELECT rtd_drop_topic('t1-all', if_exists => true);
SELECT count(*) AS left_over FROM rtd_topics WHERE name LIKE 't1-%';
DROP SCHEMA "t1 Odd" CASCADE;
