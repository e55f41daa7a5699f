// TLS, as an administrator switches it on, renews a certificate, and gets it wrong: with certificates
// of this run, clients that check them, and a real browser.

import assert from 'node:assert/strict';
import * as fs from 'node:fs';
import * as http from 'node:http';
import * as https from 'node:https';
import * as path from 'node:path';
import { after, afterEach, before, beforeEach, describe, test } from 'node:test';
import * as tls from 'node:tls';
import { Browser, chromium } from 'playwright-core';
import { makeCertificate } from '../lib/certificate';
import { closeStreams, EventStream } from '../lib/event_stream';
import { createTopic, subscriberCount, useCluster } from '../lib/harness';
import { Subscriber } from '../lib/subscriber';
import { waitFor, within } from '../lib/wait';

const use = useCluster({ settings: { 'rtd.client_buffer': '64MB' } });
afterEach(closeStreams);

const sql = (text: string, values?: unknown[]) => use.cluster.sql(text, values);
const inData = (name: string) => path.join(use.cluster.dataDir, name);
const files = () => ({ cert: inData('gateway.crt'), key: inData('gateway.key') });
const on = { 'rtd.ssl_cert_file': 'gateway.crt', 'rtd.ssl_key_file': 'gateway.key' };
const off = { 'rtd.ssl_cert_file': '', 'rtd.ssl_key_file': '' };

/** New files under the same names; the certificate is what clients trust from now on. */
function renew(name: string): string {
    return (ca = makeCertificate(files(), name, use.cluster.dataDir));
}
let ca = '';

const secureUrl = (rest: string) => `https://127.0.0.1:${use.cluster.rtdPort}${rest}`;

function open(topic: string): Promise<Subscriber> {
    return Subscriber.open(use.cluster.url(topic).replace('ws:', 'wss:'), { ca });
}

async function subscribed(topic: string): Promise<Subscriber> {
    const before = await subscriberCount(use.cluster, topic);
    const subscriber = await open(topic);
    await waitFor('the subscription', async () => (await subscriberCount(use.cluster, topic)) > before);
    return subscriber;
}

interface Answer {
    status: number;
    body: string;
}

function answerTo(request: http.ClientRequest): Promise<Answer> {
    const answer = new Promise<Answer>((resolve, reject) => {
        request.on('error', reject);
        request.on('response', (response) => {
            let body = '';
            response.setEncoding('utf8');
            response.on('data', (chunk) => (body += chunk));
            response.on('end', () => resolve({ status: response.statusCode!, body }));
            response.on('error', reject);
        });
    });
    request.end();
    return within('an answer', answer);
}
const get = (rest: string) => answerTo(https.request(secureUrl(rest), { ca, agent: false }));
const getPlain = (rest: string) => answerTo(http.request(`${use.cluster.httpUrl}${rest}`, { agent: false }));

/** The common name of the certificate that new clients see. */
async function seenName(options: tls.ConnectionOptions = {}): Promise<string> {
    const socket = tls.connect({ host: '127.0.0.1', port: use.cluster.rtdPort, rejectUnauthorized: false, ...options });
    try {
        const met = new Promise<string>((resolve, reject) => {
            socket.once('secureConnect', () => resolve(String(socket.getPeerCertificate().subject.CN)));
            socket.once('error', reject);
            socket.once('close', () => reject(new Error('closed in the handshake')));
        });
        return await within('the handshake', met);
    } finally {
        socket.destroy();
    }
}

const error = (code: string) => (thrown: any) => thrown.code === code;

/** Reloads, and waits for what the log says of it. */
async function reload(settings: Record<string, string>, said: RegExp) {
    const position = use.cluster.logPosition();
    await use.cluster.reload(settings);
    return use.cluster.waitForLog(said, position);
}

beforeEach(async () => {
    const name = `fresh-${Date.now()}`;
    renew(name);
    await reload({ ...on, 'rtd.ssl_min_protocol_version': 'TLSv1.2' }, new RegExp(`clients speak TLS; certificate: CN=${name}`));
});

