// Pages of other origins in a real browser: subprotocols, credentials, preflights, event streams
// that come back with the id of another server, and heartbeats.

import assert from 'node:assert/strict';
import * as http from 'node:http';
import { after, before, describe, test } from 'node:test';
import type { Browser, Page } from 'playwright-core';
import { launchBrowser, serve, servePage } from '../lib/browser';
import { createTopic, useCluster } from '../lib/harness';
import { Subscriber, UpgradeRefused } from '../lib/subscriber';
import { waitFor, within } from '../lib/wait';

const use = useCluster();
const servers: http.Server[] = [];
let browser: Browser | undefined;
let port: number;

before(async () => {
    const page = await servePage();
    servers.push(page.server);
    port = page.port;
    browser = await launchBrowser();
});
after(async () => {
    await browser?.close();
    for (const server of servers) {
        server.closeAllConnections();
        server.close();
    }
});

const text = JSON.stringify;

/** The headers that a page of that origin gets, over a connection of its own. */
const headersFor = (origin: string) =>
    new Promise<http.IncomingHttpHeaders>((resolve, reject) => {
        const request = http.get(`${use.cluster.httpUrl}/healthz`, { headers: { origin }, agent: false }, (response) => {
            response.resume();
            response.on('end', () => resolve(response.headers));
        });
        request.on('error', reject);
    });
const wsUrl = (path: string) => `ws://127.0.0.1:${use.cluster.rtdPort}${path}`;

/** A page whose origin is http://<host>:<port>; *.localhost is this machine for every browser. */
async function openPage(host: string): Promise<{ tab: Page; origin: string }> {
    const origin = `http://${host}:${port}`;
    const tab = await browser!.newPage();
    await tab.goto(`${origin}/`);
    return { tab, origin };
}

async function allow(origins: string, origin: string, credentials: string | null = 'true') {
    await use.cluster.reload({ 'rtd.allowed_origins': origins });
    await waitFor(`${origins} to be in force`, async () => {
        const headers = await headersFor(origin);
        return headers['access-control-allow-origin'] === origin && (headers['access-control-allow-credentials'] ?? null) === credentials;
    });
}

/** What a WebSocket of the page comes to: its subprotocol and first message, or its close code. */
const openWebSocket = (tab: Page, path: string, protocols: string[]) =>
    within(
        `a WebSocket of the page to ${path}`,
        tab.evaluate(
            `new Promise((resolve) => {
                const socket = new WebSocket(${text(wsUrl(path))}, ${text(protocols)});
                socket.onmessage = (event) => resolve({ protocol: socket.protocol, data: JSON.parse(event.data).data });
                socket.onclose = (event) => resolve({ code: event.code });
            })`,
        ) as Promise<any>,
    );

describe('a WebSocket of a page', () => {
    test('that offers the subprotocol rtd among others gets it; one that offers only others is refused', async () => {
        await createTopic(use.cluster, 'offered');
        await use.cluster.sql(`SELECT rtd_broadcast('offered', '1')`);
        const { tab, origin } = await openPage('localhost');
        await allow(origin, origin);
        assert.deepEqual(await openWebSocket(tab, '/ws/offered', ['rtd']), { protocol: 'rtd', data: 1 });
        assert.deepEqual(await openWebSocket(tab, '/ws/offered', ['graphql-ws', 'rtd']), { protocol: 'rtd', data: 1 });
        assert.deepEqual(await openWebSocket(tab, '/ws/offered', []), { protocol: '', data: 1 });
        const since = use.cluster.logPosition();
        assert.deepEqual(await openWebSocket(tab, '/ws/offered', ['graphql-ws', 'mqtt']), { code: 1006 });
        await assert.rejects(Subscriber.open(wsUrl('/ws'), { headers: { 'sec-websocket-protocol': 'mqtt' } }), (error: UpgradeRefused) => {
            assert.equal(error.status, 400);
            assert.match(JSON.parse(error.body).error, /the only subprotocol here is "rtd"/);
            return true;
        });
        await use.cluster.waitForLog(/refused 2 connections within 10 s because of subprotocol: 2 from 127\.0\.0\.1; the first: the only/, since, 20_000);
    });

    test('under a wildcard may connect, the bare domain may not', async () => {
        await createTopic(use.cluster, 'under-wildcard');
        await use.cluster.sql(`SELECT rtd_broadcast('under-wildcard', '1')`);
        const deep = await openPage('a.b.app.localhost');
        const bare = await openPage('app.localhost');
        await allow(`http://*.app.localhost:${port}`, deep.origin);
        assert.deepEqual(await openWebSocket(deep.tab, '/ws/under-wildcard', []), { protocol: '', data: 1 });
        assert.deepEqual(await openWebSocket(bare.tab, '/ws/under-wildcard', []), { code: 1006 });
        await allow('http://*.app.localhost:*, http://app.localhost:*', bare.origin);
        assert.deepEqual(await openWebSocket(bare.tab, '/ws/under-wildcard', []), { protocol: '', data: 1 });
    });

    test('may ask with a text whether it lives, compressed as browsers do', async () => {
        await createTopic(use.cluster, 'lives');
        const { tab, origin } = await openPage('localhost');
        await allow(origin, origin);
        const [extensions, ...answers] = (await within(
            'answers to heartbeats',
            tab.evaluate(`new Promise((resolve, reject) => {
                const socket = new WebSocket(${text(wsUrl('/ws/lives'))});
                const answers = [];
                socket.onclose = (event) => reject(new Error('closed with ' + event.code));
                socket.onopen = () => {
                    answers.push(socket.extensions);
                    for (const sent of ['ping', 'anything else', 'HEARTBEAT', '{"type":"ping","ref":7}']) socket.send(sent);
                };
                socket.onmessage = (event) => {
                    answers.push(event.data);
                    if (answers.length === 4) resolve(answers);
                };
            })`) as Promise<string[]>,
        ));
        assert.match(extensions, /permessage-deflate/);
        assert.deepEqual(answers.slice(0, 2), ['pong', 'PONG']);
        const { type, data, kind } = JSON.parse(answers[2]);
        assert.deepEqual([type, data, kind], ['rtd_pong', { ref: 7 }, 'control']);
    });
});

