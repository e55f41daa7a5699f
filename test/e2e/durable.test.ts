// Durable topics: what is committed is a row, gets a number in the order of commits, and reaches every
// client that comes back, once, whatever died meanwhile.

import assert from 'node:assert/strict';
import { afterEach, describe, test } from 'node:test';
import { durableKillNames, durableSettings, runDurableKills } from '../lib/durable_load';
import { DurableFollower } from '../lib/durable_follower';
import { closeStreams, EventStream } from '../lib/event_stream';
import { createTopic, expectMessage, subscribe, useCluster } from '../lib/harness';
import { withHubStopped } from '../lib/hub_pauses';
import { closeMultiplexed, Multiplexed } from '../lib/multiplexed';
import { newSeed, Random } from '../lib/random';
import { parseId, Subscriber } from '../lib/subscriber';
import { measureFor, pause, waitFor } from '../lib/wait';

const use = useCluster({ settings: { 'rtd.queue_size': '64kB' } });
afterEach(closeMultiplexed);
afterEach(closeStreams);

const durable = (name: string, options = '') => createTopic(use.cluster, name, `durable => true${options ? `, ${options}` : ''}`);
const broadcast = (topic: string, data: unknown, params: string[] = []) =>
    use.cluster.sql('SELECT rtd_broadcast($1, $2, $3)', [topic, JSON.stringify(data), params]);
const resume = (topic: string, since: string, ...params: string[]) => Subscriber.open(`${use.cluster.url(topic, ...params)}?since=${since}`);
const rows = (topic: string) =>
    use.cluster.sql('SELECT params, sequence::int, data FROM rtd_message WHERE topic = $1 ORDER BY params, sequence', [topic]);
const numbered = (topic: string, count: number) =>
    waitFor(`${count} numbered messages`, async () => {
        const all = await rows(topic);
        return all.length === count && all.every(({ sequence }) => sequence !== null);
    });

test('a message is a row of the same transaction, and is sent with its number', async () => {
    await durable('d-first');
    const client = await subscribe(use.cluster, 'd-first');
    await use.cluster.query(`
        BEGIN; SELECT rtd_broadcast('d-first', '{"n": 1}');
        SAVEPOINT s; SELECT rtd_broadcast('d-first', '{"n": 0}'); ROLLBACK TO s;
        SELECT rtd_broadcast('d-first', '{"n": 2}', type => 'other', source => 'poll'); COMMIT;
        BEGIN; SELECT rtd_broadcast('d-first', '{"n": 0}'); ROLLBACK`);
    const messages = [await client.next(), await client.next()];
    expectMessage(messages[0], { type: 'd_first_update', data: { n: 1 }, source: 'event', topic: 'd-first', params: [], kind: 'event' });
    expectMessage(messages[1], { type: 'other', data: { n: 2 }, source: 'poll', topic: 'd-first', params: [], kind: 'event' });
    assert.deepEqual(messages.map(({ id }) => parseId(id)[1]), [1n, 2n]);
    assert.deepEqual(await rows('d-first'), [
        { params: [], sequence: 1, data: { n: 1 } },
        { params: [], sequence: 2, data: { n: 2 } },
    ]);
});

test('watched tables, notifications and file events are messages too', async () => {
    await use.cluster.sql('CREATE TABLE d_source (id int PRIMARY KEY, note text)');
    await durable('d-sources');
    await use.cluster.sql(`SELECT rtd_watch_table('d_source', 'd-sources', columns => '{id,note}'), rtd_listen('d_channel', 'd-sources')`);
    const client = await subscribe(use.cluster, 'd-sources');
    await use.cluster.ready();
    await use.cluster.sql(`INSERT INTO d_source VALUES (1, 'long' || repeat('x', 10000))`);
    assert.equal((await client.next()).data.note.length, 10004);
    await use.cluster.sql(`UPDATE d_source SET note = note`);
    await use.cluster.sql(`SELECT rtd_file_event('/srv/a', topic => 'd-sources')`);
    assert.equal((await client.next()).data.path, '/srv/a');
    await use.cluster.sql(`NOTIFY d_channel, '{"from": "channel"}'`);
    assert.deepEqual((await client.next()).data, { from: 'channel' });
    await use.cluster.sql('TRUNCATE d_source');
    assert.equal((await client.next()).data.operation, 'TRUNCATE');
    await numbered('d-sources', 4);
});

