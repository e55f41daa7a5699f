// An event has a row's values exactly as to_json() writes them, whatever shorter way they took.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { createTopic, messagesUntilNow, subscribe, useCluster } from '../lib/harness';

const use = useCluster();

const columns = {
    small: 'int2', middle: 'int4', large: 'int8', truth: 'boolean', line: 'text', short: 'varchar(40)', fixed: 'char(8)',
    amount: 'numeric', ratio: 'float8', day: 'date', moment: 'timestamp', document: 'jsonb', list: 'int[]', positive: 'positive', word: 'word',
    identifier: 'uuid', span: 'interval', bytes: 'bytea',
};
const names = Object.keys(columns);

const rows: Record<string, string>[] = [
    { small: '-32768', middle: '-2147483648', large: '-9223372036854775808', truth: 'false', line: `''`, short: `''`, fixed: `''`, positive: '1', word: `''` },
    { small: '32767', middle: '2147483647', large: '9223372036854775807', truth: 'true', positive: '2147483647' },
    { small: '0', middle: '0', large: '0' },
    { line: `E'"quoted" \\\\ back\\nslash \\t tab \\x01 \\x7f'`, short: `E'"quoted" \\\\ \\r\\n\\x1f'`, word: `E'a "word"\\n'` },
    { line: `'Grüße, 世界 🎉'`, short: `'Grüße, 世界 🎉'`, fixed: `'ä'`, word: `'ß'` },
    { line: `repeat('long "text" ', 20000)`, bytes: `decode(repeat('00ff', 5000), 'hex')` },
    { amount: '1e20', ratio: `'NaN'`, day: `'infinity'`, moment: `'2024-02-29 12:34:56.789'`, document: `'{"a": [1, null]}'`, list: `'{1,NULL,3}'`, span: `'1 day 02:03'` },
    { identifier: `'00000000-0000-0000-0000-00000000000a'`, amount: `'NaN'`, ratio: '1e-300' },
    {},
];

test('every value of a row is what to_json() makes of it', async () => {
    const { cluster } = use;
    await cluster.sql(`CREATE DOMAIN positive AS int CHECK (VALUE > 0); CREATE DOMAIN word AS text;
        CREATE TABLE valued (id int PRIMARY KEY, ${names.map((name) => `${name} ${columns[name as keyof typeof columns]}`).join(', ')})`);
    await createTopic(cluster, 'valued');
    await cluster.sql(`SELECT rtd_watch_table('valued', columns => '{id,${names.join(',')}}')`);
    const client = await subscribe(cluster, 'valued');
    const expected: string[] = [];
    for (const [id, row] of rows.entries()) {
        const given = Object.entries(row);
        await cluster.sql(`INSERT INTO valued (${['id', ...given.map(([name]) => name)].join(', ')}) VALUES (${[id, ...given.map(([, value]) => value)].join(', ')})`);
        expected.push(String(await cluster.value(`SELECT json_build_object('id', id, ${names.map((name) => `'${name}', to_json(${name})`).join(', ')})::text FROM valued WHERE id = ${id}`)));
    }
    const messages = await messagesUntilNow(cluster, client, 'valued');
    assert.equal(messages.length, rows.length);
    for (const [id, message] of messages.entries()) {
        const { operation, timestamp, ...values } = message.data;
        assert.equal(operation, 'INSERT');
        assert.deepEqual(values, JSON.parse(expected[id]));
    }
});

test('and large integers arrive with all their digits', async () => {
    const { cluster } = use;
    await cluster.sql('CREATE TABLE digits (id int8 PRIMARY KEY)');
    await createTopic(cluster, 'digits');
    await cluster.sql(`SELECT rtd_watch_table('digits', columns => '{id}', channel => 'digits')`);
    const session = await cluster.connect();
    const payloads: string[] = [];
    session.on('notification', ({ payload }) => payloads.push(payload ?? ''));
    await session.query('LISTEN digits');
    for (const id of ['-9223372036854775808', '9223372036854775807', '9007199254740993']) {
        await session.query('INSERT INTO digits VALUES ($1)', [id]);
        assert.match(payloads.at(-1)!, new RegExp(`"id": ${id},`));
    }
    await cluster.release(session);
});
