// Notifications that come at a bad moment: many at once, or while they cannot be stored.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { createTopic, subscribe, useCluster } from '../lib/harness';
import { withHubStopped } from '../lib/hub_pauses';
import { waitFor } from '../lib/wait';

// A client takes all that the hub keeps, however slowly.
const use = useCluster({ settings: { 'rtd.client_buffer': '256MB' } });

test('notifications for a durable topic wait while they cannot be stored, and come in their order', async () => {
    await createTopic(use.cluster, 'waits', 'durable => true');
    await use.cluster.sql(`SELECT rtd_listen('waiting', 'waits')`);
    const client = await subscribe(use.cluster, 'waits');
    await use.cluster.ready();
    const position = use.cluster.logPosition();
    const holder = await use.cluster.connect();
    await holder.query('BEGIN; LOCK TABLE rtd_message IN ACCESS EXCLUSIVE MODE');
    for (let n = 1; n <= 3; n++) await use.cluster.sql(`NOTIFY waiting, '{"n": ${n}}'`);
    await use.cluster.waitForLog(/notifications for durable topics cannot be stored yet/, position);
    await use.cluster.sql(`NOTIFY waiting, '{"n": 4}'`);
    await holder.query('ROLLBACK');
    for (let n = 1; n <= 4; n++) assert.deepEqual((await client.next()).data, { n });
});

test('more than the hub should hold at a time is told as a gap, and the next one is carried', async () => {
    await createTopic(use.cluster, 'flooded');
    await createTopic(use.cluster, 'flooded-durable', 'durable => true');
    await use.cluster.sql(`SELECT rtd_listen('flood', 'flooded'), rtd_listen('flood', 'flooded-durable')`);
    const clients = [await subscribe(use.cluster, 'flooded'), await subscribe(use.cluster, 'flooded-durable')];
    await use.cluster.ready();
    const [hub] = await use.cluster.pids('rtd hub');
    await withHubStopped(use.cluster, async () => {
        for (let round = 0; round < 5; round++)
            await use.cluster.sql(`SELECT count(pg_notify('flood', '{"n": "' || lpad((n + ${round} * 2500)::text, 7900, 'x') || '"}')) FROM generate_series(1, 2500) n`);
    });
    const gaps = await Promise.all(clients.map((client) => waitFor('a gap', () => client.messages.find(({ kind }) => kind === 'gap'), { deadlineMs: 60_000 })));
    for (const gap of gaps) assert.match(gap.data.reason, /notifications/);
    await use.cluster.sql(`NOTIFY flood, '{"n": "last"}'`);
    await Promise.all(clients.map((client) => waitFor('the next one', () => client.messages.some(({ data }) => data.n === 'last'), { deadlineMs: 60_000 })));
    assert.deepEqual(await use.cluster.pids('rtd hub'), [hub]);
});
