-- The shape of a topic's data is decided by the type of its query's column, and said in a NOTICE.
CREATE DOMAIN t12_document AS jsonb;
CREATE DOMAIN t12_note AS t12_document;
CREATE TABLE t12_item (id int PRIMARY KEY, label text, word varchar(9), data json, note t12_note);

-- one column of JSON is a value
SELECT rtd_create_topic('t12-json', 'SELECT data FROM t12_item LIMIT 1');
SELECT rtd_create_topic('t12-jsonb', 'SELECT jsonb_agg(t) FROM t12_item t');
SELECT rtd_create_topic('t12-domain', 'SELECT note FROM t12_item');
-- one column of text is rows, unless declared
SELECT rtd_create_topic('t12-text', 'SELECT label FROM t12_item');
SELECT rtd_create_topic('t12-varchar', 'SELECT word FROM t12_item');
SELECT rtd_create_topic('t12-parsed', 'SELECT label FROM t12_item', shape => 'value');
-- nothing to decide
SELECT rtd_create_topic('t12-int', 'SELECT count(*) FROM t12_item');
SELECT rtd_create_topic('t12-rows', 'SELECT id, data FROM t12_item');
SELECT rtd_create_topic('t12-json-rows', 'SELECT data FROM t12_item', shape => 'rows');
SELECT rtd_create_topic('t12-keyed', 'SELECT id, data FROM t12_item', key => '{id}');
SELECT rtd_create_topic('t12-event');
SELECT name, shape FROM rtd_topics WHERE name LIKE 't12-%' ORDER BY name;

-- refused
SELECT rtd_create_topic('t12-bad', 'SELECT id FROM t12_item', shape => 'value');
SELECT rtd_create_topic('t12-bad', 'SELECT id, data FROM t12_item', shape => 'value');
SELECT rtd_create_topic('t12-bad', 'SELECT id, data FROM t12_item', key => '{id}', shape => 'value');
SELECT rtd_create_topic('t12-bad', 'SELECT data FROM t12_item', shape => 'array');
SELECT rtd_create_topic('t12-bad', shape => 'rows');
SELECT rtd_alter_topic('t12-event', shape => 'rows');
SELECT rtd_alter_topic('t12-keyed', shape => 'value');
SELECT rtd_alter_topic('t12-int', shape => 'value');

-- altered: by type again with another query, but text stays what it was declared to be
SELECT rtd_alter_topic('t12-text', shape => 'value');
SELECT rtd_alter_topic('t12-text', 'SELECT upper(label) FROM t12_item');
SELECT rtd_alter_topic('t12-json', 'SELECT id, data FROM t12_item');
SELECT rtd_alter_topic('t12-rows', 'SELECT data FROM t12_item');
SELECT rtd_alter_topic('t12-varchar', throttle => '1 s');
SELECT rtd_alter_topic('t12-event', 'SELECT data FROM t12_item');
SELECT name, shape FROM rtd_topics WHERE name LIKE 't12-%' ORDER BY name;

-- two columns of one name: a JSON object would have one of them
CREATE TABLE t12_order (id int PRIMARY KEY, item int);
SELECT rtd_create_topic('t12-bad', 'SELECT * FROM t12_item i JOIN t12_order o ON o.item = i.id');
SELECT rtd_create_topic('t12-bad', 'SELECT 1 AS n, 2 AS n');
SELECT rtd_create_topic('t12-bad', 'SELECT 1 + 1, 2 + 2');
SELECT rtd_create_topic('t12-bad', 'SELECT count(*), count(id) FROM t12_item');
SELECT rtd_create_topic('t12-bad', 'SELECT i.id, i.label, o.item AS label FROM t12_item i, t12_order o', key => '{id}');
SELECT rtd_create_topic('t12-bad', 'SELECT o.id, o.item AS id FROM t12_order o', key => '{id}');
SELECT rtd_alter_topic('t12-int', 'SELECT id, item AS id FROM t12_order');
SELECT rtd_create_topic('t12-named', 'SELECT i.*, o.id AS order_id FROM t12_item i JOIN t12_order o ON o.item = i.id ORDER BY o.id');
-- letters of another case are another name
SELECT rtd_create_topic('t12-case', 'SELECT 1 AS n, 2 AS "N"');
SELECT count(*) AS made FROM rtd_topics WHERE name = 't12-bad';

-- a key makes rows of what was a value
CREATE TABLE t12_line (line text PRIMARY KEY);
SELECT rtd_create_topic('t12-value', 'SELECT line FROM t12_line', shape => 'value');
SELECT rtd_alter_topic('t12-value', key => '{line}');
SELECT rtd_create_topic('t12-other', 'SELECT to_json(line) AS line FROM t12_line');
SELECT rtd_alter_topic('t12-other', 'SELECT line FROM t12_line', key => '{line}');
SELECT rtd_create_topic('t12-line', 'SELECT line FROM t12_line', key => '{line}'); -- has no choice to be told of
SELECT name, kind, shape FROM rtd_topics WHERE name IN ('t12-value', 't12-other', 't12-line') ORDER BY name;

SELECT rtd_drop_topic(name) FROM rtd_topics WHERE name LIKE 't12-%' ORDER BY name;
DROP TABLE t12_item, t12_order, t12_line;
DROP DOMAIN t12_note, t12_document;
