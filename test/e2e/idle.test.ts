// At rest there are no queries and no WAL. CPU time is a figure for bench/idle, not for a test.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { loadDemo } from '../lib/demo';
import { createTopic, subscribe, subscriberCount, useCluster } from '../lib/harness';
import { idleSettings, measureIdle } from '../lib/idle';
import { waitFor } from '../lib/wait';

const use = useCluster({ settings: idleSettings }, async (cluster) => {
    await cluster.sql('CREATE EXTENSION pg_stat_statements');
    await loadDemo(cluster);
});

test('without clients there are no queries and no WAL, even where topics have timers', async () => {
    await createTopic(use.cluster, 'timed', `query => 'SELECT now() AS t', refresh => '1 s'`);
    const client = await subscribe(use.cluster, 'timed');
    await client.next();
    await client.close();
    await waitFor('the client to be gone', async () => (await subscriberCount(use.cluster, 'timed')) === 0);
    const cost = await measureIdle(use.cluster, 10);
    assert.equal(cost.queries, 0);
    assert.equal(cost.walBytes, 0);
});

test('with clients that wait there are no queries and no WAL either', async () => {
    for (const topic of ['planned-features', 'queue', 'routes']) await subscribe(use.cluster, topic);
    const cost = await measureIdle(use.cluster, 5);
    assert.equal(cost.queries, 0);
    assert.equal(cost.walBytes, 0);
});
