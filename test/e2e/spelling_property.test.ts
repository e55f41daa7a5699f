// See test/lib/spelling_load.ts. test/soak/spelling is the long form.

import assert from 'node:assert/strict';
import { after, describe, test } from 'node:test';
import { useCluster } from '../lib/harness';
import { closeMultiplexed } from '../lib/multiplexed';
import { newSeed } from '../lib/random';
import { runSpellings, spellingSettings } from '../lib/spelling_load';

const use = useCluster({ settings: spellingSettings });

after(closeMultiplexed);

describe('a parameter in any spelling', () => {
    test('has the state that the query returns, of every type, whatever the writer has set', { timeout: 180_000 }, async (t) => {
        const seed = Number(process.env.SEED ?? newSeed());
        t.diagnostic(`SEED=${seed}`);
        const figures = await runSpellings(use.cluster, { seconds: 30, seed });
        t.diagnostic(JSON.stringify(figures));
        assert.ok(figures.types >= 40 && figures.writes > 50 && figures.instances < figures.subscriptions);
    });
});
