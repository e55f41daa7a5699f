// Clients that ask for more than their share wait for themselves: others are answered meanwhile, and the
// hub has no more of them in memory than the links take.

import assert from 'node:assert/strict';
import { afterEach, test } from 'node:test';
import { MemoryWatch, RawClient, request } from '../lib/flood';
import { createTopic, useCluster } from '../lib/harness';
import { closeMultiplexed, Multiplexed } from '../lib/multiplexed';
import { waitFor } from '../lib/wait';

const use = useCluster({}, async (cluster) => {
    await createTopic(cluster, 'long', 'history => 10000');
    await createTopic(cluster, 'chat');
    await cluster.sql(`SELECT rtd_grant('chat', 'web_anon', 'publish')`);
});
afterEach(closeMultiplexed);

// Every request was carried out at once, however much of its predecessors' answers waited for the gateway:
// a few clients had it ended for not reading them, and all clients with it.
test('clients that ask for a long history again and again end no gateway', async (t) => {
    const { cluster } = use;
    const [hub, gateway] = [await cluster.hubPid(), await cluster.gatewayPid()];
    const reader = await Multiplexed.open(cluster);
    await reader.subscribe('long');
    await cluster.sql(`SELECT rtd_broadcast('long', to_jsonb(repeat('x', 1000))) FROM generate_series(1, 700)`);
    const { id } = await reader.next((message) => message.id);
    const watch = new MemoryWatch(hub);
    const clients = await RawClient.openMany(cluster, 20);
    for (const client of clients)
        client.send(...Array.from({ length: 95 }, () => [request({ action: 'subscribe', topic: 'long', since: id }), request({ action: 'unsubscribe', topic: 'long' })]).flat());
    const quiet = await Multiplexed.open(cluster);
    const begin = Date.now();
    assert.equal((await quiet.ask({ action: 'subscribe', topic: 'chat' })).type, 'rtd_subscribed');
    t.diagnostic(`subscribed after ${Date.now() - begin} ms`);
    assert.equal((await quiet.ask({ action: 'publish', topic: 'chat', data: 1 })).type, 'rtd_published');
    t.diagnostic(`published after ${Date.now() - begin} ms`);
    await waitFor('the others to have their answers, or to be closed', () => clients.every((client) => !client.isOpen || client.received > 95 * 100), { deadlineMs: 60_000 });
    watch.stop();
    t.diagnostic(`the hub grew by ${watch.grewMegabytes.toFixed(1)} MB`);
    assert.deepEqual([await cluster.hubPid(), await cluster.gatewayPid()], [hub, gateway]);
    assert.ok(watch.grewMegabytes < 64, `the hub grew by ${watch.grewMegabytes.toFixed(0)} MB`);
    for (const client of clients) client.socket.destroy();
});
