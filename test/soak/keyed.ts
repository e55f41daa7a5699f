// See test/lib/keyed_load.ts for what is done and checked.

import assert from 'node:assert/strict';
import { Cluster } from '../lib/cluster';
import { runKeyed } from '../lib/keyed_load';
import { numberOptions } from '../lib/options';
import { newSeed } from '../lib/random';

async function main() {
    const { minutes, ...options } = numberOptions({ minutes: 10, writers: 8, clients: 50, seed: newSeed() });
    console.log(`seed ${options.seed}`);
    const cluster = await Cluster.create({ settings: { fsync: 'on', 'rtd.resync_interval': '1h' } });
    try {
        const figures = await runKeyed(cluster, { seconds: minutes * 60, ...options }, (line) => console.log(line));
        console.log(JSON.stringify(figures, undefined, 4));
        assert.deepEqual([figures.torn, figures.split], [0, 0], 'no transaction is seen in halves');
    } finally {
        await cluster.destroy();
    }
}

main().catch((error) => {
    console.error(error);
    process.exitCode = 1;
});
