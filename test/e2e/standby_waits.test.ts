// A synchronous standby that is missing holds up the numbers of durable messages, as the administrator wished: an id
// that a client has seen is on the standby. It holds up nothing else: what is read, and what promises nothing.

import assert from 'node:assert/strict';
import { after, afterEach, before, describe, test } from 'node:test';
import type { Connection } from '../lib/cluster';
import { createTopic, subscribe, useCluster } from '../lib/harness';
import { closeMultiplexed } from '../lib/multiplexed';
import { Envelope, Subscriber } from '../lib/subscriber';
import { waitFor } from '../lib/wait';

const use = useCluster({ settings: { 'rtd.linger': 0, 'rtd.query_workers': 1 } });
afterEach(closeMultiplexed);

let local: Connection; // waits for no standby
const old: Envelope[] = [];

describe('while the numbers of durable messages wait for a standby', () => {
    before(async () => {
        const { cluster } = use;
        await createTopic(cluster, 'kept', `retain => true, parameters => '{id}'`);
        await createTopic(cluster, 'logged', 'durable => true, history => 10');
        await createTopic(cluster, 'other', 'durable => true, history => 10, retain => true');
        await cluster.sql(`SELECT rtd_listen('heard', 'other')`);
        await cluster.ready();
        for (const topic of ['logged', 'other']) {
            const client = await subscribe(cluster, topic);
            for (let n = 1; n <= 5; n++) await cluster.sql(`SELECT rtd_broadcast('${topic}', '${n}')`);
            for (let n = 1; n <= 5; n++) {
                const message = await client.next(({ data }) => data === n);
                if (topic === 'other') old.push(message);
            }
            client.socket.terminate();
        }
        for (let n = 0; n < 5; n++) await cluster.sql(`SELECT rtd_broadcast('kept', '${n}', '{${n}}')`);
        await waitFor('them to be stored', async () => Number(await cluster.value('SELECT count(*) FROM rtd_retained')) >= 5);
        await subscribe(cluster, 'logged');
        local = await cluster.connect();
        await local.query('SET synchronous_commit = local');
        await cluster.reload({ synchronous_standby_names: 'nobody' });
        await waitFor('the setting', async () => (await cluster.value('SHOW synchronous_standby_names')) === 'nobody');
        await local.query(`SELECT rtd_broadcast('logged', '6')`);
        await waitFor('a worker to wait', async () =>
            Number(await cluster.value(`SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'rtd query' AND wait_event = 'SyncRep'`)) === 1);
    });

    test('retained messages are read', async () => {
        for (let n = 0; n < 5; n++) {
            const client = await Subscriber.open(use.cluster.url('kept', `${n}`));
            assert.equal((await client.next(undefined, 3000)).data, n);
            client.socket.terminate();
        }
    });

    test('retained messages are stored', async () => {
        await local.query(`SELECT rtd_broadcast('kept', '"new"', '{new}')`);
        await waitFor('it to be stored', async () =>
            Number(await use.cluster.value(`SELECT count(*) FROM rtd_retained WHERE params = '{new}'`)) === 1, { deadlineMs: 5000 });
    });

    test('whoever resumes a durable topic gets what it missed, again and again', async () => {
        for (const round of [1, 2, 3]) {
            const client = await Subscriber.open(`${use.cluster.url('other')}?since=${old[1].id}`);
            for (const n of [3, 4, 5]) assert.equal((await client.next(undefined, 3000)).data, n, `in round ${round}`);
            client.socket.terminate();
        }
    });

    test('whoever resumes the topic whose numbers wait gets what was sent before', async () => {
        const client = await Subscriber.open(`${use.cluster.url('logged')}?since=0-0`);
        for (const n of [1, 2, 3, 4, 5]) assert.equal((await client.next(undefined, 3000)).data, n);
        client.socket.terminate();
    });

    test('notifications for durable topics are stored', async () => {
        const count = async () => Number(await use.cluster.value(`SELECT count(*) FROM rtd_message WHERE topic = 'other'`));
        const before = await count();
        await local.query(`NOTIFY heard, '{"n": 1}'`);
        await waitFor('it to be stored', async () => (await count()) > before, { deadlineMs: 5000 });
    });

    test('what waited is sent once, in its order, when the standby is not waited for any more', async () => {
        const waiting = await subscribe(use.cluster, 'logged');
        const resumed = await Subscriber.open(`${use.cluster.url('logged')}?since=0-0`);
        await resumed.next(({ data }) => data === 5);
        await local.query(`SELECT rtd_broadcast('logged', '7')`);
        assert.equal(waiting.messages.filter(({ data }) => data === 6).length, 0, 'an id that the standby may not have');
        await use.cluster.reload({ synchronous_standby_names: '' });
        for (const client of [waiting, resumed]) await client.next(({ data }) => data === 7);
        await use.cluster.sql(`SELECT rtd_broadcast('logged', '8')`);
        for (const client of [waiting, resumed]) {
            await client.next(({ data }) => data === 8);
            assert.deepEqual(client.messages.map(({ data }) => data).filter((n) => n > 5), [6, 7, 8]);
        }
        resumed.socket.terminate();
    });

    after(() => use.cluster.reload({ synchronous_standby_names: '' }).catch(() => {}));
});
