// Clients that come back with the id of their last message get exactly what they missed, or are told.

import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { describe, test } from 'node:test';
import { isAlive } from '../lib/cluster';
import { Follower } from '../lib/follower';
import { createTopic, queriesRun, subscribe, subscriberCount, useCluster } from '../lib/harness';
import { newSeed, Random } from '../lib/random';
import { Envelope, parseId, Subscriber } from '../lib/subscriber';
import { waitFor } from '../lib/wait';

const use = useCluster(
    {
        settings: {
            shared_preload_libraries: 'rtd,pg_stat_statements',
            'pg_stat_statements.track': 'all',
            'rtd.event_log_level': 'log',
        },
    },
    (cluster) => cluster.sql('CREATE EXTENSION pg_stat_statements'),
);

const broadcast = (topic: string, data: unknown) =>
    use.cluster.value<string>('SELECT rtd_broadcast($1, $2)', [topic, JSON.stringify(data)]).then(Number);

/** A client that resumes; it is subscribed when this returns. */
async function resume(topic: string, since: string): Promise<Subscriber> {
    const before = await subscriberCount(use.cluster, topic);
    const client = await Subscriber.open(`${use.cluster.url(topic)}?since=${encodeURIComponent(since)}`);
    await waitFor('the subscription', async () => (await subscriberCount(use.cluster, topic)) > before);
    return client;
}

const gone = (topic: string) =>
    waitFor('the hub to notice the end', async () => (await subscriberCount(use.cluster, topic)) === 0);

/** All that comes until a mark that is broadcast now. */
async function untilNow(topic: string, client: Subscriber): Promise<Envelope[]> {
    const mark = randomUUID();
    await broadcast(topic, mark);
    const messages: Envelope[] = [];
    await client.next((message) => message.data === mark || (messages.push(message), false));
    return messages;
}

async function eventTopic(name: string, options = 'retain => false') {
    await createTopic(use.cluster, name, options);
    return name;
}