describe('fetch of a page', () => {
    const fetchIn = (tab: Page, path: string, options: object) =>
        tab.evaluate(
            `fetch(${text(`${use.cluster.httpUrl}${path}`)}, ${text(options)}).then(
                async (response) => ({ status: response.status, body: await response.json(), retry: response.headers.get('retry-after') }),
                () => 'failed')`,
        ) as Promise<any>;

    test('with credentials works for an origin that is named and not for one that "*" lets in', async () => {
        await createTopic(use.cluster, 'with-credentials', `query => 'SELECT 1 AS n'`);
        const { tab, origin } = await openPage('localhost');
        const path = '/api/v1/topics/with-credentials';
        await allow('*', origin, null);
        assert.equal((await fetchIn(tab, path, {})).status, 200);
        assert.equal(await fetchIn(tab, path, { credentials: 'include' }), 'failed');
        await allow(`*, http://localhost:*`, origin);
        const { status, body } = await fetchIn(tab, path, { credentials: 'include' });
        assert.deepEqual([status, body.data], [200, [{ n: 1 }]]);
    });

    test('with headers of its own, which need a preflight, is answered, and a refusal can be read', async () => {
        await createTopic(use.cluster, 'preflighted', `query => 'SELECT 1 AS n'`);
        const { tab, origin } = await openPage('localhost');
        await allow(origin, origin);
        const headers = { authorization: 'Bearer x', 'cache-control': 'no-cache', 'content-type': 'application/json', 'x-request-id': '1' };
        assert.equal((await fetchIn(tab, '/api/v1/topics/preflighted', { headers, credentials: 'include' })).status, 200);
        for (const [path, expected] of [
            ['/api/v1/topics/no-such-topic', 404],
            ['/api/v1/topics/Bad_name', 400],
            ['/api/v1/topic', 404],
            ['/sse//x', 400],
        ] as const) {
            const { status, body } = await fetchIn(tab, path, { headers });
            assert.equal(status, expected, path);
            assert.match(body.error, /\w+ \w+/);
        }
    });

    test('can read when to come back', async () => {
        await createTopic(use.cluster, 'comes-back', `query => 'SELECT 1 / n AS x FROM generate_series(0, 0) n'`);
        const { tab, origin } = await openPage('localhost');
        await allow(origin, origin);
        const { status, retry } = await fetchIn(tab, '/api/v1/topics/comes-back', {});
        assert.deepEqual([status, retry], [503, '1']);
    });

    test('a preflight for the private network is answered', async () => {
        const { origin } = await openPage('localhost');
        await allow(origin, origin);
        const preflight = async (from: string) => {
            const response = await fetch(`${use.cluster.httpUrl}/sse/any`, {
                method: 'OPTIONS',
                headers: { origin: from, 'access-control-request-method': 'GET', 'access-control-request-private-network': 'true' },
            });
            await response.text();
            return response;
        };
        const allowed = await preflight(origin);
        assert.deepEqual([allowed.status, allowed.headers.get('access-control-allow-private-network')], [204, 'true']);
        const refused = await preflight('http://other.localhost');
        assert.deepEqual([refused.status, refused.headers.get('access-control-allow-private-network')], [403, null]);
    });
});

