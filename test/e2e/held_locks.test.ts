// Locks that others hold, and queries that take long: what they hold up is what they are about. No query
// is ended by time here, so what would wait behind one waits for as long as the lock is held.

import assert from 'node:assert/strict';
import { afterEach, describe, test } from 'node:test';
import type { Connection } from '../lib/cluster';
import { createTopic, subscribe, useCluster } from '../lib/harness';
import { closeMultiplexed, Multiplexed } from '../lib/multiplexed';
import { Subscriber } from '../lib/subscriber';
import { waitFor } from '../lib/wait';

const use = useCluster({ settings: { 'rtd.statement_timeout': '1h', 'rtd.linger': 0 } });
afterEach(closeMultiplexed);

/** While `statement` is in an open transaction. */
async function whileOpen(statement: string, body: (holder: Connection) => Promise<void>) {
    const holder = await use.cluster.connect();
    await holder.query('BEGIN');
    await holder.query(statement);
    try {
        await body(holder);
    } finally {
        await holder.query('ROLLBACK');
        await use.cluster.release(holder);
    }
}

/** A watched table with one row, and state topics of it. */
async function stateTopics(table: string, ...topics: string[]) {
    await use.cluster.sql(`CREATE TABLE ${table} (id int PRIMARY KEY, n int); INSERT INTO ${table} VALUES (1, 0)`);
    for (const topic of topics) {
        await createTopic(use.cluster, topic, `query => 'SELECT n FROM ${table}', throttle => '0'`);
        await use.cluster.sql(`SELECT rtd_watch_table('${table}', '${topic}')`);
    }
}

const shows = (n: number) => (message: { kind: string; data: any }) => message.kind === 'snapshot' && message.data[0].n === n;

describe('a table that is locked', () => {
    test('holds up the topics that read it, and no others', async () => {
        await stateTopics('held', 'held-1', 'held-2', 'held-3');
        await stateTopics('free', 'free');
        const free = await subscribe(use.cluster, 'free');
        const held = await Promise.all(['held-1', 'held-2', 'held-3'].map((topic) => subscribe(use.cluster, topic)));
        for (const client of [free, ...held]) await client.next(shows(0));
        await whileOpen('LOCK TABLE held', async (holder) => {
            await use.cluster.sql(`SELECT rtd_refresh('held-1'), rtd_refresh('held-2'), rtd_refresh('held-3')`);
            for (let n = 1; n <= 10; n++) {
                await use.cluster.sql(`UPDATE free SET n = ${n}`);
                await free.next(shows(n));
            }
            await holder.query('UPDATE held SET n = 7; COMMIT');
        });
        for (const client of held) await client.next(shows(7));
    });

    test('tells its subscribers that they wait, and refuses newcomers, until it is free', async () => {
        await stateTopics('told', 'told');
        const client = await Multiplexed.open(use.cluster);
        await client.subscribe('told');
        await client.next(shows(0));
        await whileOpen('LOCK TABLE told', async (holder) => {
            await use.cluster.sql(`SELECT rtd_refresh('told')`);
            const told = await client.next(({ type }) => type === 'rtd_error');
            assert.match(told.data.message, /waits for a lock/);
            const newcomer = await Multiplexed.open(use.cluster);
            newcomer.send({ action: 'subscribe', topic: 'told' });
            const refused = await newcomer.next(({ type }) => type === 'rtd_error');
            assert.match(refused.data.message, /waits for a lock/);
            await holder.query('UPDATE told SET n = 1; COMMIT');
        });
        await client.next(shows(1));
        await client.next(({ type }) => type === 'rtd_current');
    });

    test('with many instances of its topic leaves the workers to others', async () => {
        await stateTopics('wide_free', 'wide-free');
        await use.cluster.sql('CREATE TABLE wide (id text, n int)');
        await createTopic(use.cluster, 'wide', `parameters => '{id}', query => 'SELECT n FROM wide WHERE id = $1', throttle => '0'`);
        const free = await subscribe(use.cluster, 'wide-free');
        await free.next(shows(0));
        const client = await Multiplexed.open(use.cluster);
        await whileOpen('LOCK TABLE wide', async () => {
            for (let n = 0; n < 50; n++) client.send({ action: 'subscribe', topic: 'wide', params: [`${n}`] });
            for (let n = 1; n <= 5; n++) {
                await use.cluster.sql(`UPDATE wide_free SET n = ${n}`);
                await free.next(shows(n));
            }
        });
    });
});

describe('queries that take long', () => {
    test('do not hold up what clients publish', async () => {
        for (const topic of ['slow-1', 'slow-2', 'slow-3'])
            await createTopic(use.cluster, topic, `query => 'SELECT pg_sleep(3600)::text'`);
        await createTopic(use.cluster, 'said');
        await use.cluster.sql(`SELECT rtd_grant('said', 'web_anon', 'publish')`);
        const client = await Multiplexed.open(use.cluster);
        await client.subscribe('said');
        for (const topic of ['slow-1', 'slow-2', 'slow-3']) client.send({ action: 'subscribe', topic });
        await waitFor('all workers to be busy', async () =>
            Number(await use.cluster.value(`SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'rtd query' AND wait_event = 'PgSleep'`)) >= 2);
        for (let n = 0; n < 5; n++) {
            const answer = await client.ask({ action: 'publish', topic: 'said', data: n });
            assert.equal(answer.type, 'rtd_published', answer.text);
        }
        for (const [pid] of (await use.cluster.sql(`SELECT pid FROM pg_stat_activity WHERE wait_event = 'PgSleep'`)).map(({ pid }) => [pid]))
            await use.cluster.sql(`SELECT pg_terminate_backend(${pid})`);
        for (const topic of ['slow-1', 'slow-2', 'slow-3']) await use.cluster.sql(`SELECT rtd_drop_topic('${topic}')`);
    });
});

