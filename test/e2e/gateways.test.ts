// Several gateways share the port: clients cannot tell which one they have, but by its death.

import assert from 'node:assert/strict';
import * as net from 'node:net';
import { afterEach, describe, test } from 'node:test';
import { Cluster, isAlive } from '../lib/cluster';
import { Follower } from '../lib/follower';
import { allGateways, clientsOfEach, gatewayPids, onEveryGateway } from '../lib/gateways';
import { createTopic, subscriberCount, useCluster } from '../lib/harness';
import { closeMultiplexed, Multiplexed } from '../lib/multiplexed';
import { startPgbench } from '../lib/pgbench';
import { Subscriber, UpgradeRefused } from '../lib/subscriber';
import { waitFor, within } from '../lib/wait';

const gateways = 3;
const use = useCluster({ settings: { 'rtd.gateways': gateways, 'rtd.event_log_level': 'log' } });
afterEach(closeMultiplexed);

const sql = (text: string, values?: unknown[]) => use.cluster.sql(text, values);
const running = () => allGateways(use.cluster, gateways);

/** Clients of a topic, some on every gateway, all known to the hub. */
async function subscribeEverywhere(topic: string, count: number) {
    const open = () => Subscriber.open(use.cluster.url(topic));
    const clients = await onEveryGateway(use.cluster, await running(), open, count);
    await waitFor('all subscriptions', async () => (await subscriberCount(use.cluster, topic)) === clients.length);
    return clients;
}

async function killAndWait(pid: number) {
    process.kill(pid, 'SIGKILL');
    await waitFor('its end', () => !isAlive(pid));
}

describe('clients of three gateways', () => {
    test('get the same bytes with the same ids in the same order', async (t) => {
        await createTopic(use.cluster, 'shared', `retain => false, history => 10000`);
        const clients = await subscribeEverywhere('shared', 24);
        const perGateway = await clientsOfEach(use.cluster);
        t.diagnostic(`clients per gateway: ${[...perGateway.values()].join(', ')}`);
        assert.equal(perGateway.size, gateways);
        assert.ok([...perGateway.values()].every((n) => n > 0));

        const sessions = 8;
        const each = 100;
        const script = `SELECT rtd_broadcast('shared', jsonb_build_object('session', :client_id::int, 'n', random()))`;
        const load = startPgbench(use.cluster, [script], { clients: sessions, transactions: each });
        assert.equal(await within('pgbench', load.done, 60_000), 0, load.output());
        for (const { client } of clients)
            await waitFor('all messages', () => client.messages.length >= sessions * each, { deadlineMs: 30_000 });
        const [first, ...others] = clients.map(({ client }) => client.texts);
        assert.equal(first.length, sessions * each);
        for (const texts of others) assert.deepEqual(texts, first);
        for (const { client } of clients) await client.close(); // throws what was wrong with a message
    });

    test('of a state see every change, and it is one message for all', async () => {
        await sql('CREATE TABLE seen (n int); INSERT INTO seen VALUES (0)');
        await createTopic(use.cluster, 'seen', `query => 'SELECT n FROM seen', throttle => '0'`);
        await sql(`SELECT rtd_watch_table('seen', columns => '{n}')`);
        const clients = await subscribeEverywhere('seen', 9);
        for (const { client } of clients) assert.equal((await client.next()).data[0].n, 0);
        for (let n = 1; n <= 20; n++) {
            await sql('UPDATE seen SET n = $1', [n]);
            const ids = [];
            for (const { client } of clients) ids.push((await client.next(({ data }) => data[0].n === n)).id);
            assert.equal(new Set(ids).size, 1, 'one message for all');
        }
        for (const { client } of clients) await client.close();
    });

    test('are counted together, by rtd_broadcast() and in the log', async () => {
        await createTopic(use.cluster, 'counted', 'retain => false');
        await waitFor('nobody else', async () => [...(await clientsOfEach(use.cluster)).values()].every((n) => n === 0));
        const position = use.cluster.logPosition();
        const clients = await subscribeEverywhere('counted', 7);
        const totals = () => [...use.cluster.logSince(position).matchAll(/Client connected: .* \((\d+) total\)/g)].map((m) => Number(m[1]));
        await waitFor('the log', () => totals().length >= clients.length);
        assert.deepEqual(totals(), clients.map((_, i) => i + 1));
        await clients[0].client.close();
        await use.cluster.waitForLog(new RegExp(`Client disconnected: .* \\(${clients.length - 1} remaining\\)`), position);
        await waitFor('one less', async () => (await subscriberCount(use.cluster, 'counted')) === clients.length - 1);
        for (const { client } of clients.slice(1)) await client.close();
    });

    test('publish and subscribe over one connection, whichever gateway it is on', async () => {
        await createTopic(use.cluster, 'talk', 'retain => false');
        await sql(`SELECT rtd_grant('talk', 'web_anon', 'publish')`);
        const clients = await onEveryGateway(use.cluster, await running(), () => Multiplexed.open(use.cluster));
        for (const { client } of clients) await client.subscribe('talk');
        for (const [index, { client }] of clients.entries()) {
            const answer = await client.ask({ action: 'publish', topic: 'talk', data: index });
            assert.equal(answer.type, 'rtd_published', answer.text);
            assert.equal(answer.data.subscribers, clients.length, 'of all gateways');
            const ids = [];
            for (const other of clients) ids.push((await other.client.next((message) => message.data === index)).id);
            assert.equal(new Set(ids).size, 1);
        }
        assert.equal((await clients[0].client.ask({ action: 'unsubscribe', topic: 'talk' })).type, 'rtd_unsubscribed');
        await waitFor('one less', async () => (await subscriberCount(use.cluster, 'talk')) === clients.length - 1);
    });

    test('learn from each of them that the server is ready', async () => {
        const pids = await running();
        const open = async () => {
            const socket = await connect(use.cluster.rtdPort);
            socket.write('GET /readyz HTTP/1.1\r\n'); // the kernel keeps who says nothing to itself for a while
            return { socket };
        };
        for (const { client } of await onEveryGateway(use.cluster, pids, open)) {
            const answer = new Promise<string>((resolve, reject) => {
                let text = '';
                client.socket.on('data', (chunk) => (text += chunk)).on('error', reject);
                client.socket.on('end', () => resolve(text));
            });
            client.socket.write('Host: localhost\r\n\r\n');
            assert.match(await within('the answer', answer), /^HTTP\/1\.1 200 /);
        }
    });
});

