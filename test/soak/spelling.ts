// See test/lib/spelling_load.ts for what is done and checked.

import { Cluster } from '../lib/cluster';
import { closeMultiplexed } from '../lib/multiplexed';
import { numberOptions } from '../lib/options';
import { newSeed } from '../lib/random';
import { runSpellings, spellingSettings } from '../lib/spelling_load';

async function main() {
    const { minutes, seed } = numberOptions({ minutes: 10, seed: newSeed() });
    console.log(`seed ${seed}`);
    const cluster = await Cluster.create({ settings: spellingSettings });
    try {
        const figures = await runSpellings(cluster, { seconds: minutes * 60, seed });
        console.log(JSON.stringify(figures, undefined, 4));
    } finally {
        closeMultiplexed();
        await cluster.destroy();
    }
}

main().catch((error) => {
    console.error(error);
    process.exitCode = 1;
});
