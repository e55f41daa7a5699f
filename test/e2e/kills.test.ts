// Processes that die under load, chosen at random. The long version is the command test/soak/kills.

import { test } from 'node:test';
import { useCluster } from '../lib/harness';
import { killNames, runKills } from '../lib/kill_load';
import { newSeed, Random } from '../lib/random';

const use = useCluster({ settings: { fsync: 'on', commit_delay: 300, commit_siblings: 2, 'rtd.gateways': 2 } });

test('after every kill each client that comes back has what a query gives', async (t) => {
    const seed = Number(process.env.RTD_SEED ?? newSeed());
    t.diagnostic(`RTD_SEED=${seed}`);
    const random = new Random(seed);
    const names = [...killNames].sort(() => random.next() - 0.5).slice(0, 3);
    const figures = await runKills(use.cluster, { kills: 3, seed, names }, (line) => t.diagnostic(line));
    t.diagnostic(JSON.stringify(figures));
});
