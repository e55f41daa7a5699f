// permessage-deflate with clients that others have written: Chromium, and ws for Node. A relay in
// between counts what really goes over the wire.

import assert from 'node:assert/strict';
import * as net from 'node:net';
import { after, afterEach, describe, test } from 'node:test';
import { Browser, chromium } from 'playwright-core';
import { createTopic, subscribe, subscriberCount, useCluster } from '../lib/harness';
import { Subscriber, WebSocket } from '../lib/subscriber';
import { waitFor, within } from '../lib/wait';

const use = useCluster({ settings: { 'rtd.client_buffer': '64MB' } });
const sql = (text: string, values?: unknown[]) => use.cluster.sql(text, values);

/** Passes connections on to the gateway and counts the bytes that come back. */
class Relay {
    received = 0;
    private readonly sockets = new Set<net.Socket>();
    private readonly server = net.createServer((client) => {
        const gateway = net.connect(use.cluster.rtdPort, '127.0.0.1');
        gateway.on('data', (chunk) => (this.received += chunk.length));
        for (const [from, to] of [
            [client, gateway],
            [gateway, client],
        ]) {
            this.sockets.add(from);
            from.on('error', () => to.destroy());
            from.on('close', () => (this.sockets.delete(from), to.destroy()));
            from.pipe(to);
        }
    });

    static async start() {
        const relay = new Relay();
        await new Promise<void>((resolve) => relay.server.listen(0, '127.0.0.1', resolve));
        relays.push(relay);
        return relay;
    }
    get port() {
        return (this.server.address() as net.AddressInfo).port;
    }
    stop() {
        for (const socket of this.sockets) socket.destroy();
        this.server.close();
    }
}
const relays: Relay[] = [];
afterEach(() => {
    for (const relay of relays.splice(0)) relay.stop();
});

/** A state of about that many bytes, with characters of several bytes. */
async function stateTopic(topic: string, rows: number) {
    const table = topic.replace(/-/g, '_');
    await sql(`CREATE TABLE ${table} AS SELECT id, 'größer als ' || id || ' €' AS title, 0 AS n
                 FROM generate_series(1, ${rows}) AS id`);
    await createTopic(use.cluster, topic, `throttle => '0', query => 'SELECT * FROM ${table} ORDER BY id'`);
    await sql(`SELECT rtd_watch_table('${table}', '${topic}', columns => '{id}')`);
    return table;
}

describe('Chromium', () => {
    let browser: Browser | undefined;
    after(() => browser?.close());

    test('gets messages of all sizes compressed, each as it was sent', async (t) => {
        browser = await chromium.launch({
            executablePath: process.env.CHROMIUM || '/usr/bin/chromium',
            chromiumSandbox: false, // it cannot be had as root or in a container, and only our own page is opened
            args: ['--disable-gpu', '--no-first-run', '--disable-background-networking', '--disable-dev-shm-usage'],
        });
        const relay = await Relay.start();
        const tab = await browser.newPage();
        await tab.goto(`http://127.0.0.1:${relay.port}/`);
        await createTopic(use.cluster, 'in-chromium');
        await tab.evaluate(`
            window.messages = [];
            window.socket = new WebSocket('ws://127.0.0.1:${relay.port}/ws/in-chromium');
            socket.onmessage = (event) => messages.push(JSON.parse(event.data).data);`);
        await waitFor('the handshake', () => tab.evaluate('socket.readyState === WebSocket.OPEN'));
        await waitFor('the subscription', async () => (await subscriberCount(use.cluster, 'in-chromium')) === 1);
        assert.match((await tab.evaluate('socket.extensions')) as string, /^permessage-deflate/);

        const before = relay.received;
        const sizes = [1, 500, 1_000, 5_000, 60_000, 700_000, 3_000_000, 2_000];
        const sent: { text: string }[] = sizes.map((size) => {
            const sentence = `größer als ${size} € 😀 `;
            return { text: sentence.repeat(Math.ceil(size / sentence.length)) };
        });
        for (const message of sent) await sql(`SELECT rtd_broadcast('in-chromium', $1)`, [message]);
        await waitFor('all messages', () => tab.evaluate(`messages.length === ${sizes.length}`), { deadlineMs: 30_000 });
        assert.deepEqual(await tab.evaluate('messages'), sent);

        const bytes = (texts: { text: string }[]) =>
            texts.reduce((sum, { text }) => sum + Buffer.byteLength(text), 0);
        const isPlain = ({ text }: { text: string }) => Buffer.byteLength(text) > 1 << 20; // and comes as it is
        const plain = bytes(sent.filter(isPlain));
        const compressed = bytes(sent) - plain;
        const overhead = relay.received - before - plain;
        t.diagnostic(`${compressed} bytes came as ${overhead}`);
        assert.ok(overhead > 0 && overhead < compressed / 10, `${overhead} of ${compressed} bytes`);
    });

    test('gets a state and its changes, and may compress what it says', async () => {
        const table = await stateTopic('page-state', 2000);
        await createTopic(use.cluster, 'page-chat');
        await sql(`SELECT rtd_grant('page-chat', 'web_anon', 'publish')`);
        const relay = await Relay.start();
        const tab = await browser!.newPage();
        await tab.goto(`http://127.0.0.1:${relay.port}/`);
        await tab.evaluate(`
            window.states = [];
            window.socket = new WebSocket('ws://127.0.0.1:${relay.port}/ws');
            socket.onopen = () => socket.send(JSON.stringify({ action: 'subscribe', topic: 'page-state' }));
            socket.onmessage = (event) => {
                const message = JSON.parse(event.data);
                if (message.kind === 'snapshot') states.push(message.data);
            };`);
        await waitFor('the state', () => tab.evaluate('states.length === 1'));
        await sql(`UPDATE ${table} SET n = 7 WHERE id = 2000`);
        await waitFor('the change', () => tab.evaluate('states.length === 2'));
        const { rows } = await use.cluster.query(`SELECT * FROM ${table} ORDER BY id`);
        assert.deepEqual(await tab.evaluate('states[1]'), rows);

        const listener = await subscribe(use.cluster, 'page-chat');
        const text = 'Grüße, '.repeat(2000); // Chromium compresses every message it sends
        await tab.evaluate(`socket.send(JSON.stringify({ action: 'publish', topic: 'page-chat', data: ${JSON.stringify(text)} }))`);
        assert.equal((await listener.next()).data, text);
    });
});