describe('a retained message that cannot be read', () => {
    async function retained(topic: string, params: string[]) {
        await createTopic(use.cluster, topic, `parameters => '{id}', retain => true`);
        for (const param of params) await use.cluster.sql(`SELECT rtd_broadcast('${topic}', to_jsonb('of ${param}'::text), '{${param}}')`);
        await waitFor('them to be stored', async () =>
            Number(await use.cluster.value('SELECT count(*) FROM rtd_retained WHERE topic = $1', [topic])) === params.length);
    }
    /** Until it is readable, newcomers are refused; then they get it. */
    async function comesBack(topic: string, param: string) {
        await waitFor('the message', async () => {
            const client = await Subscriber.open(use.cluster.url(topic, param)).catch(() => undefined);
            if (!client) return false;
            const first = await Promise.race([client.next().catch(() => undefined), client.closed.then(() => undefined)]);
            return first?.data === `of ${param}`;
        });
    }

    test('because its table is locked holds up nobody else, and is not taken for none', async () => {
        const params = Array.from({ length: 20 }, (_, n) => `${n}`);
        await retained('kept', params);
        await createTopic(use.cluster, 'other');
        const other = await subscribe(use.cluster, 'other');
        const client = await Multiplexed.open(use.cluster);
        await whileOpen('LOCK TABLE rtd_retained IN ACCESS EXCLUSIVE MODE', async () => {
            for (const param of params) client.send({ action: 'subscribe', topic: 'kept', params: [param] });
            for (let n = 0; n < 10; n++) {
                await use.cluster.sql(`SELECT rtd_broadcast('other', '${n}')`);
                await other.next(({ data }) => data === n);
            }
            const refused = () => client.messages.filter(({ type }) => type === 'rtd_error').length;
            await waitFor('all to be refused', () => refused() === params.length);
            assert.ok(client.messages.every(({ type }) => type === 'rtd_error'), 'none was taken in');
            assert.match(client.messages[0].data.message, /retained message cannot be read/);
        });
        await comesBack('kept', '3');
    });

    test('because reading fails is not taken for none, and a later event is a message', async () => {
        await retained('broken', ['a', 'b']);
        await use.cluster.sql('ALTER TABLE rtd_retained RENAME COLUMN message TO was_message');
        try {
            const client = await Multiplexed.open(use.cluster);
            for (const request of [{}, { since: '1-1' }])
                await client.expectError({ action: 'subscribe', topic: 'broken', params: ['a'], ...request }, 4500, /retained message cannot be read/);
            // What is newer than any stored message needs no reading.
            await use.cluster.sql(`SELECT rtd_broadcast('broken', '"newer"', '{b}')`);
            await client.subscribe('broken', 'b');
            assert.equal((await client.next(({ kind }) => kind === 'event')).data, 'newer');
        } finally {
            await use.cluster.sql('ALTER TABLE rtd_retained RENAME COLUMN was_message TO message');
        }
        await comesBack('broken', 'a');
    });
});

describe('an open transaction that changes a durable topic', () => {
    for (const [what, statement] of [
        ['takes its numbers away', `SELECT rtd_alter_topic('changing', durable => false)`],
        ['drops it', `SELECT rtd_drop_topic('changing')`],
    ])
        test(`and ${what} leaves other durable topics alone`, async () => {
            await createTopic(use.cluster, 'changing', 'durable => true, history => 10');
            await createTopic(use.cluster, 'staying', 'durable => true, history => 10');
            const [changing, staying] = [await subscribe(use.cluster, 'changing'), await subscribe(use.cluster, 'staying')];
            await use.cluster.sql(`SELECT rtd_broadcast('changing', '0')`);
            await changing.next();
            await whileOpen(statement, async () => {
                await use.cluster.sql(`SELECT rtd_broadcast('changing', '1')`);
                for (let n = 1; n <= 5; n++) {
                    await use.cluster.sql(`SELECT rtd_broadcast('staying', '${n}')`);
                    await staying.next(({ data }) => data === n);
                    await use.cluster.sql(`SELECT rtd_broadcast('changing', '${n + 1}')`);
                }
            });
            for (let n = 1; n <= 6; n++) await changing.next(({ data }) => data === n);
            await use.cluster.sql(`SELECT rtd_drop_topic('changing'), rtd_drop_topic('staying')`);
        });
});

describe('notifications for a durable topic that cannot be stored', () => {
    test('hold up nobody else', async () => {
        await createTopic(use.cluster, 'heard', 'durable => true');
        await createTopic(use.cluster, 'beside');
        await use.cluster.sql(`SELECT rtd_listen('hearing', 'heard')`);
        const [heard, beside] = [await subscribe(use.cluster, 'heard'), await subscribe(use.cluster, 'beside')];
        await use.cluster.ready();
        const position = use.cluster.logPosition();
        await whileOpen('LOCK TABLE rtd_message IN ACCESS EXCLUSIVE MODE', async () => {
            await use.cluster.sql(`NOTIFY hearing, '{"n": 1}'`);
            await use.cluster.waitForLog(/notifications for durable topics cannot be stored yet/, position);
            for (let n = 0; n < 20; n++) {
                await use.cluster.sql(`SELECT rtd_broadcast('beside', '${n}')`);
                await beside.next(({ data }) => data === n);
            }
        });
        assert.deepEqual((await heard.next()).data, { n: 1 });
    });
});
