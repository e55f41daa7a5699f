// What rtd costs at rest: the demo's topics, a number of clients that wait, and nobody who writes.

import { Cluster } from '../test/lib/cluster';
import { loadDemo } from '../test/lib/demo';
import { idleSettings, measureIdle } from '../test/lib/idle';
import { Subscriber } from '../test/lib/subscriber';
import { numberOptions } from '../test/lib/options';

async function main() {
    const { seconds, clients } = numberOptions({ seconds: 60, clients: 0 });
    const cluster = await Cluster.create({ settings: idleSettings });
    try {
        await cluster.sql('CREATE EXTENSION pg_stat_statements');
        await loadDemo(cluster);
        const subscribers = [];
        for (let n = 0; n < clients; n++) subscribers.push(await Subscriber.open(cluster.url('planned-features')));
        await Promise.all(subscribers.map((subscriber) => subscriber.next()));
        const cost = await measureIdle(cluster, seconds);
        console.log(`idle for ${seconds} s with ${clients} clients: ${cost.queries} queries, ${cost.walBytes} bytes of WAL`);
        for (const [name, ms] of Object.entries(cost.cpuMs))
            console.log(`  ${name.padEnd(8)} ${ms.toFixed(2).padStart(8)} ms of CPU (${((ms / seconds) * 60).toFixed(2)} a minute)`);
        for (const subscriber of subscribers) subscriber.socket.terminate();
    } finally {
        await cluster.destroy();
    }
}

main().catch((error) => {
    console.error(error);
    process.exitCode = 1;
});
