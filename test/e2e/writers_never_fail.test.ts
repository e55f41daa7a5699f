// Whatever a row holds, writing it to a watched table succeeds. What cannot be carried is told: a state
// or keyed topic queries again, an event topic's subscribers get a gap, those who resume included.

import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { afterEach, test } from 'node:test';
import { Connection } from '../lib/cluster';
import { createTopic, messagesUntilNow, subscribe, useCluster, warningsOf } from '../lib/harness';
import { parseId, Subscriber } from '../lib/subscriber';
import { waitFor } from '../lib/wait';

const use = useCluster({ settings: { 'rtd.max_message_size': '1MB', 'rtd.notification_queue_limit': 0.0005 } });
const sessions: Connection[] = [];
afterEach(() => Promise.all(sessions.splice(0).map((session) => use.cluster.release(session))));

/** A session of its own with the warnings it gets: they come once per session. */
async function writer() {
    const session = await use.cluster.connect();
    sessions.push(session);
    return { session, warnings: warningsOf(session) };
}

/** A table whose rows go to an event topic of the same name, and a client of it. */
async function watched(table: string, columns: string, watch: string, topicOptions = '') {
    const topic = table.replace(/_/g, '-');
    await use.cluster.sql(`CREATE TABLE ${table} (${columns})`);
    await createTopic(use.cluster, topic, topicOptions);
    await use.cluster.sql(`SELECT rtd_watch_table('${table}', '${topic}', ${watch})`);
    return { topic, client: await subscribe(use.cluster, topic) };
}

const summary = ({ kind, type, data }: { kind: string; type: string; data: any }) => (kind === 'gap' ? `${type}: ${data.reason}` : data.id);
const tooLarge = (table: string) => `rtd_gap: a row of table "${table}" is larger than rtd.max_message_size`;

/** Writes a row that cannot be carried between two that can, and returns what subscribers got. */
async function around(table: string, value: string) {
    const { topic, client } = await watched(table, 'id int PRIMARY KEY, name text, content ' + value.split('::').at(-1), `columns => '{id,name,content}'`);
    const { session, warnings } = await writer();
    for (const [id, content] of [[1, 'NULL'], [2, value], [3, value], [4, 'NULL']])
        await session.query(`INSERT INTO ${table} VALUES (${id}, 'x', ${content})`);
    const { rows } = await session.query(`SELECT count(*)::int AS n FROM ${table}`);
    assert.equal(rows[0].n, 4, 'every row was written');
    const got = (await messagesUntilNow(use.cluster, client, topic)).map(summary);
    return { got, warnings };
}

test('a bytea of 540 MB, of which an event would have more than a gigabyte, is written and told as a gap', async (t) => {
    const started = process.hrtime.bigint();
    const { topic, client } = await watched('huge', 'id int PRIMARY KEY, name text, content bytea', `columns => '{id,name,content}', channel => 'huge_rows'`);
    const { session, warnings } = await writer();
    await session.query(`INSERT INTO huge SELECT 1, 'x', convert_to(repeat(' ', 540000000), 'UTF8')`);
    t.diagnostic(`${(process.hrtime.bigint() - started) / 1_000_000n} ms`);
    await session.query(`INSERT INTO huge VALUES (2, 'y', 'small')`);
    // The bytes did not change: neither is an event made of them, nor are they looked at.
    await session.query(`UPDATE huge SET name = 'z' WHERE id = 2`);
    await session.query('DELETE FROM huge WHERE id = 1');
    const got = (await messagesUntilNow(use.cluster, client, topic)).map(summary);
    assert.deepEqual(got, [tooLarge('huge'), 2, 2, tooLarge('huge')]);
    assert.deepEqual(warnings.filter((text) => /was not sent/.test(text)), [
        'a change of table "huge" was not sent to topic "huge": a row of table "huge" is larger than rtd.max_message_size',
    ]);
});

test('190 MB of control characters, of which JSON makes more than a gigabyte, are written', async () => {
    const { got } = await around('control_characters', `repeat(chr(1), 190000000)::text`);
    assert.deepEqual(got, [1, tooLarge('control_characters'), tooLarge('control_characters'), 4]);
});

test('rtd.max_message_size holds for a row that is small and becomes large', async () => {
    const { got, warnings } = await around('growing', `repeat(chr(2), 200000)::text`);
    assert.deepEqual(got, [1, tooLarge('growing'), tooLarge('growing'), 4]);
    assert.equal(warnings.length, 1, 'one warning for a session');
});

