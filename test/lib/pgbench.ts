// Load from pgbench: many sessions that cost little CPU time beside the server's own.

import { spawn } from 'node:child_process';
import * as fs from 'node:fs';
import * as path from 'node:path';
import { bindir, Cluster } from './cluster';

export interface Load {
    clients: number;
    /** One of the two says when it ends. */
    seconds?: number;
    transactions?: number; // of each client
    seed?: number;
    options?: string[];
}

let scripts = 0;

/** Starts pgbench with scripts that are chosen at random. `done` resolves to its exit status. */
export function startPgbench(cluster: Cluster, sources: string[], load: Load) {
    const files = sources.map((source) => {
        const file = path.join(cluster.dir, `load-${++scripts}.sql`);
        fs.writeFileSync(file, source);
        return ['-f', file];
    });
    const child = spawn(path.join(bindir, 'pgbench'), [
        ...['-h', cluster.dir, '-U', 'postgres', '-n', '-M', 'prepared', '-c', String(load.clients)],
        ...(load.seconds ? ['-T', String(load.seconds)] : ['-t', String(load.transactions)]),
        ...(load.seed === undefined ? [] : ['--random-seed', String(load.seed)]),
        ...(load.options ?? []),
        ...files.flat(),
        cluster.database,
    ]);
    let output = '';
    for (const stream of [child.stdout, child.stderr]) stream.on('data', (chunk) => (output += chunk));
    const done = new Promise<number | null>((resolve) => child.on('close', resolve));
    return { done, output: () => output, stop: () => child.kill() };
}
