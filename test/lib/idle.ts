// What rtd costs while nothing happens: queries, WAL and CPU time over a stretch of time. Shared by
// the end-to-end test (queries and WAL) and by bench/idle (all of it).

import { spawnSync } from 'node:child_process';
import * as path from 'node:path';
import { bindir, Cluster, processStat } from './cluster';
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
    /** What pg_waldump says of those bytes. */
    wal: string;
    /** CPU time by process, in milliseconds. */
    cpuMs: Record<string, number>;
}

export async function measureIdle(cluster: Cluster, seconds: number): Promise<IdleCost> {
    const processes: Record<string, number> = { hub: await cluster.hubPid(), gateway: await cluster.gatewayPid() };
    (await cluster.pids('rtd query')).forEach((pid, index) => (processes[`query ${index + 1}`] = pid));
    // Otherwise the first reader of a catalog page prunes what setting up left there, and writes WAL.
    await cluster.sql('VACUUM');
    await cluster.sql('CHECKPOINT');
    // What is said here is not rtd's: it is told apart by its own words.
    const look = async () =>
        (
            await cluster.sql(`
                SELECT pg_current_wal_lsn() AS lsn, pg_current_wal_lsn() - '0/0'::pg_lsn AS wal,
                       (SELECT coalesce(sum(calls), 0) FROM pg_stat_statements
                        WHERE query !~ 'pg_stat_statements|CHECKPOINT|VACUUM|pg_stat_activity') AS calls`)
        )[0];
    const cpu = () =>
        Object.entries(processes).map(([name, pid]) => [name, processStat(pid)?.cpuMs ?? NaN] as const);

    await look();
    const [before, cpuBefore] = [await look(), cpu()];
    await measureFor(seconds * 1000);
    const [cpuAfter, after] = [cpu(), await look()];
    const walBytes = Number(after.wal) - Number(before.wal);
    return {
        seconds,
        wal: walBytes ? dumpWal(cluster, before.lsn, after.lsn) : '',
        queries: Number(after.calls) - Number(before.calls),
        walBytes,
        cpuMs: Object.fromEntries(cpuAfter.map(([name, ms], index) => [name, ms - cpuBefore[index][1]])),
    };
}

function dumpWal(cluster: Cluster, from: string, to: string): string {
    const args = ['--path', path.join(cluster.dataDir, 'pg_wal'), '--start', from, '--end', to];
    const { stdout, stderr } = spawnSync(path.join(bindir, 'pg_waldump'), args, { encoding: 'utf8' });
    return stdout + stderr;
}