describe('an event topic', () => {
    test('a client that resumes gets exactly what it missed, once and in order', async () => {
        const topic = await eventTopic('missed');
        const client = await subscribe(use.cluster, topic);
        await broadcast(topic, 1);
        const { id } = await client.next();
        await client.close();
        await gone(topic);
        for (const n of [2, 3, 4]) assert.equal(await broadcast(topic, n), 0, 'who may come back is no subscriber');
        const again = await resume(topic, id);
        const messages = await untilNow(topic, again);
        assert.deepEqual(messages.map(({ data }) => data), [2, 3, 4]);
        assert.equal(parseId(messages[0].id)[1], parseId(id)[1] + 1n);
    });

    test('rows that change while nobody is connected are not missed', async () => {
        await use.cluster.sql('CREATE TABLE noted (id int PRIMARY KEY)');
        const topic = await eventTopic('noted');
        await use.cluster.sql(`SELECT rtd_watch_table('noted')`);
        const client = await subscribe(use.cluster, topic);
        await use.cluster.sql('INSERT INTO noted VALUES (1)');
        const { id } = await client.next();
        await client.close();
        await gone(topic);
        await use.cluster.sql('INSERT INTO noted VALUES (2), (3)');
        const messages = await untilNow(topic, await resume(topic, id));
        assert.deepEqual(messages.map(({ data }) => data.id), [2, 3]);
    });

    test('a retained message that was seen does not come again', async () => {
        const topic = await eventTopic('retained-seen', 'retain => true');
        await broadcast(topic, 'first');
        const client = await subscribe(use.cluster, topic);
        const { id } = await client.next();
        await client.close();
        await gone(topic);
        assert.deepEqual(await untilNow(topic, await resume(topic, id)), []);
    });

    test('beyond the history comes a gap, and everything from there on', async () => {
        const topic = await eventTopic('short', 'retain => false, history => 3');
        const client = await subscribe(use.cluster, topic);
        for (let n = 1; n <= 6; n++) await broadcast(topic, n);
        const ids = [];
        while (ids.length < 6) ids.push((await client.next()).id);
        assert.deepEqual((await untilNow(topic, await resume(topic, ids[3]))).map(({ data }) => data), [5, 6]);
        const late = await resume(topic, ids[0]);
        const messages = await untilNow(topic, late);
        assert.deepEqual(messages.map(({ kind, type, data }) => ({ kind, type, data })), [
            { kind: 'gap', type: 'rtd_gap', data: { reason: 'more was missed than the server keeps' } },
        ]);
    });

    test('the history is bounded in bytes', async () => {
        await use.cluster.reload({ 'rtd.history_size': '64kB' });
        try {
            const topic = await eventTopic('bulky', 'retain => false, history => 1000');
            const client = await subscribe(use.cluster, topic);
            for (let n = 0; n < 20; n++) await broadcast(topic, { n, filler: 'x'.repeat(10_000) });
            const ids: string[] = [];
            while (ids.length < 20) ids.push((await client.next()).id);
            const kept = Math.floor((64 * 1024) / client.texts[19].length);
            assert.equal(kept, 6);
            // The mark of one look is small, but it is a message too: the oldest goes for it.
            const all = await untilNow(topic, await resume(topic, ids[19 - kept]));
            assert.deepEqual(all.map(({ data }) => data.n), [14, 15, 16, 17, 18, 19]);
            const late = await untilNow(topic, await resume(topic, ids[18 - kept]));
            assert.equal(late[0].kind, 'gap');
        } finally {
            await use.cluster.reload({ 'rtd.history_size': '1MB' });
        }
    });

    // It used to get the older message without a word.
    test('who comes after events of a retained topic were lost gets the older message and is told', async () => {
        const topic = await eventTopic('lost-alone', 'retain => true');
        await broadcast(topic, 'kept');
        await use.cluster.query(`
            BEGIN;
            SET LOCAL rtd.max_transaction_events = 10;
            SELECT rtd_broadcast('lost-alone', to_jsonb(n)) FROM generate_series(1, 20) AS n;
            COMMIT`);
        const client = await Subscriber.open(use.cluster.url(topic));
        assert.equal((await client.next()).data, 'kept');
        const gap = await client.next();
        assert.equal(gap.kind, 'gap');
        assert.deepEqual(gap.data, { reason: 'a transaction made more events than rtd.max_transaction_events' });
        await broadcast(topic, 'newer');
        assert.equal((await client.next()).data, 'newer');
        const next = await Subscriber.open(use.cluster.url(topic));
        assert.equal((await next.next()).data, 'newer', 'and who comes after a newer message is not');
    });

    test('what is no id is refused with a sentence', async () => {
        const topic = await eventTopic('no-id');
        await assert.rejects(
            Subscriber.open(`${use.cluster.url(topic)}?since=yesterday`),
            /answered with 400: .*since must be the id of a message, <epoch>-<sequence>/,
        );
    });

    test('after rtd.linger an instance is forgotten, its events are made no more, and who comes back is told', async () => {
        await use.cluster.sql('CREATE TABLE forgotten (id int GENERATED ALWAYS AS IDENTITY)');
        const topic = await eventTopic('forgotten');
        await use.cluster.sql(`SELECT rtd_watch_table('forgotten', columns => '{id}')`);
        const client = await subscribe(use.cluster, topic);
        await use.cluster.sql('INSERT INTO forgotten DEFAULT VALUES');
        const { id } = await client.next();
        await client.close();
        await gone(topic);
        const position = use.cluster.logPosition();
        const insert = () => use.cluster.value<number>('INSERT INTO forgotten DEFAULT VALUES RETURNING id');
        const detected = (row: number) => new RegExp(`EVENT_DETECTION.*"id": ${row}\\b`);
        await use.cluster.waitForLog(detected(await insert()), position);
        await use.cluster.reload({ 'rtd.linger': '1s' });
        try {
            const witness = await subscribe(use.cluster, await eventTopic('forgotten-witness'));
            await waitFor('an event that nobody makes', async () => {
                const row = await insert();
                await untilNow('forgotten-witness', witness); // what came before it is in the log
                return !detected(row).test(use.cluster.logSince(position));
            });
            const messages = await untilNow(topic, await resume(topic, id));
            assert.equal(messages.length, 1);
            assert.deepEqual(messages[0].data, { reason: 'what followed the message that was named is no longer known' });
        } finally {
            await use.cluster.reload({ 'rtd.linger': '60s' });
        }
    });
});

describe('a state topic', () => {
    async function stateTopic(name: string) {
        await use.cluster.sql(`CREATE TABLE ${name} (id int PRIMARY KEY)`);
        await createTopic(use.cluster, name, `query => 'SELECT count(*) FROM ${name} AS ${name}_counted'`);
        await use.cluster.sql(`SELECT rtd_watch_table('${name}')`);
        return name;
    }

    test('who has the newest state hears nothing until it changes; who has an older one gets the newest', async () => {
        const topic = await stateTopic('counted');
        const client = await subscribe(use.cluster, topic);
        const first = await client.next();
        await use.cluster.sql('INSERT INTO counted VALUES (1)');
        const second = await client.next();
        const newest = await resume(topic, second.id);
        const older = await resume(topic, first.id);
        assert.deepEqual((await older.next()).id, second.id);
        await use.cluster.sql('INSERT INTO counted VALUES (2)');
        assert.deepEqual((await newest.next()).data, [{ count: 2 }]);
        assert.equal(newest.messages.length, 1);
    });

    test('without a subscriber no query runs, and who comes next gets the state of now', async () => {
        const topic = await stateTopic('asleep');
        const client = await subscribe(use.cluster, topic);
        const { id } = await client.next();
        await client.close();
        await gone(topic);
        const before = await queriesRun(use.cluster, 'asleep');
        const position = use.cluster.logPosition();
        await use.cluster.sql('INSERT INTO asleep VALUES (1)');
        await use.cluster.waitForLog(/EVENT_DETECTION.*asleep/, position); // the hub knows
        const witness = await subscribe(use.cluster, await stateTopic('witness'));
        await witness.next(); // a query worker has done something else meanwhile
        assert.equal(await queriesRun(use.cluster, 'asleep'), before, 'the change was noted, and no more');

        const resumed = await resume(topic, id);
        assert.deepEqual((await resumed.next()).data, [{ count: 1 }]);
        assert.equal(await queriesRun(use.cluster, 'asleep'), before + 1);
    });

    test('a state that did not change while nobody was there costs no query', async () => {
        const topic = await stateTopic('unchanged');
        const client = await subscribe(use.cluster, topic);
        const { id } = await client.next();
        const before = await queriesRun(use.cluster, 'unchanged');
        await client.close();
        await gone(topic);
        const fresh = await subscribe(use.cluster, topic);
        assert.equal((await fresh.next()).id, id);
        assert.equal(await queriesRun(use.cluster, 'unchanged'), before);
    });
});

