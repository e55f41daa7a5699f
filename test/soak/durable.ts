// See test/lib/durable_load.ts for what is done and checked.

import { Cluster } from '../lib/cluster';
import { durableSettings, runDurableKills } from '../lib/durable_load';
import { commandOptions } from '../lib/options';
import { newSeed } from '../lib/random';

async function main() {
    const { only, ...options } = commandOptions({ kills: 100, seed: newSeed(), only: '' });
    console.log(`seed ${options.seed}`);
    const cluster = await Cluster.create({ settings: durableSettings });
    try {
        const figures = await runDurableKills(cluster, { ...options, ...(only && { names: [only] }) }, (line) => console.log(line));
        console.log(JSON.stringify(figures, undefined, 4));
    } finally {
        await cluster.destroy();
    }
}

main().catch((error) => {
    console.error(error);
    process.exitCode = 1;
});
