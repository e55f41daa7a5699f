// What rtd costs while nothing happens: queries, WAL and CPU time over a stretch of time. Shared by
// the end-to-end test (queries and WAL) and by bench/idle (all of it).

import { Cluster, processStat } from './cluster';
import { measureFor } from './wait';

/** Settings under which the server itself writes no WAL while idle. */
export const idleSettings = {
    shared_preload_libraries: 'rtd,pg_stat_statements',
    'pg_stat_statements.track': 'all',
    wal_level: 'minimal',
    max_wal_senders: 0,
    checkpoint_timeout: '1h',
};

export interface IdleCost {
    seconds: number;
    queries: number;
    walBytes: number;
    /** CPU time by process, in milliseconds. */
    cpuMs: Record<string, number>;
}

export async function measureIdle(cluster: Cluster, seconds: number): Promise<IdleCost> {
    const processes: Record<string, number> = { hub: await cluster.hubPid(), gateway: await cluster.gatewayPid() };
    (await cluster.pids('rtd query')).forEach((pid, index) => (processes[`query ${index + 1}`] = pid));
    await cluster.sql('CHECKPOINT');
    // What is said here is not rtd's: it is told apart by its own words.
    const look = async () =>
        (
            await cluster.sql(`
                SELECT pg_current_wal_lsn() - '0/0'::pg_lsn AS wal,
                       (SELECT coalesce(sum(calls), 0) FROM pg_stat_statements
                        WHERE query !~ 'pg_stat_statements|CHECKPOINT|pg_stat_activity') AS calls`)
        )[0];
    const cpu = () =>
        Object.entries(processes).map(([name, pid]) => [name, processStat(pid)?.cpuMs ?? NaN] as const);

    await look();
    const [before, cpuBefore] = [await look(), cpu()];
    await measureFor(seconds * 1000);
    const [cpuAfter, after] = [cpu(), await look()];
    return {
        seconds,
        queries: Number(after.calls) - Number(before.calls),
        walBytes: Number(after.wal) - Number(before.wal),
        cpuMs: Object.fromEntries(cpuAfter.map(([name, ms], index) => [name, ms - cpuBefore[index][1]])),
    };
}
