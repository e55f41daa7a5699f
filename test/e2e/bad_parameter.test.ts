// Parameters that a query cannot take are the client's fault and refused with 4400 on every way in,
// wherever the query finds out; an error that needs a row is not blamed on them.

import assert from 'node:assert/strict';
import { afterEach, describe, test } from 'node:test';
import { closeStreams } from '../lib/event_stream';
import { expectRefusalsOf, firstAnswer } from '../lib/first_answer';
import { createTopic, useCluster } from '../lib/harness';
import { closeMultiplexed } from '../lib/multiplexed';

const use = useCluster();
afterEach(closeMultiplexed);
afterEach(closeStreams);

const sql = (text: string) => use.cluster.sql(text);
const expectRefusals = (topic: string, params: string[], code: number, sentence: RegExp) =>
    expectRefusalsOf(use.cluster, topic, params, code, sentence);

describe('a parameter', () => {
    // Each query casts the parameter, in its own way.
    for (const [topic, query, params] of [
        ['cast-param', 'SELECT $1::int AS n', ['abc']],
        ['cast-text', 'SELECT $1::text AS t, $1::text::int AS n', ['abc']],
        ['cast-json', `SELECT jsonb_build_object('review_id', $1::text, 'n', (SELECT count(*) FROM pg_class WHERE oid = $1::int))`, ['abc']],
        ['cast-date', 'SELECT $1::text AS t, $1::text::date AS d', ['2026-02-30']],
        ['cast-timestamp', 'SELECT $1::text AS t, $1::text::timestamptz AS d', ['yesterweek']],
        ['cast-range', 'SELECT $1::int AS n', ['99999999999']],
        ['cast-second', 'SELECT $1::text AS t, 10 / $2::int AS n', ['x', '0']],
        ['cast-domain', 'SELECT $1::text AS t, $1::text::positive AS n', ['-1']],
        ['cast-enum', 'SELECT $1::mood AS m', ['angry']],
        ['cast-name', 'SELECT $1::regclass::text AS name', ['no_such_table']],
        ['cast-domain-itself', 'SELECT $1::positive AS n', ['-1']],
        ['cast-array', `SELECT $1::text AS t, string_to_array($1, ',')::int[] AS n`, ['1,two']],
        ['cast-case', `SELECT CASE WHEN $1 = 'x' THEN 1 ELSE $1::text::int END AS n`, ['y']],
        ['cast-subquery', 'SELECT t FROM (SELECT $1::text AS t, $1::text::uuid AS u OFFSET 0) AS s WHERE u IS NOT NULL', ['abc']],
        ['cast-words', `SELECT $1::text AS t, to_tsvector('a b') @@ to_tsquery('simple', $1) AS found`, ['two words']],
        ['cast-path', `SELECT $1::text AS t, '{}'::jsonb @? $1::text::jsonpath AS found`, ['$.a[']],
        ['cast-late-name', 'SELECT $1::text AS t, $1::text::regclass::oid AS oid', ['no_such_table']],
        ['cast-limit', 'SELECT id FROM cast_rows LIMIT $1', ['-1']],
        ['cast-page', 'SELECT id FROM cast_rows ORDER BY id OFFSET ($1::int - 1) * 10 LIMIT 10', ['0']],
        ['cast-pattern', 'SELECT id FROM cast_rows WHERE id::text ~ $1', ['(']],
        ['cast-replace', `SELECT id FROM cast_rows WHERE regexp_replace(id::text, $1, '') = ''`, ['[a']],
        ['cast-keyed-pattern', 'SELECT id FROM cast_rows WHERE id::text ~* $1', ['*']],
        ['cast-keyed', 'SELECT id, $1::text AS t FROM cast_rows WHERE id = $1::text::int', ['abc']],
    ] as [string, string, string[]][])
        test(`that ${query} cannot take is refused with 4400 on every way in`, async () => {
            await sql(`
                DO $$ BEGIN
                    IF to_regtype('positive') IS NULL THEN
                        CREATE DOMAIN positive AS int CHECK (VALUE > 0);
                        CREATE TYPE mood AS ENUM ('calm');
                        CREATE TABLE cast_rows (id int PRIMARY KEY);
                        INSERT INTO cast_rows VALUES (1);
                    END IF;
                END $$`);
            const names = params.map((_, i) => `p${i}`).join(',');
            const key = topic.startsWith('cast-keyed') ? `, key => '{id}'` : '';
            await createTopic(use.cluster, topic, `parameters => '{${names}}', query => $q$${query}$q$${key}`);
            await expectRefusals(topic, params, 4400, /parameter/);
        });

    test('is not blamed for a row', async () => {
        await sql(`CREATE TABLE notes (id int, note text); INSERT INTO notes VALUES (1, 'seven'), (2, '8')`);
        await createTopic(use.cluster, 'blame', `parameters => '{id}', query => 'SELECT note::int AS n FROM notes WHERE id::text = $1'`);
        await expectRefusals('blame', ['1'], 4500, /^the topic's query failed \(SQLSTATE 22P02\)[^"]*$/);
        assert.deepEqual((await firstAnswer(use.cluster, '/api', 'blame', ['2'])).message?.data, [{ n: 8 }]);
    });

    test('is not blamed for a pattern of a row, nor for what a function does not find', async () => {
        await sql(`
            CREATE TABLE patterns (pattern text); INSERT INTO patterns VALUES ('(');
            CREATE TABLE dropped (x text);
            CREATE FUNCTION gone(text) RETURNS text IMMUTABLE LANGUAGE plpgsql AS $$ BEGIN RETURN (SELECT min(x) FROM dropped); END $$`);
        await createTopic(use.cluster, 'of-row', `parameters => '{word}', query => 'SELECT 1 AS n FROM patterns WHERE $1 ~ pattern'`);
        await expectRefusals('of-row', ['a'], 4500, /SQLSTATE 2201B/);
        await createTopic(use.cluster, 'of-function', `parameters => '{word}', query => 'SELECT gone($1) AS n'`);
        await sql('DROP TABLE dropped');
        await expectRefusals('of-function', ['a'], 4500, /SQLSTATE 42P01/);
    });

    test('is not blamed for what its function reads', async () => {
        await sql(`
            CREATE TABLE looked_up (id text, v int); INSERT INTO looked_up VALUES ('a', 0);
            CREATE FUNCTION look_up(text) RETURNS int STABLE LANGUAGE sql AS 'SELECT 10 / v FROM looked_up WHERE id = $1'`);
        await createTopic(use.cluster, 'looks-up', `parameters => '{id}', query => 'SELECT look_up($1) AS n'`);
        await expectRefusals('looks-up', ['a'], 4500, /SQLSTATE 22012/);
    });
});
