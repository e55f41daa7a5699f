// A hub that has no memory for a moment (its address space is limited, as ulimit -v or a cgroup would): what it
// was about to give to a query worker, or had got from one, is not forgotten. Every job ends with an answer or is
// done again, so no instance is "running" for ever.

import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import * as fs from 'node:fs';
import { describe, test } from 'node:test';
import { asServer } from '../lib/cluster';
import { createTopic, subscribe, useCluster } from '../lib/harness';
import { waitFor } from '../lib/wait';

const bytes = 40 << 20; // beyond what malloc() keeps at hand for later

const use = useCluster({
    settings: { 'rtd.query_workers': 1, 'rtd.max_message_size': '100MB', 'rtd.client_buffer': '500MB', 'rtd.gateway_buffer': '1GB', 'rtd.linger': 0 },
});

/** While the hub gets no more memory than it has. */
async function withoutMemory(body: () => Promise<unknown>) {
    const hub = await use.cluster.hubPid();
    const kilobytes = Number(/^VmSize:\s+(\d+) kB/m.exec(fs.readFileSync(`/proc/${hub}/status`, 'utf8'))![1]);
    const limit = (value: string) => execFileSync(...asServer('prlimit', ['--pid', String(hub), `--as=${value}:`]));
    limit(String((kilobytes + 4096) * 1024));
    try {
        await body();
    } finally {
        limit('unlimited');
    }
    assert.equal(await use.cluster.hubPid(), hub, 'it is the same hub');
}

const idle = () => waitFor('the query worker to be idle', async () =>
    Number(await use.cluster.value(`SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'rtd query' AND state = 'active'`)) === 0);

async function largeTopic(name: string) {
    await use.cluster.sql(`
        CREATE TABLE ${name} (n int); INSERT INTO ${name} VALUES (1);
        CREATE FUNCTION ${name}_matters(former jsonb, now jsonb) RETURNS boolean LANGUAGE sql AS 'SELECT true'`);
    await createTopic(use.cluster, name, `query => 'SELECT n, repeat(''x'', ${bytes}) AS filling FROM ${name}', throttle => '0', significant => '${name}_matters(jsonb, jsonb)'`);
    await use.cluster.sql(`SELECT rtd_watch_table('${name}', '${name}')`);
}

const shows = (n: number) => (message: { kind: string; data: any }) => message.kind === 'snapshot' && message.data[0].n === n;

describe('a query', () => {
    test('that could not be given to its worker is given later, and others meanwhile', { timeout: 120_000 }, async () => {
        await largeTopic('given');
        await use.cluster.sql('CREATE TABLE small (n int); INSERT INTO small VALUES (1)');
        await createTopic(use.cluster, 'small', `query => 'SELECT n FROM small', throttle => '0'`);
        await use.cluster.sql(`SELECT rtd_watch_table('small', 'small')`);
        const small = await subscribe(use.cluster, 'small');
        const client = await subscribe(use.cluster, 'given');
        await client.next(shows(1), 30_000);
        await small.next(shows(1));
        await idle();
        await withoutMemory(async () => {
            const position = use.cluster.logPosition();
            await use.cluster.sql('UPDATE given SET n = 2'); // the job has the last message in it
            await use.cluster.waitForLog(/bad_alloc|out of memory|memory/i, position);
            await use.cluster.sql('UPDATE small SET n = 2');
            await small.next(shows(2));
        });
        await client.next(shows(2), 30_000);
        await use.cluster.sql('UPDATE given SET n = 3');
        await client.next(shows(3), 30_000);
        client.socket.terminate();
    });

    test('whose answer could not be read is run again', { timeout: 120_000 }, async () => {
        await use.cluster.sql('CREATE TABLE answered (n int); INSERT INTO answered VALUES (1)');
        await createTopic(use.cluster, 'answered',
            `query => 'SELECT n, CASE WHEN pg_advisory_xact_lock_shared(77) IS NOT NULL AND n > 1 THEN repeat(''x'', ${bytes}) END AS filling FROM answered', throttle => '0'`);
        await use.cluster.sql(`SELECT rtd_watch_table('answered', 'answered')`);
        const client = await subscribe(use.cluster, 'answered');
        await client.next(shows(1), 30_000);
        await idle();
        await withoutMemory(async () => {
            const position = use.cluster.logPosition();
            await use.cluster.sql('UPDATE answered SET n = 2');
            await use.cluster.waitForLog(/bad_alloc|out of memory|memory/i, position);
        });
        await client.next(shows(2), 60_000);
        client.socket.terminate();
    });
});