describe('a client for Node', () => {
    const open = async (topic: string, perMessageDeflate: boolean) => {
        const relay = await Relay.start();
        const client = await Subscriber.open(`ws://127.0.0.1:${relay.port}/ws/${topic}`, { perMessageDeflate });
        return { relay, client };
    };

    test('that offers compression and one that does not get the same messages', async () => {
        const table = await stateTopic('side-by-side', 1000);
        const compressed = await open('side-by-side', true);
        const plain = await open('side-by-side', false);
        assert.match(compressed.client.socket.extensions, /permessage-deflate/);
        assert.equal(plain.client.socket.extensions, '');
        for (let n = 1; n <= 10; n++) {
            await sql(`UPDATE ${table} SET n = $1 WHERE id = 500`, [n]);
            for (const { client } of [compressed, plain]) await client.next(({ data }) => data[499].n === n);
        }
        assert.equal(compressed.client.texts.at(-1), plain.client.texts.at(-1));
        assert.ok(
            compressed.relay.received < plain.relay.received / 3,
            `${compressed.relay.received} of ${plain.relay.received} bytes`,
        );
    });

    test('gets all rows of a keyed topic and every change', async () => {
        await sql(`CREATE TABLE keyed_rows AS SELECT id, repeat('ä', 100) AS note FROM generate_series(1, 3000) AS id;
                   ALTER TABLE keyed_rows ADD PRIMARY KEY (id)`);
        await createTopic(use.cluster, 'keyed-rows', `key => '{id}', query => 'SELECT id, note FROM keyed_rows'`);
        await sql(`SELECT rtd_watch_table('keyed_rows')`);
        const { client } = await open('keyed-rows', true);
        const rows = new Map<number, string>();
        for (const { id, note } of (await client.next()).data) rows.set(id, note);
        await sql(`UPDATE keyed_rows SET note = note || id WHERE id % 10 = 0; DELETE FROM keyed_rows WHERE id = 5`);
        const { data } = await client.next(({ data }) => data.remove.length > 0);
        for (const message of client.messages.slice(1)) {
            for (const { id } of message.data.remove) rows.delete(id);
            for (const { id, note } of message.data.upsert) rows.set(id, note);
        }
        assert.deepEqual(data.remove, [{ id: 5 }]);
        const { rows: expected } = await use.cluster.query('SELECT id, note FROM keyed_rows');
        assert.deepEqual(rows, new Map(expected.map(({ id, note }: any) => [id, note])));
    });

    test('gets its messages as they are once rtd.compression is off', async () => {
        await createTopic(use.cluster, 'turned-off');
        const { client, relay } = await open('turned-off', true);
        await waitFor('the subscription', async () => (await subscriberCount(use.cluster, 'turned-off')) === 1);
        await use.cluster.reload({ 'rtd.compression': 'off' });
        const offers = async () => {
            const other = await Subscriber.open(use.cluster.url('turned-off'));
            const { extensions } = other.socket;
            await other.close();
            return extensions !== '';
        };
        await waitFor('the setting to be in force', async () => !(await offers()));
        const before = relay.received;
        const text = 'x'.repeat(100_000);
        await sql(`SELECT rtd_broadcast('turned-off', to_jsonb($1::text))`, [text]);
        assert.equal((await client.next()).data, text);
        assert.ok(relay.received - before > 100_000);
        await use.cluster.reload({ 'rtd.compression': 'on' });
        await waitFor('the setting to be in force', offers);
    });

    test('that sends a zip bomb is closed with 1009, and nobody else notices', async () => {
        await createTopic(use.cluster, 'beside-a-bomb');
        const bystander = await subscribe(use.cluster, 'beside-a-bomb');
        const pid = await use.cluster.gatewayPid();
        const socket = new WebSocket(`ws://127.0.0.1:${use.cluster.rtdPort}/ws`, {
            perMessageDeflate: { threshold: 0 },
        });
        const closed = new Promise<[number, string]>((resolve) =>
            socket.on('close', (code, reason) => resolve([code, reason.toString()])),
        );
        socket.on('open', () => socket.send(' '.repeat(30 << 20))); // 30 kB, once it is compressed
        const [code, reason] = await within('the client to be closed', closed, 30_000);
        assert.deepEqual([code, reason], [1009, 'a message may have at most 65536 bytes, once it is decompressed']);
        await sql(`SELECT rtd_broadcast('beside-a-bomb', '"still here"')`);
        assert.equal((await bystander.next()).data, 'still here');
        assert.equal(await use.cluster.gatewayPid(), pid);
    });
});
