// A gateway that does nothing any more, stopped or caught in a loop, keeps its connections open, so its
// clients would meet silence for ever. The hub notices by time, however little there is to send. It once
// noticed by what waited for the gateway alone: rtd.gateway_buffer.

import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import * as net from 'node:net';
import { afterEach, describe, test } from 'node:test';
import { isAlive, processStat } from '../lib/cluster';
import { allGateways, onEveryGateway } from '../lib/gateways';
import { createTopic, useCluster } from '../lib/harness';
import { closeMultiplexed, Multiplexed } from '../lib/multiplexed';
import { Subscriber } from '../lib/subscriber';
import { measureFor, waitFor, within } from '../lib/wait';

const timeoutMs = 4000;
const boundMs = timeoutMs + 6000; // and what a machine with other things to do takes
const use = useCluster({ settings: { 'rtd.gateway_timeout': `${timeoutMs}ms` } }, (cluster) => createTopic(cluster, 'news'));
afterEach(closeMultiplexed);

const ended = /rtd-gateway did not answer for 4 s .*and was ended; starting it again/;

async function served(data: string) {
    await use.cluster.ready();
    const client = await Subscriber.open(use.cluster.url('news'));
    await use.cluster.sql(`SELECT rtd_broadcast('news', to_jsonb($1::text))`, [data]);
    await client.next((message) => message.data === data);
    await client.close();
}

describe('a gateway that is stopped', () => {
    test('is replaced although nothing is sent, and its clients can come back', async (t) => {
        const { cluster } = use;
        const [hub, gateway] = [await cluster.hubPid(), await cluster.gatewayPid()];
        const client = await Subscriber.open(cluster.url('news'));
        await cluster.sql(`SELECT rtd_broadcast('news', '"here"')`);
        const { id } = await client.next((message) => message.data === 'here');
        const since = cluster.logPosition();
        process.kill(gateway, 'SIGSTOP');
        const begin = Date.now();
        await cluster.sql(`SELECT rtd_broadcast('news', '"missed"')`);
        assert.equal((await within('the end of its client', client.closed, boundMs)).code, 1006);
        t.diagnostic(`after ${Date.now() - begin} ms`);
        await cluster.waitForLog(ended, since);
        await cluster.ready();
        assert.ok(!isAlive(gateway));
        assert.equal(await cluster.hubPid(), hub);
        const again = await Subscriber.open(`${cluster.url('news')}?since=${id}`);
        await again.next((message) => message.data === 'missed');
    });

    // It is the kernel that takes the connection, and nobody ever reads it.
    test('is replaced although it has no client, so that those who come are answered', async () => {
        const { cluster } = use;
        const gateway = await cluster.gatewayPid();
        const since = cluster.logPosition();
        process.kill(gateway, 'SIGSTOP');
        const socket = net.connect(cluster.rtdPort, '127.0.0.1');
        const closed = new Promise<void>((resolve) => socket.on('error', () => {}).on('close', () => resolve()));
        socket.write('GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n');
        socket.resume();
        await within('the end of the connection', closed, boundMs);
        await cluster.waitForLog(ended, since);
        await served('no client');
    });

    test('is replaced although clients are sent more than its socket takes', async () => {
        const { cluster } = use;
        const gateway = await cluster.gatewayPid();
        const client = await Subscriber.open(cluster.url('news'));
        const since = cluster.logPosition();
        process.kill(gateway, 'SIGSTOP');
        for (let n = 0; n < 20; n++) await cluster.sql(`SELECT rtd_broadcast('news', to_jsonb(repeat('x', 1000000)))`);
        assert.equal((await within('the end of its client', client.closed, boundMs)).code, 1006);
        await cluster.waitForLog(ended, since);
        await served('more than it takes');
    });

    test('is replaced every time', async () => {
        const { cluster } = use;
        for (let round = 0; round < 2; round++) {
            const gateway = await cluster.gatewayPid();
            process.kill(gateway, 'SIGSTOP');
            await waitFor('its end', () => !isAlive(gateway), { deadlineMs: boundMs });
            await served(`round ${round}`);
        }
    });

    test('takes no client of another gateway along', async () => {
        const { cluster } = use;
        await cluster.reload({ 'rtd.gateways': 2 });
        const pids = await allGateways(cluster, 2);
        const clients = await onEveryGateway(cluster, pids, () => Multiplexed.open(cluster));
        for (const { client } of clients) await client.subscribe('news');
        const [{ gateway: victim }] = clients;
        const since = cluster.logPosition();
        process.kill(victim, 'SIGSTOP');
        for (const { client, gateway } of clients) if (gateway === victim) await within('the end of its client', client.closed, boundMs);
        await cluster.waitForLog(/rtd-gateway \d of 2 did not answer/, since);
        await allGateways(cluster, 2);
        await cluster.sql(`SELECT rtd_broadcast('news', '"still here"')`);
        for (const { client, gateway } of clients)
            if (gateway !== victim) await client.next((message) => message.data === 'still here');
        await cluster.reload({ 'rtd.gateways': 1 });
        await allGateways(cluster, 1);
    });
});

