-- What the key of a topic may be, and what rtd_watch_table() makes of it.
CREATE TABLE t10_customer (id int PRIMARY KEY, name text);
CREATE TABLE t10_order (id int PRIMARY KEY, customer_id int, state text, data jsonb, place point);
CREATE TABLE t10_line (id int PRIMARY KEY, order_id int, price numeric);

-- accepted: changed rows are read by their key
SELECT rtd_create_topic('t10-order', 'SELECT * FROM t10_order;', key => '{id}');
SELECT name, kind, key, throttle FROM rtd_topics WHERE name = 't10-order';
SELECT rtd_create_topic('t10-pair', 'SELECT o.id, l.id AS "Line" FROM t10_order o JOIN t10_line l ON l.order_id = o.id -- all', key => '{Line,id}');
SELECT rtd_create_topic('t10-group', 'SELECT order_id, count(*) FROM t10_line GROUP BY order_id', key => '{order_id}');
SELECT rtd_create_topic('t10-union', 'SELECT id FROM t10_order UNION ALL SELECT id + 1 FROM t10_line', key => '{id}');
SELECT rtd_create_topic('t10-param', 'SELECT id, $1 AS word FROM t10_order WHERE state = $2', key => '{id}', parameters => '{a,b}');

-- accepted: one row may change others
SELECT rtd_create_topic('t10-limit', 'SELECT id FROM t10_order ORDER BY id LIMIT 10', key => '{id}');
SELECT rtd_create_topic('t10-window', 'SELECT id, row_number() OVER () AS n FROM t10_order', key => '{id}');
SELECT rtd_create_topic('t10-distinct', 'SELECT DISTINCT ON (state) id, state FROM t10_order', key => '{state}');
SELECT rtd_create_topic('t10-total', 'SELECT max(id) AS id FROM t10_order', key => '{id}');
SELECT rtd_create_topic('t10-other', 'SELECT state, count(*) AS n FROM t10_order GROUP BY state', key => '{n}');
SELECT rtd_create_topic('t10-set', 'SELECT id, generate_series(1, 2) AS n FROM t10_order', key => '{id,n}');
SELECT rtd_create_topic('t10-tree', 'WITH RECURSIVE t AS (SELECT 1 AS id UNION SELECT id + 1 FROM t WHERE id < 3) SELECT * FROM t', key => '{id}');
SELECT rtd_create_topic('t10-computed', 'SELECT id + 0 AS id FROM t10_order', key => '{id}');
SELECT rtd_create_topic('t10-json', 'SELECT id, data FROM t10_order', key => '{data}');

-- refused
SELECT rtd_create_topic('t10-bad', key => '{id}');
SELECT rtd_create_topic('t10-bad', 'SELECT id FROM t10_order', key => '{Id}');
SELECT rtd_create_topic('t10-bad', 'SELECT id FROM t10_order', key => '{id,id}');
SELECT rtd_create_topic('t10-bad', 'SELECT id FROM t10_order', key => '{id,NULL}');
SELECT rtd_create_topic('t10-bad', 'SELECT id FROM t10_order', key => '{a,b,c,d,e,f,g,h,i}');
SELECT rtd_create_topic('t10-bad', 'SELECT id, id FROM t10_order', key => '{id}');
SELECT rtd_create_topic('t10-bad', 'SELECT json_agg(o) AS id FROM t10_order o', key => '{id}');
SELECT rtd_create_topic('t10-bad', 'SELECT id, place FROM t10_order', key => '{place}');
SELECT rtd_create_topic('t10-bad', 'SELECT id, state::xml AS x FROM t10_order', key => '{x}');
SELECT rtd_create_topic('t10-bad', 'SELECT id FROM t10_nowhere', key => '{id}');

-- which row a table's row concerns follows from the query, not from names
SELECT rtd_create_topic('t10-shop', $$
    SELECT o.id, c.name, (SELECT sum(price) FROM t10_line l WHERE l.order_id = o.id) AS total
      FROM t10_order o JOIN t10_customer c ON c.id = o.customer_id$$, key => '{id}');
SELECT rtd_watch_table('t10_order', 't10-shop'), rtd_watch_table('t10_line', 't10-shop');
SELECT rtd_watch_table('t10_customer', 't10-shop');
CREATE TABLE t10_elsewhere (id int PRIMARY KEY, order_id int);
SELECT rtd_watch_table('t10_elsewhere', 't10-shop');
SELECT rtd_watch_table('t10_elsewhere', 't10-shop', columns => '{order_id AS id}');
SELECT relation, key FROM rtd_watched_tables WHERE topic = 't10-shop' ORDER BY relation::text;
-- a table that occurs twice is one that its own rows depend on
SELECT rtd_create_topic('t10-self', 'SELECT a.id, b.name AS other FROM t10_customer a LEFT JOIN t10_customer b ON b.id = a.id + 1', key => '{id}');
SELECT rtd_watch_table('t10_customer', 't10-self');

-- how a table may occur, and by which column its rows are told
CREATE FUNCTION t10_origin(query text, relation regclass, key text[] = '{id}') RETURNS text LANGUAGE plpgsql AS $$
DECLARE found text;
BEGIN
    PERFORM rtd_create_topic('t10-origin', query, key => key);
    PERFORM rtd_watch_table(relation, 't10-origin');
    SELECT w.key::text INTO found FROM rtd_watched_tables w WHERE topic = 't10-origin';
    PERFORM rtd_drop_topic('t10-origin');
    RETURN coalesce(found, 'all');