test('it holds for arrays, jsonb and numbers, whose stored form is smaller than their text', async () => {
    for (const [table, value] of [
        ['null_elements', `array_fill(NULL::int, ARRAY[500000])::int[]`],
        ['long_numbers', `(SELECT array_agg('1e131000'::numeric) FROM generate_series(1, 20))::numeric[]`],
        ['long_json', `(SELECT jsonb_agg('1e131000'::numeric) FROM generate_series(1, 20))::jsonb`],
        ['composed', `(SELECT array_agg(n) FROM generate_series(1, 300000) n)::bigint[]`],
    ]) {
        const { got } = await around(table, value);
        assert.deepEqual(got, [1, tooLarge(table), tooLarge(table), 4], table);
    }
});

test('numbers of which an event would have gigabytes are written', async () => {
    // 170,000 numbers of 131,001 digits each, in a few bytes.
    const { got } = await around('gigabytes', `array_fill('1e131000'::numeric, ARRAY[170000])::numeric[]`);
    assert.deepEqual(got, [1, tooLarge('gigabytes'), tooLarge('gigabytes'), 4]);
});

test('a type whose cast to json fails costs the event, not the row', async () => {
    await use.cluster.sql(`
        CREATE TYPE mood AS ENUM ('good', 'bad');
        CREATE FUNCTION mood_to_json(mood) RETURNS json LANGUAGE plpgsql AS $$
            BEGIN IF $1 = 'bad' THEN RAISE EXCEPTION 'no json for a bad mood'; END IF; RETURN '"good"'; END $$;
        CREATE TABLE moods (id int PRIMARY KEY, mood mood)`);
    await createTopic(use.cluster, 'moods');
    await use.cluster.sql(`SELECT rtd_watch_table('moods', columns => '{id,mood}')`);
    const client = await subscribe(use.cluster, 'moods');
    const { session, warnings } = await writer();
    await session.query(`INSERT INTO moods VALUES (1, 'bad')`);
    // The cast is made while the session has the watch at hand.
    await use.cluster.sql('CREATE CAST (mood AS json) WITH FUNCTION mood_to_json(mood)');
    await session.query(`BEGIN; INSERT INTO moods VALUES (2, 'bad'), (3, 'good'); COMMIT`);
    await session.query(`INSERT INTO moods VALUES (4, 'bad')`);
    assert.deepEqual((await messagesUntilNow(use.cluster, client, 'moods')).map(summary), [
        1,
        'rtd_gap: a row of table "moods" could not be made JSON',
        3,
        'rtd_gap: a row of table "moods" could not be made JSON',
    ]);
    assert.equal(warnings.length, 1);
    assert.match(warnings[0], /a change of table "moods" was not sent to topic "moods"/);
});

test('a composite type with such a member, and one that is fine', async () => {
    await use.cluster.sql(`
        CREATE TYPE weather AS ENUM ('sun', 'rain');
        CREATE FUNCTION weather_to_json(weather) RETURNS json LANGUAGE plpgsql AS $$
            BEGIN IF $1 = 'rain' THEN PERFORM 1 / 0; END IF; RETURN '"sun"'; END $$;
        CREATE CAST (weather AS json) WITH FUNCTION weather_to_json(weather);
        CREATE TYPE report AS (place text, weather weather)`);
    const { topic, client } = await watched('reports', 'id int PRIMARY KEY, reports report[]', `columns => '{id,reports}'`);
    await use.cluster.sql(`INSERT INTO reports VALUES (1, ARRAY[('here', 'sun')::report]), (2, ARRAY[('there', 'rain')::report])`);
    const [first, second] = await messagesUntilNow(use.cluster, client, topic);
    assert.deepEqual(first.data.reports, [{ place: 'here', weather: 'sun' }]);
    assert.equal(summary(second), 'rtd_gap: a row of table "reports" could not be made JSON');
});

test('a cancelled statement stays cancelled', async () => {
    await use.cluster.sql(`
        CREATE TYPE slow AS ENUM ('slow');
        CREATE FUNCTION slow_to_json(slow) RETURNS json LANGUAGE plpgsql AS $$ BEGIN PERFORM pg_sleep(60); RETURN '1'; END $$;
        CREATE CAST (slow AS json) WITH FUNCTION slow_to_json(slow)`);
    await watched('slow_rows', 'id int PRIMARY KEY, slow slow', `columns => '{id,slow}'`);
    const { session } = await writer();
    await session.query(`SET statement_timeout = '300ms'`);
    await assert.rejects(session.query(`INSERT INTO slow_rows VALUES (1, 'slow')`), /canceling statement due to statement timeout/);
    assert.equal(await use.cluster.value('SELECT count(*)::int FROM slow_rows'), 0);
});

