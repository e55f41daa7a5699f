// What dies abruptly, and who must not notice.

import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import * as fs from 'node:fs';
import * as path from 'node:path';
import { afterEach, test } from 'node:test';
import { bindir, childrenOf, Cluster, isAlive } from '../lib/cluster';
import { createTopic, subscribe } from '../lib/harness';
import { closeSubscribers, Subscriber } from '../lib/subscriber';
import { waitFor, within } from '../lib/wait';

let cluster: Cluster | undefined;
afterEach(async () => {
    closeSubscribers();
    await cluster?.destroy();
    cluster = undefined;
});

async function countersCluster() {
    cluster = await Cluster.create();
    await cluster.sql(`
        CREATE TABLE counters (id int PRIMARY KEY, n bigint NOT NULL);
        INSERT INTO counters SELECT id, 0 FROM generate_series(1, 10) AS id`);
    await createTopic(cluster, 'counters', `query => 'SELECT sum(n)::bigint AS total FROM counters'`);
    await cluster.sql(`SELECT rtd_watch_table('counters')`);
    return cluster;
}

/** Four sessions of pgbench that update the watched table for some seconds. */
function pgbench(cluster: Cluster, seconds: number) {
    const script = path.join(cluster.dir, 'update.sql');
    fs.writeFileSync(script, '\\set id random(1, 10)\nUPDATE counters SET n = n + 1 WHERE id = :id;\n');
    const args = ['-h', cluster.dir, '-U', 'postgres', '-n', '-c', '4', '-T', String(seconds), '-f', script];
    const child = spawn(path.join(bindir, 'pgbench'), [...args, cluster.database]);
    let output = '';
    for (const stream of [child.stdout, child.stderr]) stream.on('data', (chunk) => (output += chunk));
    const done = new Promise<number | null>((resolve) => child.on('exit', resolve));
    return { done, output: () => output };
}

for (const signal of ['SIGSEGV', 'SIGKILL'] as const) {
    test(`a gateway killed by ${signal} under load is replaced, and no transaction notices`, async (t) => {
        const cluster = await countersCluster();
        const client = await subscribe(cluster, 'counters');
        await client.next();
        const hub = await cluster.hubPid();
        const load = pgbench(cluster, 5);
        await client.next();
        await client.next();

        const gateway = await cluster.gatewayPid();
        const killed = process.hrtime.bigint();
        process.kill(gateway, signal);
        await client.closed;
        const again = await waitFor(
            'the port to be served again',
            () => Subscriber.open(cluster.url('counters')).catch(() => undefined),
            { everyMs: 5 },
        );
        const downMs = Number(process.hrtime.bigint() - killed) / 1e6;
        t.diagnostic(`the port was served again ${downMs.toFixed(0)} ms after ${signal}`);
        await again.next();
        const currentMs = Number(process.hrtime.bigint() - killed) / 1e6;
        t.diagnostic(`a client that reconnected was current ${currentMs.toFixed(0)} ms after ${signal}`);
        assert.ok(downMs < 5000, `${downMs} ms`);

        assert.equal(await within('pgbench', load.done, 30_000), 0, load.output());
        assert.match(load.output(), /number of failed transactions: 0 /);
        const total = Number(await cluster.value('SELECT sum(n) FROM counters'));
        await again.next((message) => message.data[0].total === total);
        assert.equal(await cluster.hubPid(), hub, 'the hub lives on');
        assert.notEqual(await cluster.gatewayPid(), gateway);
        const log = cluster.log();
        assert.doesNotMatch(log, /terminating connection because of crash|all server processes terminated|reinitializing/);
        assert.doesNotMatch(load.output(), /error|aborted/i);
    });
}

test('a gateway that is killed again and again is replaced every time', async () => {
    const cluster = await countersCluster();
    for (let round = 0; round < 3; round++) {
        const gateway = await cluster.gatewayPid();
        process.kill(gateway, 'SIGKILL');
        await waitFor('its end', () => !isAlive(gateway));
        await cluster.ready(20_000);
    }
    const client = await subscribe(cluster, 'counters');
    assert.deepEqual((await client.next()).data, [{ total: 0 }]);
    assert.equal(childrenOf(await cluster.hubPid()).length, 1, 'one gateway, and no zombie');
});

test('when the postmaster is killed, the gateway and the workers end', async () => {
    const cluster = await countersCluster();
    const client = await subscribe(cluster, 'counters');
    const pids = [await cluster.gatewayPid(), await cluster.hubPid(), ...(await cluster.pids('rtd query'))];
    await cluster.stop('kill');
    await waitFor('the end of gateway, hub and query workers', () => !pids.some(isAlive), { deadlineMs: 15_000 });
    await within('the end of the client', client.closed);
});

test('an immediate shutdown leaves no gateway, and recovery serves again', async () => {
    const cluster = await countersCluster();
    const gateway = await cluster.gatewayPid();
    await cluster.stop('immediate');
    await waitFor('the end of the gateway', () => !isAlive(gateway));
    await cluster.start();
    await cluster.ready();
    const client = await subscribe(cluster, 'counters');
    await client.next();
    await cluster.sql('UPDATE counters SET n = n + 1');
    assert.deepEqual((await client.next()).data, [{ total: 10 }]);
});

test('a backend that is killed takes the server through recovery, and rtd with it', async () => {
    const cluster = await countersCluster();
    const victim = await cluster.connect();
    const { rows } = await victim.query('SELECT pg_backend_pid() AS pid');
    await cluster.closeConnections();
    process.kill(rows[0].pid, 'SIGKILL');
    await cluster.waitForLog(/reinitializing/);
    await cluster.ready(30_000);
    const client = await subscribe(cluster, 'counters');
    await client.next();
    await cluster.sql('UPDATE counters SET n = n + 1');
    assert.deepEqual((await client.next()).data, [{ total: 10 }]);
});

test('a hub or query worker that is terminated comes back', async () => {
    const cluster = await countersCluster();
    for (const type of ['rtd hub', 'rtd query']) {
        const before = await cluster.pids(type);
        assert.ok(before.length > 0, type);
        await cluster.sql('SELECT pg_terminate_backend(pid) FROM unnest($1::int[]) AS pid', [before]);
        await waitFor(`another ${type}`, async () => {
            const now = await cluster.pids(type);
            return now.length === before.length && !now.some((pid) => before.includes(pid));
        });
        await cluster.ready();
        const client = await subscribe(cluster, 'counters');
        await client.next();
        await cluster.sql('UPDATE counters SET n = n + 1');
        await client.next();
        await client.close();
    }
});