function connect(port: number): Promise<net.Socket> {
    return new Promise((resolve, reject) => {
        const socket = net.connect(port, '127.0.0.1', () => resolve(socket));
        socket.once('error', reject);
    });
}

describe('a gateway that is killed', () => {
    test('under load costs its own clients a reconnect, and nobody a message', async (t) => {
        await createTopic(use.cluster, 'followed', `retain => false, history => 10000`);
        const others = await subscribeEverywhere('followed', 6);
        const followers: Follower[] = [];
        for (let n = 0; n < 12; n++) followers.push(await Follower.open(use.cluster, 'followed'));
        const hub = await use.cluster.hubPid();
        const script = `SELECT rtd_broadcast('followed', to_jsonb(random()))`;
        const load = startPgbench(use.cluster, [script], { clients: 4, seconds: 20, options: ['-R', '400'] });
        try {
            for (const follower of followers) await follower.received(50);
            // Whatever has clients, and the one that replaced the first.
            for (let round = 0; round < 3; round++) {
                const counts = [...(await clientsOfEach(use.cluster))].sort(([, a], [, b]) => b - a);
                const [victim, clients] = counts[0];
                const killed = others.filter(({ gateway }) => gateway === victim);
                const spared = others.filter(({ client, gateway }) => gateway !== victim && client.socket.readyState === client.socket.OPEN);
                t.diagnostic(`killed ${victim} with ${clients} clients, others have ${counts.slice(1).map(([, n]) => n)}`);
                await killAndWait(victim);
                for (const { client } of killed) await within('the end of its client', client.closed);
                const seen = followers.map(({ messages }) => messages.length);
                for (const [n, follower] of followers.entries()) await follower.received(seen[n] + 50);
                for (const { client } of spared) assert.equal(client.socket.readyState, client.socket.OPEN);
                await running();
                const open = others.filter(({ client }) => client.socket.readyState === client.socket.OPEN).length;
                await waitFor('the count of all gateways', async () => (await subscriberCount(use.cluster, 'followed')) === open + followers.length);
            }
        } finally {
            load.stop();
            await load.done;
        }
        // What a session was told is carried out although its client is gone.
        await waitFor('the end of the load', async () => {
            const [{ count }] = await sql(`SELECT count(*) FROM pg_stat_activity WHERE application_name = 'pgbench'`);
            return count === '0';
        });
        assert.ok(followers.some(({ connects }) => connects > 1), 'somebody was hit');
        await sql(`SELECT rtd_broadcast('followed', '"end"')`);
        for (const follower of followers) {
            await waitFor('the end', () => (follower.check(), follower.messages.at(-1)?.data === 'end'));
            // The first may have come before or after the load began; from there on all have all.
            const from = followers[0].messages.findIndex(({ id }) => id === follower.messages[0].id);
            assert.deepEqual(follower.messages.map(({ id }) => id), followers[0].messages.slice(from).map(({ id }) => id));
        }
        assert.equal(await use.cluster.hubPid(), hub);
        t.diagnostic(`${followers[0].messages.length} messages; connects: ${followers.map(({ connects }) => connects)}`);
        for (const follower of followers) await follower.close();
        for (const { client } of others) client.socket.terminate();
    });

    test('takes its own subscriptions out of the count, and no others', async () => {
        await createTopic(use.cluster, 'left', 'retain => false');
        const clients = await subscribeEverywhere('left', 9);
        const [{ gateway: victim }] = clients;
        const spared = clients.filter(({ gateway }) => gateway !== victim);
        await killAndWait(victim);
        await waitFor('the count', async () => (await subscriberCount(use.cluster, 'left')) === spared.length);
        await sql(`SELECT rtd_broadcast('left', '1')`);
        for (const { client } of spared) assert.equal((await client.next()).data, 1);
        for (const { client } of spared) await client.close();
        await running();
    });

    test('with a message that it was publishing leaves the others their answers', async () => {
        await createTopic(use.cluster, 'said', 'retain => false');
        await sql(`SELECT rtd_grant('said', 'web_anon', 'publish')`);
        const clients = await onEveryGateway(use.cluster, await running(), () => Multiplexed.open(use.cluster));
        const [{ gateway: victim }] = clients;
        for (const { client, gateway } of clients.filter(({ gateway }) => gateway === victim))
            for (let n = 0; n < 40; n++) client.send({ action: 'publish', topic: 'said', data: gateway });
        const asked = clients
            .filter(({ gateway }) => gateway !== victim)
            .map(({ client }) => client.ask({ action: 'publish', topic: 'said', data: 1 }));
        process.kill(victim, 'SIGKILL');
        for (const answer of await Promise.all(asked)) assert.equal(answer.type, 'rtd_published', answer.text);
        await running();
        await use.cluster.ready();
    });

    test('is replaced also if all die at once', async () => {
        const pids = await running();
        for (const pid of pids) process.kill(pid, 'SIGKILL');
        await waitFor('their end', () => !pids.some(isAlive));
        const again = await running();
        assert.ok(!again.some((pid) => pids.includes(pid)));
        await use.cluster.ready();
    });
});