describe('when processes die', () => {
    test('a gateway killed again and again under load loses nothing and repeats nothing', async (t) => {
        const seed = Number(process.env.RTD_SEED ?? newSeed());
        t.diagnostic(`RTD_SEED=${seed}`);
        const random = new Random(seed);
        const topic = await eventTopic('under-fire', 'retain => false, history => 10000');
        await use.cluster.reload({ 'rtd.history_size': '64MB', 'rtd.client_buffer': '64MB', 'rtd.event_log_level': 'debug1' });
        const followers: Follower[] = [];
        while (followers.length < 20) followers.push(await Follower.open(use.cluster, topic));
        await broadcast(topic, 'first');
        for (const follower of followers) await follower.received(1);

        let running = true;
        const writers = Array.from({ length: 4 }, async (_, writer) => {
            const session = await use.cluster.connect();
            let n = 0;
            while (running) await session.query('SELECT rtd_broadcast($1, $2)', [topic, JSON.stringify({ writer, n: n++ })]);
            await use.cluster.release(session);
            return n;
        });
        for (let kills = 0; kills < 5; kills++) {
            const more = followers[0].messages.length + random.between(50, 500);
            await followers[0].received(more);
            const gateway = await use.cluster.gatewayPid();
            process.kill(gateway, 'SIGKILL');
            await waitFor('its end', () => !isAlive(gateway));
            await waitFor('everybody to be back', () => followers.every(({ connects }) => connects >= kills + 2), { deadlineMs: 60_000 });
        }
        running = false;
        const written = await Promise.all(writers);
        const total = written.reduce((sum, n) => sum + n, 0);
        for (const follower of followers) await follower.received(total + 1);
        for (const follower of followers) {
            follower.check();
            assert.equal(follower.messages.length, total + 1, 'none twice');
            const next = written.map(() => 0);
            for (const { data } of follower.messages.slice(1)) assert.equal(data.n, next[data.writer]++, 'in order');
            assert.deepEqual(next, written, 'none lost');
        }
        const connects = followers.reduce((sum, follower) => sum + follower.connects, 0);
        t.diagnostic(`${total} messages, 5 kills, ${connects - followers.length} times resumed: each message once and in order`);
        await Promise.all(followers.map((follower) => follower.close()));
        await use.cluster.reload({ 'rtd.history_size': '1MB', 'rtd.client_buffer': '1MB', 'rtd.event_log_level': 'log' });
    });

    test('after a restart of the hub a resuming client is told: a gap, or the state of now', async () => {
        const events = await eventTopic('restarted', 'retain => true');
        await createTopic(use.cluster, 'restarted-state', `query => 'SELECT 1 AS one'`);
        const client = await subscribe(use.cluster, events);
        await broadcast(events, 'kept');
        const { id } = await client.next();
        const state = await subscribe(use.cluster, 'restarted-state');
        const before = await state.next();
        const hub = await use.cluster.hubPid();
        await use.cluster.sql('SELECT pg_terminate_backend($1)', [hub]);
        await client.closed;
        await state.closed;
        await waitFor('another hub', async () => ![0, hub].includes((await use.cluster.pids('rtd hub'))[0] ?? 0));
        await use.cluster.ready();

        const again = await resume(events, id);
        const [gap, retained] = [await again.next(), await again.next()];
        assert.equal(gap.kind, 'gap');
        assert.deepEqual(gap.data, { reason: 'what followed the message that was named is no longer known' });
        assert.equal(retained.data, 'kept');
        assert.notEqual(parseId(retained.id)[0], parseId(id)[0], 'another epoch');
        const stateAgain = await resume('restarted-state', before.id);
        const after = await stateAgain.next();
        assert.deepEqual([after.kind, after.data], ['snapshot', [{ one: 1 }]]);
    });
});