describe('an EventSource of a page', () => {
    test('that comes back with an id of another server starts anew with a gap, and goes on', async () => {
        await createTopic(use.cluster, 'moved', 'history => 10');
        await use.cluster.sql(`SELECT rtd_broadcast('moved', '"last"')`);
        const { tab, origin } = await openPage('localhost');
        await allow(origin, origin);
        // The first answer is that of another server, which then moves to the gateway.
        const asked: (string | undefined)[] = [];
        const { server, port: moving } = await serve((request, response) => {
            asked.push(request.headers['last-event-id'] as string | undefined);
            if (asked.length === 1) {
                response.writeHead(200, { 'content-type': 'text/event-stream', 'access-control-allow-origin': origin });
                response.end('retry: 10\nid: message 42 of another server\ndata: {"data": "other"}\n\n');
                return;
            }
            const onward = http.request(`${use.cluster.httpUrl}${request.url}`, { headers: request.headers }, (answer) => {
                response.writeHead(answer.statusCode!, answer.headers);
                answer.pipe(response);
            });
            request.on('close', () => onward.destroy());
            onward.on('error', () => response.destroy());
            onward.end();
        });
        servers.push(server);
        await tab.evaluate(`
            window.seen = [];
            window.source = new EventSource(${text(`http://127.0.0.1:${moving}/sse/moved`)});
            source.onmessage = (event) => seen.push(JSON.parse(event.data).data);
            for (const type of ['rtd_subscribed', 'rtd_gap'])
                source.addEventListener(type, (event) => seen.push(JSON.parse(event.data).type));
            source.onerror = () => { if (source.readyState === EventSource.CLOSED) seen.push('given up'); };
        `);
        const seen = (count: number) =>
            waitFor(`${count} events in the page`, async () => {
                const events = (await tab.evaluate('seen')) as any[];
                return events.length >= count ? events : undefined;
            }, { deadlineMs: 20_000 });
        assert.deepEqual(await seen(4), ['other', 'rtd_subscribed', 'rtd_gap', 'last']);
        assert.deepEqual(asked, [undefined, 'message 42 of another server']);
        await use.cluster.sql(`SELECT rtd_broadcast('moved', '"next"')`);
        assert.equal((await seen(5)).at(-1), 'next');
        await tab.evaluate('source.close()');
    });

    test('of a state or a durable topic, whatever the id: the newest state, or a gap', async () => {
        await createTopic(use.cluster, 'moved-state', `query => 'SELECT 1 AS n'`);
        await createTopic(use.cluster, 'moved-durable', `durable => true`);
        await use.cluster.sql(`SELECT rtd_broadcast('moved-durable', '"kept"')`);
        const events = async (path: string, headers: Record<string, string>, count: number) => {
            const controller = new AbortController();
            const response = await fetch(`${use.cluster.httpUrl}/sse/${path}`, { headers, signal: controller.signal });
            assert.equal(response.status, 200);
            let body = '';
            for await (const chunk of response.body!) {
                body += Buffer.from(chunk).toString();
                if (body.split('\ndata: ').length > count) break;
            }
            controller.abort();
            return [...body.matchAll(/^data: (.*)$/gm)].map(([, json]) => JSON.parse(json));
        };
        for (const [query, headers] of [
            ['', { 'last-event-id': 'x'.repeat(5000) }],
            ['', { 'last-event-id': '18446744073709551616-1' }],
            ['?lastEventId=17', {}],
        ] as const) {
            const [subscribed, state] = await events(`moved-state${query}`, headers, 2);
            assert.deepEqual([subscribed.data.recovered, state.data], [false, [{ n: 1 }]]);
            const [, gap, message] = await events(`moved-durable${query}`, headers, 3);
            assert.deepEqual([gap.type, message.data], ['rtd_gap', 'kept']);
        }
    });
});

test('origins that can match nothing are refused by the server, at a reload and at a start', async () => {
    const { origin } = await openPage('localhost');
    await allow(origin, origin);
    let since = use.cluster.logPosition();
    await use.cluster.reload({ 'rtd.allowed_origins': 'app.example.com' });
    await use.cluster.waitForLog(/invalid value for parameter "rtd\.allowed_origins": "app\.example\.com"/, since);
    assert.equal((await headersFor(origin))['access-control-allow-origin'], origin, 'the list is as it was');
    since = use.cluster.logPosition();
    await use.cluster.restart();
    await use.cluster.ready();
    assert.match(use.cluster.logSince(since), /WARNING:.*invalid value for parameter "rtd\.allowed_origins"/);
    assert.equal((await headersFor(origin))['access-control-allow-origin'], undefined, 'nobody is let in');
});
