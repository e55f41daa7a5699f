// See test/lib/order_load.ts for what is done and checked.

import { Cluster } from '../lib/cluster';
import { numberOptions } from '../lib/options';
import { measureOrder, orderCluster, orderMistakes } from '../lib/order_load';
import { newSeed } from '../lib/random';

async function main() {
    const options = numberOptions({ events: 1_000_000, sessions: 24, seed: newSeed() });
    console.log(`seed ${options.seed}`);
    const cluster = await Cluster.create(orderCluster);
    try {
        const { figures, examples } = await measureOrder(cluster, options, 4 * 3600_000);
        for (const [name, figure] of Object.entries(figures)) console.log(`${name.padEnd(16)} ${figure}`);
        for (const example of examples) console.log(example);
        if (Object.values(orderMistakes(figures)).some((count) => count > 0)) process.exitCode = 1;
    } finally {
        await cluster.destroy();
    }
}

main().catch((error) => {
    console.error(error);
    process.exitCode = 1;
});
