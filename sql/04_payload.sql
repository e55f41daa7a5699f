-- What a watched table sends, seen through the NOTIFY channel of its watch. Times and process ids are
-- masked; everything else is exact.
SET client_min_messages = error; -- the word about a hub that is not there, once per session
SELECT rtd_create_topic('t4-none', 'SELECT 1');
SELECT rtd_refresh('t4-none');
SELECT rtd_drop_topic('t4-none');
RESET client_min_messages;
LISTEN t4;

CREATE TYPE t4_mood AS ENUM ('sad', 'happy');
CREATE TABLE t4_context_analysis (id int PRIMARY KEY, status text, note text);
CREATE TABLE t4_types (id uuid PRIMARY KEY, i8 bigint, n numeric, f double precision, b boolean, t text,
    j json, jb jsonb, a int[], m t4_mood, d date, tz timestamptz, c char(5), gone int, nothing int);
ALTER TABLE t4_types DROP COLUMN gone;
SET timezone = 'UTC';

SELECT rtd_create_topic('t4-context');
SELECT rtd_watch_table('t4_context_analysis', 't4-context', columns => '{id AS review_id,status}', channel => 't4');
SELECT rtd_create_topic('t4-types');
SELECT rtd_watch_table('t4_types', 't4-types', channel => 't4', operations => '{INSERT}',
    columns => '{id,i8,n,f,b,t,j,jb,a,m,d,tz,c,nothing,TABLE AS table}');

\o | sed -E 's/"timestamp": "[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}\.[0-9]{6}\+00:00"/"timestamp": (ISO)/; s/ received from.*//'
INSERT INTO t4_context_analysis VALUES (1, 'pending'), (2, NULL);
-- an UPDATE that changes nothing makes no event
UPDATE t4_context_analysis SET status = status;
UPDATE t4_context_analysis SET status = 'analyzing', note = repeat('x', 9000) WHERE id = 1;
UPDATE t4_context_analysis SET note = repeat('x', 9000) WHERE id = 1;
UPDATE t4_context_analysis SET note = repeat('y', 9000) WHERE id = 1;
-- one that changes the key makes an event for the old and the new key
UPDATE t4_context_analysis SET id = 3, status = 'moved' WHERE id = 2;
DELETE FROM t4_context_analysis WHERE id = 1;
TRUNCATE t4_context_analysis;
-- a rolled back change makes no event
BEGIN;
INSERT INTO t4_context_analysis VALUES (7, 'kept');
SAVEPOINT s;
INSERT INTO t4_context_analysis VALUES (8, 'gone');
ROLLBACK TO s;
COMMIT;
-- values are JSON of their own type, numerics unrounded
INSERT INTO t4_types VALUES ('a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11', 9007199254740993, 12.3400, 0.1, true,
    E'quote " backslash \\ tab \t é', '{"k": [1,  2]}', '{"k":null}', '{1,NULL}', 'happy', '2026-11-21',
    '2026-11-21 05:14:40.5+00', 'ab', NULL);
\o

-- a payload that NOTIFY does not take never fails the write
SELECT rtd_watch_table('t4_context_analysis', 't4-context', columns => '{id,status,note}', channel => 't4');
\o | sed -E 's/"timestamp": "[^"]*"/"timestamp": (ISO)/; s/ received from.*//; s/"x{5,}"/"x.."/'
INSERT INTO t4_context_analysis VALUES (20, 's', repeat('x', 9000));
INSERT INTO t4_context_analysis VALUES (21, 's', repeat('x', 9000));
INSERT INTO t4_context_analysis VALUES (22, 's', repeat('x', 7000));
\o
SELECT rtd_watch_table('t4_context_analysis', 't4-context', columns => '{note,status}', channel => 't4');
\o | sed -E 's/"timestamp": "[^"]*"/"timestamp": (ISO)/; s/ received from.*//'
INSERT INTO t4_context_analysis VALUES (23, 's', repeat('x', 9000));
\o

-- only what the watch asks for
SELECT rtd_watch_table('t4_context_analysis', 't4-context', channel => 't4', operations => '{INSERT,UPDATE}',
    condition => 'NEW.status = ''done''');
\o | sed -E 's/"timestamp": "[^"]*"/"timestamp": (ISO)/; s/ received from.*//'
INSERT INTO t4_context_analysis VALUES (30, 'done'), (31, 'open');
UPDATE t4_context_analysis SET status = 'done' WHERE id = 31;
DELETE FROM t4_context_analysis;
TRUNCATE t4_context_analysis;
\o

SELECT rtd_drop_topic(name) FROM rtd_topics WHERE name LIKE 't4-%' ORDER BY name;
DROP TABLE t4_context_analysis, t4_types;
DROP TYPE t4_mood;
