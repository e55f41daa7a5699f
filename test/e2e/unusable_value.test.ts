// One value that jsonb cannot hold does not take the others with it: it is sent as the text it was
// written as, the rest as ever, and the log says so.

import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { createTopic, subscribe, useCluster } from '../lib/harness';
import { Subscriber } from '../lib/subscriber';
import { KeyedRows } from '../lib/keyed_client';
import { within } from '../lib/wait';

const use = useCluster();
const sql = (text: string) => use.cluster.sql(text);

/** Two rows that are fine and, between them, one with this document. */
async function documents(table: string, document: string, type = 'json') {
    await sql(`
        CREATE TABLE ${table} (id int PRIMARY KEY, doc ${type});
        INSERT INTO ${table} VALUES (1, '{"fine": 1}'), (3, '{"fine": 3}');
        INSERT INTO ${table} VALUES (2, $doc$${document}$doc$)`);
}

async function firstOf(topic: string, options: string): Promise<Subscriber> {
    await createTopic(use.cluster, topic, options);
    return subscribe(use.cluster, topic);
}

// What is written, and what a client reads.
const documentsOf: [what: string, written: string, read: unknown][] = [
    ['a NUL', String.raw`{"a": "x\u0000y", "b": [1, "z"]}`, { a: String.raw`x\u0000y`, b: [1, 'z'] }],
    ['a NUL in a key', String.raw`{"k\u0000": 1}`, { [String.raw`k\u0000`]: 1 }],
    ['half a surrogate pair', String.raw`["\ud83d", "\ude00", "\ud83d\ude00"]`, [String.raw`\ud83d`, String.raw`\ude00`, '😀']],
    ['a surrogate before another', String.raw`"\ud83d\ud83d\ude00"`, String.raw`\ud83d` + '😀'],
    ['escapes around it', String.raw`"\\u0000 \\\u0000 \" \n"`, String.raw`\u0000 ` + '\\' + String.raw`\u0000 " ` + '\n'],
    ['a number out of range', '{"n": 1e200000, "m": [-12e999999, 5]}', { n: '1e200000', m: ['-12e999999', 5] }],
];

documentsOf.forEach(([what, written, read], i) =>
    describe(what, () => {
        const table = `docs_${i}`;
        const rows = [{ id: 1, doc: { fine: 1 } }, { id: 2, doc: read }, { id: 3, doc: { fine: 3 } }];

        test('in a row of a state topic', async () => {
            await documents(table, written);
            const position = use.cluster.logPosition();
            const client = await firstOf(`docs-${i}`, `query => 'SELECT * FROM ${table} ORDER BY id'`);
            assert.deepEqual((await client.next()).data, rows);
            await use.cluster.waitForLog(new RegExp(`topic "docs-${i}".*jsonb`), position);
        });

        test('in a row of a keyed topic, first and when it comes', async () => {
            const client = await firstOf(`docs-keyed-${i}`, `key => '{id}', query => 'SELECT * FROM ${table}'`);
            await sql(`SELECT rtd_watch_table('${table}', 'docs-keyed-${i}')`);
            const kept = new KeyedRows(['id']);
            kept.take(await client.next());
            assert.equal(kept.difference(rows), undefined);
            await sql(`INSERT INTO ${table} SELECT 4, doc FROM ${table} WHERE id = 2`);
            kept.take(await client.next());
            assert.equal(kept.difference([...rows, { id: 4, doc: read }]), undefined);
            assert.equal(kept.snapshots, 1);
        });

        test('that comes into a keyed topic of good rows', async () => {
            await sql(`DELETE FROM ${table} WHERE id IN (2, 4)`);
            const client = await firstOf(`docs-late-${i}`, `key => '{id}', query => 'SELECT * FROM ${table}'`);
            await sql(`SELECT rtd_watch_table('${table}', 'docs-late-${i}')`);
            const kept = new KeyedRows(['id']);
            kept.take(await client.next());
            await sql(`INSERT INTO ${table} VALUES (2, $doc$${written}$doc$)`);
            kept.take(await client.next());
            assert.equal(kept.difference(rows), undefined);
            assert.deepEqual([kept.snapshots, kept.deltas], [1, 1]);
        });

        test('in a value that the query composes itself, as json or as text', async () => {
            for (const type of ['json', 'text', 'varchar']) {
                const client = await firstOf(`docs-${type}-${i}`, `query => 'SELECT json_agg(d ORDER BY id)::${type} FROM ${table} AS d', shape => 'value'`);
                assert.deepEqual((await client.next()).data, rows);
            }
        });
    }),
);

test('numbers and dates without a JSON form are strings, in state and keyed topics', async () => {
    await sql(`CREATE TABLE odd (id int PRIMARY KEY, n numeric, f float8, d date, t timestamptz);
        INSERT INTO odd VALUES (1, 'NaN', 'Infinity', 'infinity', '-infinity'), (2, 1.50, 2.5, '2026-01-02', NULL),
                               (3, '-Infinity', 'NaN', '4000-01-01 BC', '2026-01-02 00:00+00')`);
    const expected = [
        { id: 1, n: 'NaN', f: 'Infinity', d: 'infinity', t: '-infinity' },
        { id: 2, n: 1.5, f: 2.5, d: '2026-01-02', t: null },
    ];
    for (const [topic, key] of [['odd-state', ''], ['odd-keyed', `, key => '{id}'`]]) {
        const client = await firstOf(topic, `query => 'SELECT * FROM odd WHERE id < 3'${key}`);
        const { data } = await client.next();
        assert.deepEqual(data.sort((a: any, b: any) => a.id - b.id), expected, topic);
    }
});

test('what is no JSON at all is still a failure, which says so', async () => {
    await createTopic(use.cluster, 'no-json', `query => $$SELECT '{"a": "\\u0000", nonsense}'::text$$, shape => 'value'`);
    const client = await Subscriber.open(use.cluster.url('no-json'));
    const { code, reason } = await within('the refusal', client.closed);
    assert.deepEqual([code, /SQLSTATE 22P02/.test(reason)], [4500, true], reason);
});