describe('settings', () => {
    test('rtd.max_clients is a total, of which each gateway takes an equal share', async () => {
        await createTopic(use.cluster, 'full');
        await waitFor('nobody else', async () => [...(await clientsOfEach(use.cluster)).values()].every((n) => n === 0));
        await use.cluster.reload({ 'rtd.max_clients': 5 });
        const share = 2; // 5 / 3, rounded up
        const position = use.cluster.logPosition();
        let refused = 0;
        const open: Subscriber[] = [];
        await waitFor('every gateway to be full', async () => {
            try {
                open.push(await Subscriber.open(use.cluster.url('full')));
            } catch (error) {
                assert.ok(error instanceof UpgradeRefused && error.status === 503, String(error));
                refused++;
            }
            return [...(await clientsOfEach(use.cluster)).values()].every((n) => n === share) && refused > 0;
        });
        assert.equal(open.length, gateways * share);
        assert.ok(Math.max(...[...use.cluster.logSince(position).matchAll(/\((\d+) total\)/g)].map((m) => Number(m[1]))) <= gateways * share);
        await use.cluster.reload({ 'rtd.max_clients': 1000 });
        for (const client of open) await client.close();
    });

    test('rtd.gateways follows a reload: clients are closed once, and as many gateways run as are wanted', async () => {
        await createTopic(use.cluster, 'resized', 'retain => false');
        for (const count of [1, 2, gateways]) {
            const before = await gatewayPids(use.cluster);
            const clients = await onEveryGateway(use.cluster, before, () => Subscriber.open(use.cluster.url('resized')));
            await use.cluster.reload({ 'rtd.gateways': count });
            for (const { client } of clients) assert.equal((await within('the close', client.closed)).code, 1001);
            await waitFor('the end of those before', () => !before.some(isAlive));
            await allGateways(use.cluster, count);
            await use.cluster.ready();
        }
    });
});

describe('a port', () => {
    let second: Cluster | undefined;
    afterEach(() => second?.destroy());

    test('that gateways of another server of the same user share is in use, until they end', async () => {
        const port = use.cluster.rtdPort;
        second = await Cluster.create({ settings: { 'rtd.gateways': gateways, 'rtd.port': port }, install: false });
        const admin = await second.connect({ database: 'postgres' });
        await admin.query(`CREATE DATABASE ${second.database}`);
        await second.sql('CREATE EXTENSION rtd');
        await second.waitForLog(new RegExp(`could not listen on \\S+:${port}: Address already in use`), 0, 20_000);
        assert.doesNotMatch(second.log(), new RegExp(`listening on \\S+:${port}`));
        assert.doesNotMatch(second.log(), /rtd-gateway [23] of 3/, 'the others wait until the first has the port');
        await use.cluster.ready();

        await use.cluster.stop();
        await second.waitForLog(/listening on .* \(rtd-gateway 3 of 3\)/, 0, 40_000);
        await use.cluster.start();
        await use.cluster.waitForLog(/could not listen on .*: Address already in use/, 0, 20_000);
        await second.stop();
        await use.cluster.ready(60_000);
    });

    test('is left by all gateways when the server stops, with a close frame to every client', async () => {
        await createTopic(use.cluster, 'ended', 'retain => false');
        const clients = await subscribeEverywhere('ended', 6);
        const pids = await running();
        const begin = Date.now();
        await use.cluster.closeConnections();
        await use.cluster.stop('fast', 10_000);
        for (const { client } of clients) assert.equal((await within('the close', client.closed)).code, 1001);
        assert.ok(!pids.some(isAlive));
        assert.ok(Date.now() - begin < 8000, `${Date.now() - begin} ms`);
        await use.cluster.start();
        await use.cluster.ready();
    });
});