test('a message that a client publishes is kept too, and comes over every way there is', async () => {
    await durable('d-published', `parameters => '{room}'`);
    await use.cluster.sql(`SELECT rtd_grant('d-published', 'web_anon', 'publish')`);
    const client = await Multiplexed.open(use.cluster);
    await client.subscribe('d-published', '7');
    for (const n of [1, 2, 3]) {
        const answer = await client.ask({ action: 'publish', topic: 'd-published', params: ['7'], data: { n }, type: 'said' });
        assert.equal(answer.type, 'rtd_published', answer.text);
        assert.equal(answer.data.subscribers, 1);
    }
    const messages = [];
    while (messages.length < 3) messages.push(await client.next((message) => message.kind === 'event'));
    assert.deepEqual(messages.map(({ type, data, id }) => [type, data.n, parseId(id)[1]]), [['said', 1, 1n], ['said', 2, 2n], ['said', 3, 3n]]);
    assert.deepEqual(await rows('d-published'), [1, 2, 3].map((n) => ({ params: ['7'], sequence: n, data: { n } })));

    await client.ask({ action: 'unsubscribe', topic: 'd-published', params: ['7'] });
    const again = await client.ask({ action: 'subscribe', topic: 'd-published', params: ['7'], since: messages[0].id });
    assert.equal(again.data.recovered, true);
    for (const expected of messages.slice(1)) assert.equal((await client.next((message) => message.kind === 'event')).text, expected.text);
    const stream = await EventStream.open(`${use.cluster.httpUrl}/sse/d-published/7`, { 'Last-Event-ID': messages[1].id });
    assert.deepEqual((await stream.next(({ event }) => !event)).message.data, { n: 3 });
    const snapshot = await fetch(`${use.cluster.httpUrl}/api/v1/topics/d-published/7`);
    assert.equal(snapshot.headers.get('etag'), `"${messages[2].id}"`);
    assert.deepEqual(((await snapshot.json()) as any).data, { n: 3 });
});

test('an event whose parameters are not known goes to every instance that had a message', async () => {
    await use.cluster.sql('CREATE TABLE d_parts (id int PRIMARY KEY, place text)');
    await durable('d-parts', `parameters => '{place,id}'`);
    await use.cluster.sql(`SELECT rtd_watch_table('d_parts', 'd-parts', parameters => '{place,NULL}')`);
    for (const [place, id] of [['a', '1'], ['a', '2'], ['b', '1']]) await broadcast('d-parts', 'first', [place, id]);
    await numbered('d-parts', 3);
    const client = await subscribe(use.cluster, 'd-parts', 'a', '2');
    await client.next();
    await use.cluster.query(`BEGIN; INSERT INTO d_parts VALUES (7, 'a'); SELECT rtd_broadcast('d-parts', '"after"', '{a,2}'); COMMIT`);
    assert.equal((await client.next()).data.operation, 'INSERT');
    assert.equal((await client.next()).data, 'after');
    await use.cluster.sql('TRUNCATE d_parts');
    assert.equal((await client.next()).data.operation, 'TRUNCATE');
    const counts = await use.cluster.sql(`SELECT params::text, count(*)::int AS n FROM rtd_message WHERE topic = 'd-parts' GROUP BY 1 ORDER BY 1`);
    assert.deepEqual(counts, [{ params: '{a,1}', n: 3 }, { params: '{a,2}', n: 4 }, { params: '{b,1}', n: 2 }]);
});

