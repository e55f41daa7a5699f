// Messages of a topic come in the order their transactions committed, also where commits overlap.
// The long version is the command test/soak/order.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { useCluster } from '../lib/harness';
import { measureOrder, noMistakes, orderCluster, orderMistakes } from '../lib/order_load';
import { newSeed } from '../lib/random';

const use = useCluster(orderCluster);

test('no effect arrives before its cause, however commits overlap', async (t) => {
    const seed = Number(process.env.RTD_SEED ?? newSeed());
    t.diagnostic(`RTD_SEED=${seed}`);
    const { figures, examples } = await measureOrder(use.cluster, { events: 30_000, sessions: 24, seed }, 60_000);
    t.diagnostic(JSON.stringify(figures));
    assert.deepEqual(orderMistakes(figures), noMistakes, examples.join('\n'));
});