END$$;
SET client_min_messages = warning;
SELECT t10_origin(query, 't10_line') AS line, query FROM (VALUES
    (1, 'SELECT o.id FROM t10_order o JOIN t10_line l ON l.order_id = o.id'),
    (2, 'SELECT o.id FROM t10_order o LEFT JOIN t10_line l ON l.order_id = o.id AND l.price > 1'),
    (3, 'SELECT o.id FROM t10_line l RIGHT JOIN t10_order o ON l.order_id = o.id'),
    (4, 'SELECT o.id FROM t10_line l FULL JOIN t10_order o ON l.order_id = o.id'),
    (5, 'SELECT o.id FROM t10_order o, t10_line l WHERE o.id = l.order_id AND l.price > 1'),
    (6, 'SELECT o.id FROM t10_order o, t10_line l WHERE o.id = l.order_id OR l.price > 1'),
    (7, 'SELECT o.id FROM t10_order o, t10_line l WHERE o.id < l.order_id'),
    (8, 'SELECT o.id FROM t10_order o WHERE EXISTS (SELECT FROM t10_line l WHERE l.order_id = o.id)'),
    (9, 'SELECT o.id FROM t10_order o WHERE NOT EXISTS (SELECT FROM t10_line l WHERE l.order_id = o.id LIMIT 1)'),
    (10, 'SELECT o.id FROM t10_order o WHERE o.id IN (SELECT order_id FROM t10_line)'),
    (11, 'SELECT o.id FROM t10_order o WHERE o.id IN (SELECT order_id FROM t10_line ORDER BY 1 LIMIT 1)'),
    (12, 'SELECT o.id FROM t10_order o WHERE o.id NOT IN (SELECT order_id FROM t10_line)'),
    (13, 'SELECT o.id, (SELECT count(*) FROM t10_line) FROM t10_order o'),
    (14, 'SELECT o.id, s.n FROM t10_order o JOIN (SELECT order_id, count(*) AS n FROM t10_line GROUP BY 1) s ON s.order_id = o.id'),
    (15, 'SELECT o.id, s.n FROM t10_order o JOIN (SELECT order_id, rank() OVER (ORDER BY price) AS n FROM t10_line) s ON s.order_id = o.id'),
    (16, 'WITH s AS (SELECT * FROM t10_line) SELECT o.id, price FROM t10_order o JOIN s ON s.order_id = o.id'),
    (17, 'WITH s AS (SELECT * FROM t10_line) SELECT o.id, s.price FROM t10_order o JOIN s ON s.order_id = o.id JOIN s s2 ON s2.id = o.id'),
    (18, 'SELECT o.id, x.price FROM t10_order o, LATERAL (SELECT * FROM t10_line l WHERE l.order_id = o.id ORDER BY price LIMIT 1) x'),
    (19, 'SELECT id FROM t10_order UNION SELECT order_id FROM t10_line'),
    (20, 'SELECT order_id AS id FROM t10_order o LEFT JOIN t10_line l ON l.order_id = o.id'),
    (21, 'SELECT order_id AS id, sum(price) FROM t10_line GROUP BY order_id HAVING sum(price) > 0'),
    (22, 'SELECT o.id FROM t10_order o JOIN t10_line l ON l.order_id = o.id AND l.order_id = l.id'),
    (23, 'SELECT l.order_id AS id FROM t10_line l LEFT JOIN t10_order o ON l.order_id = l.id'),
    (24, 'SELECT id FROM (SELECT id FROM t10_order) o JOIN t10_line l USING (id)')
) AS q (n, query) ORDER BY n;
RESET client_min_messages;

-- alter: the watches follow
SELECT rtd_create_topic('t10-alter', 'SELECT id, order_id FROM t10_line');
SELECT rtd_watch_table('t10_line', 't10-alter');
SELECT rtd_alter_topic('t10-alter', key => '{id}');
SELECT t.kind, t.key, t.throttle, w.key FROM rtd_topics t JOIN rtd_watched_tables w ON w.topic = t.name WHERE name = 't10-alter';
SELECT rtd_alter_topic('t10-alter', 'SELECT order_id AS id, sum(price) FROM t10_line GROUP BY 1', throttle => '1 s');
SELECT t.kind, t.key, t.throttle, w.key FROM rtd_topics t JOIN rtd_watched_tables w ON w.topic = t.name WHERE name = 't10-alter';
SELECT rtd_alter_topic('t10-alter', 'SELECT 1 AS n');
SELECT rtd_alter_topic('t10-alter', key => '{}');
SELECT t.kind, t.key, t.throttle, w.key FROM rtd_topics t JOIN rtd_watched_tables w ON w.topic = t.name WHERE name = 't10-alter';

SELECT rtd_drop_topic(name) FROM rtd_topics WHERE name LIKE 't10-%' ORDER BY name;
DROP FUNCTION t10_origin(text, regclass, text[]);
DROP TABLE t10_customer, t10_order, t10_line, t10_elsewhere;