describe('a client that comes back', () => {
    test('gets what it missed from memory, or from the table if that is too long ago', async () => {
        await durable('d-resume', 'history => 5');
        for (let n = 1; n <= 2500; n += 500)
            await use.cluster.sql(`SELECT count(rtd_broadcast('d-resume', to_jsonb(n))) FROM generate_series(${n}, ${n + 499}) n`);
        await numbered('d-resume', 2500);
        const last = await Subscriber.open(use.cluster.url('d-resume'));
        const { id, data } = await last.next();
        assert.equal(data, 2500, 'the retained one');
        const [epoch] = parseId(id);
        for (const since of [2500, 2498, 2400, 1]) {
            const client = await resume('d-resume', `${epoch}-${since}`);
            if (since < 2500) await client.next(({ data }) => data === 2500);
            assert.deepEqual(client.messages.map((message) => message.data), Array.from({ length: 2500 - since }, (_, n) => since + 1 + n));
            await client.close();
        }
        for (const since of [`${epoch}-2501`, `12-7`]) {
            const client = await resume('d-resume', since);
            const gap = await client.next();
            assert.deepEqual([gap.type, gap.kind, gap.id], ['rtd_gap', 'gap', `${epoch}-2499`]);
            assert.equal((await client.next()).data, 2500, 'then what a new client gets');
            await client.close();
        }
    });

    test('misses and repeats nothing while others broadcast and it breaks off again and again', async (t) => {
        await durable('d-broken', 'history => 20');
        const follower = new DurableFollower(use.cluster, 'd-broken');
        t.after(() => follower.close());
        await broadcast('d-broken', 0);
        await follower.waitForCount(1);
        const sessions = await Promise.all([1, 2, 3].map(() => use.cluster.connect()));
        let done = false;
        let sent = 1;
        const load = Promise.all(
            sessions.map(async (session) => {
                for (let n = 0; n < 300 || follower.connects < 5; n++, sent++) await session.query(`SELECT rtd_broadcast('d-broken', '${n}')`);
            }),
        ).finally(() => (done = true));
        const random = new Random(newSeed());
        while (!done) {
            const had = follower.connects;
            follower.drop();
            await waitFor('its return', () => done || follower.connects > had);
            await pause(random.between(0, 30)); // anywhere in the load
        }
        await load;
        await follower.waitForCount(sent);
        assert.equal(follower.data.length, sent);
        t.diagnostic(`${follower.connects} connections, ${sent} messages`);
    });

    test('finds all it missed after gateway, hub and server died', async (t) => {
        await durable('d-deaths');
        const follower = new DurableFollower(use.cluster, 'd-deaths');
        t.after(() => follower.close());
        await broadcast('d-deaths', 0);
        await follower.waitForCount(1);
        let n = 0;
        const deaths: Record<string, () => Promise<unknown>> = {
            gateway: async () => process.kill(await use.cluster.gatewayPid(), 'SIGKILL'),
            hub: async () => process.kill(await use.cluster.hubPid(), 'SIGTERM'),
            'server, at once': () => use.cluster.restart('immediate'),
            'server, orderly': () => use.cluster.restart('fast'),
        };
        for (const [name, die] of Object.entries(deaths)) {
            await broadcast('d-deaths', ++n);
            await die();
            // Also while no hub serves.
            await broadcast('d-deaths', ++n);
            await follower.waitForCount(n + 1);
            assert.deepEqual(follower.data, Array.from({ length: n + 1 }, (_, i) => i), name);
        }
        assert.equal(new Set((await rows('d-deaths')).map(({ sequence }) => sequence)).size, n + 1);
    });
});

test('messages whose events found no room in the queue are sent like the others', async (t) => {
    await durable('d-overflow');
    const client = await subscribe(use.cluster, 'd-overflow');
    const position = use.cluster.logPosition();
    await withHubStopped(use.cluster, async () => {
        const session = await use.cluster.connect();
        for (let n = 1; n <= 2000; n++) await session.query(`SELECT rtd_broadcast('d-overflow', '${n}')`);
        await use.cluster.release(session);
    });
    await client.next(({ data }) => data === 2000);
    assert.deepEqual(client.messages.map(({ data }) => data), Array.from({ length: 2000 }, (_, n) => n + 1));
    const [, lost] = await use.cluster.waitForLog(/(\d+) events were lost/, position);
    t.diagnostic(`${lost} events lost, no message`);
});

test('a transaction with more messages than rtd.max_transaction_events sends them all', async () => {
    await durable('d-huge');
    const client = await subscribe(use.cluster, 'd-huge');
    await use.cluster.query(`
        BEGIN; SET LOCAL rtd.max_transaction_events = 100;
        SELECT count(rtd_broadcast('d-huge', to_jsonb(n))) FROM generate_series(1, 5000) n; COMMIT`);
    await client.next(({ data }) => data === 5000);
    assert.deepEqual(client.messages.map(({ data }) => data), Array.from({ length: 5000 }, (_, n) => n + 1));
});

test('large messages are numbered in several jobs', async () => {
    await durable('d-large');
    const client = await subscribe(use.cluster, 'd-large');
    await use.cluster.sql(`SELECT count(rtd_broadcast('d-large', to_jsonb(n || repeat('x', 100000)))) FROM generate_series(1, 9) n`);
    for (let n = 1; n <= 9; n++) assert.equal((await client.next()).data.length, 100001);
});

test('numbers begin anew when a topic is no longer durable, or another one of its name', async () => {
    await durable('d-anew');
    await broadcast('d-anew', 1);
    await numbered('d-anew', 1);
    const before = await Subscriber.open(use.cluster.url('d-anew'));
    const { id } = await before.next();
    for (const change of [
        `rtd_alter_topic('d-anew', durable => false), rtd_alter_topic('d-anew', durable => true)`,
        `rtd_drop_topic('d-anew'), rtd_create_topic('d-anew', durable => true), rtd_grant('d-anew', 'web_anon')`,
    ]) {
        await use.cluster.sql(`SELECT ${change}`);
        const client = await resume('d-anew', id);
        assert.equal((await client.next()).kind, 'gap');
        await broadcast('d-anew', 2);
        const next = await client.next();
        assert.equal(next.data, 2);
        assert.equal(parseId(next.id)[1], 1n);
        assert.notEqual(parseId(next.id)[0], parseId(id)[0]);
        await client.close();
    }
});

