// Hub and gateway each bear that the other one stands still: what waits for it is bounded.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { processStat } from '../lib/cluster';
import { MemoryWatch, privateKilobytes, RawClient, request } from '../lib/flood';
import { createTopic, useCluster } from '../lib/harness';
import { Multiplexed } from '../lib/multiplexed';
import { Subscriber } from '../lib/subscriber';
import { measureFor, waitFor } from '../lib/wait';

const use = useCluster(
    {
        settings: {
            'rtd.connection_rate': 0,
            'rtd.client_message_rate': 0,
            'rtd.gateway_buffer': '1MB',
            'rtd.max_message_size': '8MB', // of which two have room in any case
            'rtd.linger': '10s',
        },
    },
    async (cluster) => {
        await createTopic(cluster, 'chat', 'history => 100');
        await cluster.sql(`SELECT rtd_grant('chat', 'web_anon', 'publish')`);
    },
);

// The gateway once exited, with all its clients, when 64 MB waited for the hub.
test('a hub that stands still costs no client its connection, and its gateway little memory', async () => {
    const { cluster } = use;
    const [hub, gateway] = [await cluster.hubPid(), await cluster.gatewayPid()];
    const clients = await RawClient.openMany(cluster, 100);
    const witness = await Multiplexed.open(cluster);
    assert.equal((await witness.ask({ action: 'subscribe', topic: 'chat' })).type, 'rtd_subscribed');
    const before = privateKilobytes(gateway);
    process.kill(hub, 'SIGSTOP');
    try {
        const storm = Buffer.concat(Array.from({ length: 40 }, () => request({ action: 'publish', topic: 'none', data: 'x'.repeat(30_000) })));
        for (const client of clients) client.send(storm); // 120 MB
        await waitFor('it to stand still too', async () => {
            const then = privateKilobytes(gateway);
            const { cpuMs } = processStat(gateway)!;
            await measureFor(300);
            return privateKilobytes(gateway) === then && processStat(gateway)!.cpuMs - cpuMs < 30; // nor does it spin
        });
        const grew = (privateKilobytes(gateway) - before) / 1024;
        assert.ok(grew < 32, `the gateway grew by ${grew.toFixed(0)} MB`);
        assert.ok(clients.every((client) => client.isOpen), 'nobody is closed');
    } finally {
        process.kill(hub, 'SIGCONT');
    }
    await waitFor('all to be answered', () => clients.every((client) => client.received > 40 * 100), { deadlineMs: 30_000 });
    assert.equal((await witness.ask({ action: 'publish', topic: 'chat', data: 1 })).type, 'rtd_published');
    assert.deepEqual([await cluster.hubPid(), await cluster.gatewayPid()], [hub, gateway]);
    for (const client of clients) client.socket.destroy();
});

// The hub once kept up to 512 MB for it.
test('a gateway that stands still is replaced when more waits for it than may', async () => {
    const { cluster } = use;
    const [hub, gateway] = [await cluster.hubPid(), await cluster.gatewayPid()];
    const client = await Subscriber.open(cluster.url('chat'));
    await cluster.sql(`SELECT rtd_broadcast('chat', '"here"')`);
    const { id } = await client.next((message) => message.data === 'here');
    const since = cluster.logPosition();
    process.kill(gateway, 'SIGSTOP');
    const watch = new MemoryWatch(hub);
    for (let n = 0; n < 60; n++) await cluster.sql(`SELECT rtd_broadcast('chat', to_jsonb(repeat('x', 1000000)))`);
    await cluster.waitForLog(/rtd-gateway did not read what it was sent, more than rtd.gateway_buffer, and was ended; starting it again/, since);
    assert.equal(Number((await client.closed).code), 1006);
    await cluster.ready();
    assert.ok(watch.grewMegabytes < 40, `the hub grew by ${watch.grewMegabytes.toFixed(0)} MB`);
    watch.stop();
    assert.equal(await cluster.hubPid(), hub);
    // Whoever comes back is told what it missed, or that it missed something.
    const again = await Subscriber.open(cluster.url('chat') + `?since=${id}`);
    await cluster.sql(`SELECT rtd_broadcast('chat', '"back"')`);
    await again.next((message) => message.data === 'back');
});

// What a slow gateway has waiting is given back, and so is what a large message took.
test('the hub gives back the memory of a burst', async () => {
    const { cluster } = use;
    await cluster.reload({ 'rtd.gateway_buffer': '256MB' });
    const [hub, gateway] = [await cluster.hubPid(), await cluster.gatewayPid()];
    const client = await Subscriber.open(cluster.url('chat'));
    const before = privateKilobytes(hub);
    process.kill(gateway, 'SIGSTOP');
    for (let n = 0; n < 60; n++) await cluster.sql(`SELECT rtd_broadcast('chat', to_jsonb(repeat('x', 1000000)))`);
    await waitFor('the burst to wait in the hub', () => privateKilobytes(hub) > before + 40 * 1024);
    process.kill(gateway, 'SIGCONT');
    await waitFor('the memory to be given back', () => privateKilobytes(hub) < before + 8 * 1024, { deadlineMs: 20_000 });
    assert.equal(await cluster.gatewayPid(), gateway);
    client.socket.close();
});