describe('the port speaks TLS after two settings and a reload', () => {
    test('and in plain text only says so, until they are taken away again', async () => {
        assert.deepEqual(await get('/healthz'), { status: 200, body: '{"status":"ok"}\n' });
        assert.equal((await get('/readyz')).status, 200);
        const plain = await getPlain('/healthz');
        assert.equal(plain.status, 400);
        assert.match(JSON.parse(plain.body).error, /this port speaks TLS/);
        await reload(off, /clients speak plain text/);
        assert.equal((await getPlain('/healthz')).status, 200);
        await assert.rejects(get('/healthz'), 'a TLS client is refused');
    });

    test('with all messages: WebSocket, event stream and snapshot', async () => {
        await sql('CREATE TABLE wares (n int); INSERT INTO wares VALUES (1)');
        await createTopic(use.cluster, 'wares', `query => 'SELECT n FROM wares', throttle => '0'`);
        await sql(`SELECT rtd_watch_table('wares')`);
        const socket = await open('wares');
        const stream = await EventStream.open(secureUrl('/sse/wares'), {}, { ca });
        assert.deepEqual((await socket.next()).data, [{ n: 1 }]);
        for (const n of [2, 3]) {
            await sql('UPDATE wares SET n = $1', [n]);
            assert.deepEqual((await socket.next()).data, [{ n }]);
            await stream.next(({ message }) => message.data[0]?.n === n);
        }
        const snapshot = await get('/api/v1/topics/wares');
        assert.equal(snapshot.status, 200);
        assert.deepEqual(JSON.parse(snapshot.body).data, [{ n: 3 }]);
        await socket.close();
    });

    test('with messages of 10 MB, to quick and slow readers', async () => {
        await createTopic(use.cluster, 'large', 'retain => false');
        const quick = await subscribed('large');
        const slow = await subscribed('large');
        slow.socket.pause();
        const text = Array.from({ length: 1_500_000 }, (_, i) => `${i} `).join('');
        const expected = text.slice(0, 10_000_000);
        for (let i = 0; i < 3; i++) {
            await sql(`SELECT rtd_broadcast('large', to_jsonb($1::text))`, [expected]);
            assert.ok((await quick.next(undefined, 30_000)).data === expected);
        }
        assert.equal(slow.messages.length, 0, 'it has read nothing');
        slow.socket.resume();
        for (let i = 0; i < 3; i++) assert.ok((await slow.next(undefined, 30_000)).data === expected);
    });

    test('also after the gateway was killed', async () => {
        await createTopic(use.cluster, 'killed');
        process.kill(await use.cluster.gatewayPid(), 'SIGKILL');
        await waitFor('the gateway to be back', () => get('/healthz').catch(() => undefined));
        const client = await subscribed('killed');
        await sql(`SELECT rtd_broadcast('killed', '1')`);
        assert.equal((await client.next()).data, 1);
    });

    test('of the versions that the setting allows', async () => {
        const oldVersion = { maxVersion: 'TLSv1.2' } as const;
        assert.ok(await seenName(oldVersion));
        await use.cluster.reload({ 'rtd.ssl_min_protocol_version': 'TLSv1.3' });
        const refused = () =>
            seenName(oldVersion).then(
                () => false,
                (thrown) => thrown.code === 'ERR_SSL_TLSV1_ALERT_PROTOCOL_VERSION',
            );
        await waitFor('TLS 1.2 to be refused', refused);
        assert.ok(await seenName());
    });
});

describe('a renewed certificate', () => {
    test('is seen by new clients after a reload, and old ones stay and miss nothing', async () => {
        await createTopic(use.cluster, 'renewed');
        const clients = [await subscribed('renewed')];
        const gateway = await use.cluster.gatewayPid();
        let sent = 0;
        const broadcast = () => sql(`SELECT rtd_broadcast('renewed', $1)`, [++sent]);
        await broadcast();
        for (const name of ['second', 'third']) {
            renew(name);
            await reload({}, new RegExp(`certificate: CN=${name}`));
            assert.equal(await seenName({ ca, rejectUnauthorized: true }), name);
            const young = await open('renewed');
            assert.equal((await young.next()).data, sent, 'the retained message');
            clients.push(young);
            await broadcast();
            for (const client of clients) await client.next(({ data }) => data === sent);
        }
        assert.deepEqual(
            clients[0].messages.map(({ data }) => data),
            [1, 2, 3],
        );
        assert.equal(await use.cluster.gatewayPid(), gateway, 'the same gateway');
        for (const client of clients) await client.close();
    });
});

describe('several gateways', () => {
    test('take a renewed certificate up, each of them', async () => {
        const twice = (pattern: RegExp, since: number) =>
            waitFor(`${pattern} twice`, () => [...use.cluster.logSince(since).matchAll(pattern)].length >= 2);
        let position = use.cluster.logPosition();
        await use.cluster.reload({ 'rtd.gateways': 2 });
        await twice(/listening on 127/g, position);
        position = use.cluster.logPosition();
        renew('of-each');
        await use.cluster.reload({});
        await twice(/certificate: CN=of-each/g, position);
        for (let i = 0; i < 20; i++) assert.equal(await seenName(), 'of-each');
        position = use.cluster.logPosition();
        await use.cluster.reload({ 'rtd.gateways': 1 });
        await use.cluster.waitForLog(/listening on 127/, position);
    });
});

