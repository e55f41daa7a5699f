// A keyed topic under concurrent writers, killed gateways and clients that come back. The long
// version is the command test/soak/keyed.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { useCluster } from '../lib/harness';
import { runKeyed } from '../lib/keyed_load';
import { newSeed } from '../lib/random';

const use = useCluster({ settings: { fsync: 'on', 'rtd.resync_interval': '1h' } });

test('every client has the rows of the query, and never half a transaction', async (t) => {
    const seed = Number(process.env.RTD_SEED ?? newSeed());
    t.diagnostic(`RTD_SEED=${seed}`);
    const options = { seconds: 10, writers: 4, clients: 20, seed };
    const figures = await runKeyed(use.cluster, options, (line) => t.diagnostic(line));
    t.diagnostic(JSON.stringify(figures));
    assert.ok(figures.comparisons > 1 && figures.deltas > 0 && figures.gatewayKills > 0);
    assert.deepEqual([figures.torn, figures.split], [0, 0]);
});
