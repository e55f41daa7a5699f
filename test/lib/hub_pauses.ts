// A hub that stands still now and then (SIGSTOP), so that the event queue fills behind it.

import { Cluster } from './cluster';
import { Random } from './random';
import { within } from './wait';

/** While the hub stands still nothing leaves the queue. */
export async function withHubStopped<T>(cluster: Cluster, body: () => Promise<T>): Promise<T> {
    const hub = await cluster.hubPid();
    process.kill(hub, 'SIGSTOP');
    try {
        return await body();
    } finally {
        process.kill(hub, 'SIGCONT');
    }
}

/** Lets the hub run and stand still in turn, each for up to `longestMs`, until `done` settles. */
export async function pauseHubUntil(cluster: Cluster, done: Promise<unknown>, random: Random, longestMs: number) {
    const hub = await cluster.hubPid();
    let running = true;
    void done.finally(() => (running = false)).catch(() => {});
    const stretch = () => within('', done, random.between(20, longestMs)).catch(() => {});
    while (running) {
        await stretch();
        process.kill(hub, 'SIGSTOP');
        await stretch();
        process.kill(hub, 'SIGCONT');
    }
}
