// See test/lib/kill_load.ts for what is done and checked.

import { Cluster } from '../lib/cluster';
import { runKills } from '../lib/kill_load';
import { numberOptions } from '../lib/options';
import { newSeed } from '../lib/random';

async function main() {
    const options = numberOptions({ kills: 50, gateways: 2, seed: newSeed() });
    console.log(`seed ${options.seed}`);
    const settings = { fsync: 'on', commit_delay: 300, commit_siblings: 2, 'rtd.gateways': options.gateways };
    const cluster = await Cluster.create({ settings });
    try {
        const figures = await runKills(cluster, options, (line) => console.log(line));
        console.log(JSON.stringify(figures, undefined, 4));
    } finally {
        await cluster.destroy();
    }
}

main().catch((error) => {
    console.error(error);
    process.exitCode = 1;
});