test('a durable topic keeps the gap in its place, and whoever resumes gets it there', async () => {
    const { topic, client } = await watched('kept', 'id int PRIMARY KEY, content text', `columns => '{id,content}'`, 'durable => true');
    await use.cluster.sql(`INSERT INTO kept VALUES (1, 'a'), (2, repeat('b', 2000000)), (3, 'c')`);
    const live = [await client.next(), await client.next(), await client.next()];
    assert.deepEqual(live.map(summary), [1, tooLarge('kept'), 3]);
    assert.deepEqual(live.map(({ kind }) => kind), ['event', 'gap', 'event']);
    const again = await Subscriber.open(`${use.cluster.url(topic)}?since=${live[0].id}`);
    assert.deepEqual([await again.next(), await again.next()].map(({ id, kind }) => [id, kind]), [[live[1].id, 'gap'], [live[2].id, 'event']]);
    // And from the table, after the hub died.
    const [hub] = await use.cluster.pids('rtd hub');
    await use.cluster.sql(`SELECT pg_terminate_backend(${hub})`);
    await waitFor('another hub', async () => (await use.cluster.pids('rtd hub'))[0] !== hub);
    await use.cluster.ready();
    const later = await Subscriber.open(`${use.cluster.url(topic)}?since=${live[0].id}`);
    assert.deepEqual([await later.next(), await later.next()].map(({ id, kind }) => [id, kind]), [[live[1].id, 'gap'], [live[2].id, 'event']]);
    assert.equal(parseId(live[2].id)[1], parseId(live[0].id)[1] + 2n);
});

test('state and keyed topics are queried whatever the row holds', async () => {
    await use.cluster.sql('CREATE TABLE states (id int PRIMARY KEY, part text, content bytea)');
    await createTopic(use.cluster, 'states', `query => 'SELECT id, left(part, 1) AS part, length(content) AS n FROM states ORDER BY id', throttle => '0'`);
    await createTopic(use.cluster, 'states-keyed', `key => '{id}', query => 'SELECT id, length(content) AS n FROM states'`);
    await createTopic(use.cluster, 'states-of-part', `parameters => '{part}', query => 'SELECT id FROM states WHERE part = $1 ORDER BY id', throttle => '0'`);
    for (const topic of ['states', 'states-keyed', 'states-of-part'])
        await use.cluster.sql(`SELECT rtd_watch_table('states', '${topic}', columns => '{id,content}')`);
    const [state, keyed, part] = [await subscribe(use.cluster, 'states'), await subscribe(use.cluster, 'states-keyed'), await subscribe(use.cluster, 'states-of-part', 'p')];
    await Promise.all([state.next(), keyed.next(), part.next()]);
    await use.cluster.sql(`INSERT INTO states VALUES (1, 'p', convert_to(repeat('x', 3000000), 'UTF8'))`);
    assert.equal((await state.next()).data[0].n, 3000000);
    assert.deepEqual((await keyed.next()).data, { upsert: [{ id: 1, n: 3000000 }], remove: [] });
    assert.deepEqual((await part.next()).data, [{ id: 1 }]);
    // As a parameter, longer than a client may name.
    await use.cluster.sql(`INSERT INTO states VALUES (2, repeat('q', 300000000), NULL)`);
    assert.equal((await state.next()).data.length, 2);
});

test('a row of which a parameter is longer than clients may name is written, and is for none of them', async () => {
    await use.cluster.sql('CREATE TABLE odds (id int PRIMARY KEY, content bytea)');
    await createTopic(use.cluster, 'odds', `parameters => '{content}', query => 'SELECT count(*)::int FROM odds WHERE content = $1 OR id = 1', throttle => '0'`);
    await createTopic(use.cluster, 'odd-events', `parameters => '{content}'`);
    await use.cluster.sql(`SELECT rtd_watch_table('odds', 'odds'), rtd_watch_table('odds', 'odd-events')`);
    const [state, events] = [await subscribe(use.cluster, 'odds', '\\x61'), await subscribe(use.cluster, 'odd-events', '\\x61')];
    assert.deepEqual((await state.next()).data, [{ count: 0 }]);
    await use.cluster.sql(`INSERT INTO odds SELECT 1, convert_to(repeat(' ', 540000000), 'UTF8')`);
    await use.cluster.sql(`INSERT INTO odds VALUES (2, 'a')`);
    assert.deepEqual((await state.next()).data, [{ count: 2 }]);
    assert.equal((await events.next()).data.id, 2);
});

