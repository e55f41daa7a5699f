// More events than the hub hands on in a turn, held back for a commit before them: they come once it is
// done. The hub used to wait for room among what it held instead of looking whether it may go.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { commitThatWaits } from '../lib/held_commit';
import { createTopic, subscribe, useCluster } from '../lib/harness';
import { waitFor } from '../lib/wait';

const use = useCluster({ settings: { synchronous_commit: 'local', 'rtd.client_buffer': '64MB' } });

test('20,000 events that waited for a commit come after it, in their order', async () => {
    const { cluster } = use;
    await cluster.sql('CREATE TABLE held (id int PRIMARY KEY); CREATE TABLE counted (id int)');
    await createTopic(cluster, 'held');
    await cluster.sql(`SELECT rtd_watch_table('held', columns => '{id}')`);
    await createTopic(cluster, 'counted', `query => 'SELECT count(*)::int AS n FROM counted', throttle => '0'`);
    await cluster.sql(`SELECT rtd_watch_table('counted')`);
    const state = await subscribe(cluster, 'counted');
    const client = await subscribe(cluster, 'held');
    const release = await commitThatWaits(cluster, 'INSERT INTO held VALUES (0)');
    const made = 20_000;
    // Each transaction below rtd.max_transaction_events.
    for (let first = 1; first <= made; first += 1000)
        await cluster.sql(`INSERT INTO held SELECT n FROM generate_series(${first}, ${first + 999}) n`);
    // A state has no place in the order: its event shows that the hub has taken those before it.
    await cluster.sql('INSERT INTO counted VALUES (1)');
    await state.next(({ data }) => data[0].n === 1);
    assert.equal(client.messages.length, 0);
    await release();
    await waitFor('all of them', () => client.messages.length > made, { deadlineMs: 20_000 });
    assert.deepEqual(client.messages.map(({ data }) => data.id), Array.from({ length: made + 1 }, (_, id) => id));
    await cluster.sql('INSERT INTO held VALUES (-1)');
    await client.next(({ data }) => data.id === -1);
});