describe('a gateway that only seems to be silent stays:', () => {
    /** Stops processes for longer than a gateway may be silent. */
    async function stopped(...pids: number[]) {
        for (const pid of pids) process.kill(pid, 'SIGSTOP');
        await waitFor('them to stand still', () => pids.every((pid) => processStat(pid)?.state === 'T'));
        await measureFor(1.5 * timeoutMs);
        for (const pid of pids) process.kill(pid, 'SIGCONT');
    }

    async function stays(gateway: number, client: Multiplexed, since: number) {
        await measureFor(timeoutMs + 1000); // long enough for it to be ended, if it were
        assert.equal((await client.ask({ action: 'ping' })).type, 'rtd_pong');
        assert.ok(isAlive(gateway));
        assert.doesNotMatch(use.cluster.logSince(since), ended);
    }

    test('the hub stood still', async () => {
        const { cluster } = use;
        const gateway = await cluster.gatewayPid();
        const client = await Multiplexed.open(cluster);
        const since = cluster.logPosition();
        await stopped(await cluster.hubPid());
        await stays(gateway, client, since);
    });

    test('both stood still, as on a machine that was asleep', async () => {
        const { cluster } = use;
        const gateway = await cluster.gatewayPid();
        const client = await Multiplexed.open(cluster);
        const since = cluster.logPosition();
        const hub = await cluster.hubPid();
        process.kill(gateway, 'SIGSTOP');
        await measureFor(timeoutMs / 2); // it is asked before the hub stops, too
        await stopped(gateway, hub);
        await stays(gateway, client, since);
    });

    test('somebody looks at it with a debugger', async (t) => {
        const { cluster } = use;
        const numbers: Record<string, number> = { x64: 101, arm64: 117 };
        const ptrace = numbers[process.arch];
        if (!ptrace) return t.skip(`the number of ptrace() on ${process.arch}`);
        const gateway = await cluster.gatewayPid();
        const client = await Multiplexed.open(cluster);
        const since = cluster.logPosition();
        const attach = 16;
        // It is attached until the program that looks ends.
        const script = `$| = 1; die $! if syscall(${ptrace}, ${attach}, ${gateway}, 0, 0) != 0; print "attached\\n"; <STDIN>`;
        const debugger_ = spawn('perl', ['-e', script], { stdio: ['pipe', 'pipe', 'inherit'] });
        const gone = new Promise<void>((resolve) => debugger_.on('close', () => resolve()));
        try {
            await within('the debugger', new Promise<void>((resolve) => debugger_.stdout.once('data', () => resolve())));
            await cluster.waitForLog(/rtd-gateway does not answer, and is not ended, because process \d+ traces it/, since, boundMs);
            await measureFor(2 * timeoutMs);
            assert.ok(isAlive(gateway));
            assert.equal(cluster.logSince(since).match(/is not ended/g)?.length, 1, 'said once');
        } finally {
            debugger_.stdin.end('\n');
            await within('the end of the debugger', gone);
        }
        process.kill(gateway, 'SIGCONT');
        await stays(gateway, client, since);
    });

    test('there is no bound', async () => {
        const { cluster } = use;
        await cluster.reload({ 'rtd.gateway_timeout': 0 });
        const gateway = await cluster.gatewayPid();
        const client = await Multiplexed.open(cluster);
        const since = cluster.logPosition();
        await stopped(gateway);
        await stays(gateway, client, since);
        await cluster.reload({ 'rtd.gateway_timeout': `${timeoutMs}ms` });
    });
});