/** What an administrator may get wrong, and what the log says then. */
const mistakes: [what: string, make: () => Record<string, string> | void, said: RegExp][] = [
    [
        'a key of another certificate',
        () => {
            const own = fs.readFileSync(files().cert);
            renew('another');
            fs.writeFileSync(files().cert, own);
        },
        /the private key in rtd.ssl_key_file cannot be used: it is not the key of the certificate in rtd.ssl_cert_file/,
    ],
    [
        'a certificate that is none',
        () => fs.writeFileSync(files().cert, 'hello\n'),
        /the certificate in rtd.ssl_cert_file cannot be used: no start line/,
    ],
    [
        'a key that others may read',
        () => fs.chmodSync(files().key, 0o640),
        /private key file "gateway.key" may be read by others: it must belong to the server's user with mode 0600/,
    ],
    ['a file that is missing', () => fs.rmSync(files().key), /could not open private key file "gateway.key": No such file or directory/],
    ['an empty file', () => fs.writeFileSync(files().cert, ''), /certificate file "gateway.crt" is empty/],
    ['a directory', () => ({ 'rtd.ssl_cert_file': '.' }), /certificate file "." is not a regular file/],
    ['a key alone', () => ({ 'rtd.ssl_cert_file': '' }), /rtd.ssl_key_file is set, and rtd.ssl_cert_file is not/],
];

describe('after a mistake', () => {
    for (const [what, make, said] of mistakes) {
        test(`(${what}) a reload leaves everything as it was, and says why`, async () => {
            const topic = `mistake-${what.replace(/ /g, '-')}`;
            await createTopic(use.cluster, topic);
            const client = await subscribed(topic);
            const before = await seenName();
            const settings = make() ?? {};
            const position = use.cluster.logPosition();
            await reload(settings, said);
            await use.cluster.waitForLog(/HINT: {2}The gateway goes on as before. Mend the files and reload./, position);
            assert.equal(await seenName(), before);
            await sql('SELECT rtd_broadcast($1, to_jsonb(1))', [topic]);
            assert.equal((await client.next()).data, 1);
        });
    }

    for (const [what, make, said] of [mistakes[0], mistakes[2], mistakes[6]]) {
        test(`(${what}) a start does not listen, never in plain text, until a reload finds it mended`, async () => {
            const position = use.cluster.logPosition();
            await use.cluster.stop();
            use.cluster.configure(make() ?? {});
            await use.cluster.start();
            await use.cluster.waitForLog(said, position);
            await use.cluster.waitForLog(/HINT: {2}The gateway does not listen. Mend the files and reload./, position);
            await assert.rejects(getPlain('/healthz'), error('ECONNREFUSED'));
            // It is tried again by itself, with the same end.
            const again = use.cluster.logPosition();
            await use.cluster.waitForLog(said, again);
            await assert.rejects(getPlain('/healthz'), error('ECONNREFUSED'));
            assert.doesNotMatch(use.cluster.logSince(position), /listening on 127/);

            renew('mended');
            await reload(on, /certificate: CN=mended/);
            await waitFor('the gateway', () => get('/healthz').catch(() => undefined));
            assert.doesNotMatch(use.cluster.log(), /PRIVATE KEY/);
        });
    }

    test('a key of root that the server may read by its group is none', { skip: process.getuid!() !== 0 }, async () => {
        renew('of-root');
        fs.chownSync(files().key, 0, fs.statSync(use.cluster.dataDir).gid);
        fs.chmodSync(files().key, 0o640);
        await reload({}, /certificate: CN=of-root/);
        fs.chmodSync(files().key, 0o644);
        await reload({}, /private key file "gateway.key" may be read by others/);
    });
});

describe('a browser', () => {
    let browser: Browser | undefined;
    before(async () => {
        browser = await chromium.launch({
            executablePath: process.env.CHROMIUM || '/usr/bin/chromium',
            chromiumSandbox: false, // it cannot be had as root or in a container
            args: ['--ignore-certificate-errors', '--disable-gpu', '--no-first-run', '--disable-dev-shm-usage'],
        });
    });
    after(() => browser?.close());

    test("has the gateway's page under https, live over wss", async () => {
        await sql('CREATE TABLE seen (id int, note text)');
        await createTopic(use.cluster, 'seen', `query => 'SELECT * FROM seen', throttle => '0'`);
        await sql(`SELECT rtd_watch_table('seen')`);
        const page = await browser!.newPage();
        const sockets: string[] = [];
        page.on('websocket', (socket) => sockets.push(socket.url()));
        await page.goto(`https://localhost:${use.cluster.rtdPort}/#seen`);
        await page.waitForSelector('[data-topic="seen"][data-state="live"]:not([data-messages="0"])', { state: 'attached' });
        await sql(`INSERT INTO seen VALUES (1, 'over TLS')`);
        await page.waitForFunction(() =>
            (globalThis as any).document.querySelector('[data-topic="seen"]').textContent.includes('over TLS'),
        );
        assert.match(sockets[0], /^wss:/);
        await page.close();
    });
});