test('a query worker that dies takes no message along', async () => {
    await durable('d-worker');
    const client = await subscribe(use.cluster, 'd-worker');
    for (let n = 1; n <= 10; n++) {
        await broadcast('d-worker', n);
        for (const pid of await use.cluster.pids('rtd query')) process.kill(pid, 'SIGTERM');
        await broadcast('d-worker', -n);
        await client.next(({ data }) => data === -n);
    }
    assert.equal(client.messages.length, 20);
});

test('a writer waits for no other writer, and none for the hub', async () => {
    await durable('d-waits');
    const open = await use.cluster.connect();
    await open.query(`BEGIN; SELECT rtd_broadcast('d-waits', '"open"')`);
    const client = await subscribe(use.cluster, 'd-waits');
    await broadcast('d-waits', 'closed');
    assert.equal((await client.next()).data, 'closed');
    await withHubStopped(use.cluster, () => broadcast('d-waits', 'stopped'));
    assert.equal((await client.next()).data, 'stopped');
    await open.query('COMMIT');
    assert.equal((await client.next()).data, 'open', 'in the order of commits');
    await use.cluster.release(open);
});

describe('expiry', () => {
    const short = useCluster({ settings: { 'rtd.message_retention': '2s' } });

    test('empties partitions, tells who resumes from before, and stops when nothing is left', async () => {
        const { cluster } = short;
        await createTopic(cluster, 'd-expiry', 'durable => true, history => 1');
        const count = () => cluster.value<number>('SELECT count(*)::int FROM rtd_message');
        const first = await subscribe(cluster, 'd-expiry');
        const made = Date.now();
        await cluster.sql(`SELECT rtd_broadcast('d-expiry', '1'), rtd_broadcast('d-expiry', '2')`);
        const { id } = await first.next();
        await waitFor('both to go', async () => (await count()) === 0, { deadlineMs: 15_000 });
        assert.ok(Date.now() - made >= 2000, 'not too early');

        // A transaction that holds the partition of its message keeps that one, and holds up nobody.
        const open = await cluster.connect();
        await open.query(`BEGIN; SELECT rtd_broadcast('d-expiry', '3')`);
        await cluster.sql(`SELECT rtd_broadcast('d-expiry', '4')`);
        await measureFor(3000); // until expiry has tried it
        await cluster.sql(`SELECT rtd_broadcast('d-expiry', '5')`);
        await open.query('COMMIT');
        await cluster.release(open);
        await first.next(({ data }) => data === 3);
        assert.deepEqual(first.messages.map(({ data }) => data), [1, 2, 4, 5, 3]);
        await waitFor('everything to go', async () => (await count()) === 0, { deadlineMs: 15_000 });

        const late = await Subscriber.open(`${cluster.url('d-expiry')}?since=${id}`);
        assert.equal((await late.next()).kind, 'gap');
        await first.close();
        await late.close();
        const hub = await cluster.hubPid();
        await cluster.sql('SELECT pg_terminate_backend($1)', [hub]);
        await waitFor('another hub', async () => (await cluster.pids('rtd hub')).some((pid) => pid !== hub));
        await cluster.ready();
        const current = await Subscriber.open(`${cluster.url('d-expiry')}?since=${id.replace(/\d+$/, '5')}`);
        await cluster.sql(`SELECT rtd_broadcast('d-expiry', '6')`);
        assert.equal((await current.next()).data, 6, 'who has everything misses nothing, however long ago it was');
        assert.doesNotMatch(cluster.log(), /ERROR|could not number/);
    });
});

describe('under load', () => {
    const crash = useCluster({ settings: durableSettings });

    test('no kill loses or repeats a message', async (t) => {
        const seed = Number(process.env.RTD_SEED ?? newSeed());
        t.diagnostic(`RTD_SEED=${seed}`);
        const random = new Random(seed);
        const names = [...durableKillNames].sort(() => random.next() - 0.5).slice(0, 4);
        const figures = await runDurableKills(crash.cluster, { kills: 4, seed, names }, (line) => t.diagnostic(line));
        t.diagnostic(JSON.stringify(figures));
    });
});
