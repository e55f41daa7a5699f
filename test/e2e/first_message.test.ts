// A first message that cannot be had for another reason than its query: what is stored cannot be read,
// or there is no query worker. Newcomers hear so on every way in, and get it once it can be had.

import assert from 'node:assert/strict';
import { afterEach, describe, test } from 'node:test';
import { closeStreams } from '../lib/event_stream';
import { allWaysIn, expectRefusalsOf, firstAnswer } from '../lib/first_answer';
import { createTopic, useCluster } from '../lib/harness';
import { closeMultiplexed, Multiplexed } from '../lib/multiplexed';
import { waitFor, within } from '../lib/wait';

afterEach(closeMultiplexed);
afterEach(closeStreams);

describe('what is stored and cannot be read', () => {
    const use = useCluster();
    const sql = (text: string) => use.cluster.sql(text);

    test('is a refusal for newcomers of a retained event topic, not the silence of a topic without a message', async () => {
        await createTopic(use.cluster, 'retained');
        await sql(`SELECT rtd_broadcast('retained', '"kept"')`);
        await waitFor('the message to be stored', async () => (await sql('SELECT FROM rtd_retained')).length);
        await sql('ALTER TABLE rtd_retained RENAME TO rtd_elsewhere');
        await expectRefusalsOf(use.cluster, 'retained', [], 4500, /retained message cannot be read/);
        await sql('ALTER TABLE rtd_elsewhere RENAME TO rtd_retained');
        await waitFor('the message', async () => (await firstAnswer(use.cluster, '/api', 'retained')).message);
        for (const wayIn of allWaysIn)
            assert.equal((await firstAnswer(use.cluster, wayIn, 'retained')).message?.data, 'kept', wayIn);
    });

    test('is a refusal for newcomers of a durable topic', async () => {
        await createTopic(use.cluster, 'durable', 'durable => true');
        await sql(`SELECT rtd_broadcast('durable', '1')`);
        const first = await waitFor('the message', async () => (await firstAnswer(use.cluster, '/api', 'durable')).message);
        await sql('ALTER TABLE rtd_message RENAME TO rtd_elsewhere');
        await expectRefusalsOf(use.cluster, 'durable', [], 4500, /messages cannot be read/);
        await sql('ALTER TABLE rtd_elsewhere RENAME TO rtd_message');
        for (const wayIn of allWaysIn) {
            const { message } = await firstAnswer(use.cluster, wayIn, 'durable');
            assert.deepEqual([message?.data, message?.id], [1, first.id], wayIn);
        }
    });
});

describe('without a free background worker', () => {
    // One is the hub's, one the server's own for logical replication.
    const use = useCluster({ settings: { max_worker_processes: 2 } });

    test('newcomers are refused', async () => {
        await createTopic(use.cluster, 'unqueried', `query => 'SELECT 1 AS one'`);
        await expectRefusalsOf(use.cluster, 'unqueried', [], 4500, /no query worker/);
    });
});

describe('while other topics have all query workers', () => {
    const use = useCluster({ settings: { 'rtd.statement_timeout': '40s' } });

    test('newcomers are refused after eight seconds, and served when one is free', async () => {
        const hogs = await Promise.all(
            ['hog-one', 'hog-two'].map(async (topic) => {
                await createTopic(use.cluster, topic, `query => 'SELECT 1 AS one FROM pg_sleep(30)'`);
                const client = await Multiplexed.open(use.cluster);
                await client.subscribe(topic);
                return client;
            }),
        );
        const sleeping = `SELECT pid FROM pg_stat_activity WHERE backend_type = 'rtd query' AND wait_event = 'PgSleep'`;
        await waitFor('both workers to be busy', async () => (await use.cluster.sql(sleeping)).length === 2);
        await createTopic(use.cluster, 'crowded-out', `query => 'SELECT 1 AS one'`);
        const { code, reason, afterMs } = await within('the refusal', firstAnswer(use.cluster, '/ws', 'crowded-out'), 20_000);
        assert.deepEqual([code, /no query worker is free/.test(reason)], [4500, true], reason);
        assert.ok(afterMs > 7500 && afterMs < 10_000, `${afterMs} ms`);
        hogs.forEach((hog) => hog.socket.terminate());
        await use.cluster.sql(`SELECT pg_cancel_backend(pid) FROM (${sleeping}) AS busy`);
        assert.deepEqual((await firstAnswer(use.cluster, '/ws/<topic>', 'crowded-out')).message?.data, [{ one: 1 }]);
    });
});