test('a key of a keyed topic that is too long to be told makes it read again as a whole', async () => {
    await use.cluster.sql('CREATE TABLE long_keys (id int PRIMARY KEY, name text)');
    await createTopic(use.cluster, 'long-keys', `key => '{name}', query => 'SELECT left(name, 3) AS name, count(*)::int AS n FROM long_keys GROUP BY 1'`);
    await use.cluster.sql(`SELECT rtd_watch_table('long_keys', 'long-keys', columns => '{name}')`);
    const client = await subscribe(use.cluster, 'long-keys');
    assert.deepEqual((await client.next()).data, []);
    await use.cluster.sql(`INSERT INTO long_keys SELECT 1, repeat('k', 300000000)`);
    assert.deepEqual((await client.next()).data, { upsert: [{ name: 'kkk', n: 1 }], remove: [] });
});

test('the audit log keeps a key that jsonb cannot hold, as text', async () => {
    await watched('audited', 'a json, b text', `columns => '{a,b}', audit => true`);
    const nested = `${'['.repeat(3000)}${']'.repeat(3000)}`;
    const { session, warnings } = await writer();
    await session.query(`INSERT INTO audited VALUES ('"\\u0000"', 'x'), ('1e400000', 'y'), ('{"fine": 1}', 'z')`);
    await session.query('INSERT INTO audited VALUES ($1)', [nested]);
    await session.query(`INSERT INTO audited SELECT to_json(repeat('k', 3000000))`);
    const rows = await use.cluster.sql(`SELECT key FROM rtd_audit_log WHERE relation = 'public.audited' ORDER BY id`);
    assert.deepEqual(rows.slice(0, 3).map(({ key }) => key), [{ a: '"\\u0000"' }, { a: '1e400000' }, { a: { fine: 1 } }]);
    assert.equal(rows.length, 5);
    assert.equal(rows[4].key, null, 'what is larger than an event may be is not kept');
    assert.ok(warnings.length >= 1);
});

test('a full notification queue costs the notification of the watch, not the write', async () => {
    const { topic, client } = await watched('notified', 'id int PRIMARY KEY, note text', `columns => '{id,note}', channel => 'notified_rows'`);
    const holder = await use.cluster.connect();
    sessions.push(holder);
    await holder.query('LISTEN notified_rows');
    await holder.query('BEGIN; SELECT txid_current()');
    const usage = () => use.cluster.value('SELECT pg_notification_queue_usage()').then(Number);
    // 0.0005 of the queue is 4 MB on a server before PostgreSQL 17.
    const { session, warnings } = await writer();
    await session.query(`INSERT INTO notified SELECT n, repeat('x', 7000) FROM generate_series(1, 2000) n`);
    const filled = await usage();
    assert.ok(filled < 0.001, `${filled}: the transaction itself stopped`);
    await session.query(`INSERT INTO notified VALUES (3000, 'after')`);
    assert.match(warnings.join('\n'), /notifications of table "notified" are left out: the server's notification queue is \S+ % full/);
    assert.equal(await use.cluster.value('SELECT count(*)::int FROM notified'), 2001);
    const got = await messagesUntilNow(use.cluster, client, topic);
    assert.equal(got.length, 2001, 'clients of rtd get all of them');
    await holder.query('COMMIT');
});

test('a watch whose registration cannot be read costs events, not writes', async () => {
    const { client } = await watched('unreadable', 'id int PRIMARY KEY', `columns => '{id}'`);
    const { session, warnings } = await writer();
    // As with the library of a later version, before ALTER EXTENSION UPDATE.
    await use.cluster.sql('ALTER TABLE rtd_watch RENAME COLUMN audit TO audit_of_another_version');
    try {
        await session.query('INSERT INTO unreadable VALUES (1)');
        await session.query('INSERT INTO unreadable VALUES (2)');
        assert.match((await client.next()).data.reason, /the watch of table "unreadable" could not be read/);
        assert.equal(warnings.length, 1);
        assert.match(warnings[0], /the watch of table "unreadable" could not be read/);
    } finally {
        await use.cluster.sql('ALTER TABLE rtd_watch RENAME COLUMN audit_of_another_version TO audit');
    }
    const mark = randomUUID();
    await waitFor('the watch to work again', async () => {
        await session.query('INSERT INTO unreadable SELECT max(id) + 1 FROM unreadable');
        await use.cluster.sql(`SELECT rtd_broadcast('unreadable', to_jsonb($1::text))`, [mark]);
        return client.messages.some(({ kind, data }) => kind === 'event' && data.operation === 'INSERT');
    });
});
