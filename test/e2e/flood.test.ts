// What anonymous clients send is bounded in the hub, whose death by memory would restart the server,
// and ends no gateway. Each test is a way of flooding.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Cluster } from '../lib/cluster';
import { MemoryWatch, RawClient, request } from '../lib/flood';
import { createTopic, useCluster } from '../lib/harness';
import { Multiplexed } from '../lib/multiplexed';
import { waitFor } from '../lib/wait';

const instanceMegabytes = 32;
const mostMegabytes = 64 + instanceMegabytes;
const use = useCluster(
    {
        settings: {
            'rtd.connection_rate': 0,
            'rtd.client_message_rate': 0, // the bounds must hold without it
            'rtd.linger': '1s',
            'rtd.instance_memory': `${instanceMegabytes}MB`, // the named cache
        },
    },
    prepare,
);

async function prepare(cluster: Cluster) {
    await createTopic(cluster, 'room', `parameters => '{name}'`);
    await createTopic(cluster, 'chat');
    await createTopic(cluster, 'echo', `parameters => '{name}', query => 'SELECT repeat($1, 20) AS text'`);
    await createTopic(cluster, 'rows', `parameters => '{name}', query => 'SELECT n AS id, $1 || n AS text FROM generate_series(1, 20) n', key => '{id}'`);
    await cluster.sql(`SELECT rtd_grant('chat', 'web_anon', 'publish')`);
}

/** The hub's memory and the gateway's life during a flood. */
async function watched(flood: (clients: RawClient[], watch: MemoryWatch) => Promise<void>) {
    const cluster = use.cluster;
    const [hub, gateway] = [await cluster.hubPid(), await cluster.gatewayPid()];
    const watch = new MemoryWatch(hub);
    const clients: RawClient[] = [];
    const member = await Multiplexed.open(cluster);
    assert.equal((await member.ask({ action: 'subscribe', topic: 'chat' })).type, 'rtd_subscribed');
    try {
        await flood(clients, watch);
        // Whoever is not one of them is served, which also says that the hub has handled what came before.
        const witness = await Multiplexed.open(cluster);
        assert.equal((await witness.ask({ action: 'ping' })).type, 'rtd_pong');
        assert.equal((await witness.ask({ action: 'subscribe', topic: 'chat' })).type, 'rtd_subscribed');
        witness.socket.close();
        await witness.closed;
    } finally {
        watch.stop();
        for (const client of clients) client.socket.destroy();
        member.socket.close();
        await member.closed;
    }
    console.log(`# hub grew by ${watch.grewMegabytes.toFixed(1)} MB, kept ${watch.keptMegabytes.toFixed(1)}`);
    assert.deepEqual([await cluster.hubPid(), await cluster.gatewayPid()], [hub, gateway], 'nobody ended');
    assert.ok(watch.grewMegabytes < mostMegabytes, `the hub grew by ${watch.grewMegabytes.toFixed(0)} MB`);
    await waitFor('memory to be given back', () => watch.keptMegabytes < 24, { deadlineMs: 30_000 });
    const left = () => cluster.value(`SELECT rtd_broadcast('chat', '1')`);
    await waitFor('all to be gone', async () => Number(await left()) === 0, { deadlineMs: 60_000 });
}

const long = 'x'.repeat(900);

for (const [topic, count] of [['room', 500], ['echo', 150], ['rows', 150]] as const)
    test(`subscribers of a hundred instances of "${topic}" each are refused beyond a bound`, async () => {
        const since = use.cluster.logPosition();
        await watched(async (clients) => {
            clients.push(...(await RawClient.openMany(use.cluster, count)));
            clients.forEach((client, c) => {
                for (let n = 0; n < 100; n++) client.send(request({ action: 'subscribe', topic, params: [`${long}${c}.${n}`] }));
            });
            await waitFor('answers', () => clients.every((client) => client.received > 100 * 900), { deadlineMs: 60_000, everyMs: 50 });
            await waitFor('a refusal', () => clients.some((client) => client.isRefused), { deadlineMs: 60_000 });
        });
        if (topic === 'room') await use.cluster.waitForLog(/subscriptions are refused: .* \(rtd\.instance_memory\)/, since);
        // There is room again once they are gone.
        await waitFor('room', async () => {
            const client = await Multiplexed.open(use.cluster);
            const answer = await client.ask({ action: 'subscribe', topic: 'room', params: ['one more'] });
            client.socket.close();
            return answer.type === 'rtd_subscribed';
        });
    });

test('a storm of refused requests from clients that do not read', async () => {
    await watched(async (clients) => {
        clients.push(...(await RawClient.openMany(use.cluster, 200)));
        const storm = Buffer.concat(
            Array.from({ length: 500 }, (_, n) => request({ action: 'subscribe', topic: `no-${n}`, params: [long] })),
        );
        for (const client of clients) {
            client.stopReading();
            client.send(storm, storm, storm, storm);
        }
        await waitFor('the storm to be over', () => clients.every((client) => !client.isOpen || client.socket.writableLength === 0), { deadlineMs: 120_000, everyMs: 50 });
    });
});

test('subscribing and unsubscribing without an end', async () => {
    await watched(async (clients) => {
        clients.push(...(await RawClient.openMany(use.cluster, 200)));
        clients.forEach((client, c) => {
            for (let n = 0; n < 500; n++) {
                const topic = { topic: 'room', params: [`${long}${c}.${n}`] };
                client.send(request({ action: 'subscribe', ...topic, since: n % 2 ? `${n}-${n}` : 'nonsense' }), request({ action: 'unsubscribe', ...topic }));
            }
        });
        await waitFor('answers', () => clients.every((client) => client.received > 500 * 100), { deadlineMs: 60_000, everyMs: 50 });
    });
});

test('publishers, with a grant and without', async () => {
    await watched(async (clients) => {
        clients.push(...(await RawClient.openMany(use.cluster, 300)));
        clients.forEach((client, c) => {
            for (let n = 0; n < 60; n++)
                client.send(request({ action: 'publish', topic: c % 2 ? 'chat' : 'room', params: c % 2 ? [] : ['a'], data: long.repeat(40) }));
        });
        await waitFor('answers', () => clients.every((client) => !client.isOpen || client.received > 60 * 100), { deadlineMs: 60_000, everyMs: 50 });
    });
});
