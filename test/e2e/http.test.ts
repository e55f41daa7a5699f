// Topics over plain HTTP: event streams that resume, snapshots with a tag, and pages of other
// origins (CORS), also in a real browser.

import assert from 'node:assert/strict';
import * as http from 'node:http';
import type { AddressInfo } from 'node:net';
import { after, afterEach, before, describe, test } from 'node:test';
import { Browser, chromium } from 'playwright-core';
import { EventStream, closeStreams } from '../lib/event_stream';
import { createTopic, subscriberCount, useCluster } from '../lib/harness';
import { checkEnvelope } from '../lib/subscriber';
import { waitFor, within } from '../lib/wait';

const use = useCluster();
afterEach(closeStreams);

const sql = (text: string, values?: unknown[]) => use.cluster.sql(text, values);
const sse = (path: string) => `${use.cluster.httpUrl}/sse/${path}`;
const api = (path: string) => `${use.cluster.httpUrl}/api/v1/topics/${path}`;
const get = (path: string, headers: Record<string, string> = {}, method = 'GET') => fetch(api(path), { method, headers });

async function stateTopic(topic: string, options = '') {
    const table = topic.replace(/-/g, '_');
    await sql(`CREATE TABLE ${table} (n int); INSERT INTO ${table} VALUES (1)`);
    await createTopic(use.cluster, topic, `throttle => '0', query => 'SELECT n FROM ${table}'${options}`);
    await sql(`SELECT rtd_watch_table('${table}', columns => '{n}')`);
    return table;
}

describe('an event stream', () => {
    test('of a state begins with the state and goes on with every later one', async () => {
        const table = await stateTopic('streamed');
        const stream = await EventStream.open(sse('streamed'));
        assert.equal(stream.status, 200);
        assert.match(stream.headers['content-type']!, /^text\/event-stream/);
        const greeting = await stream.next();
        assert.deepEqual([greeting.event, greeting.id, greeting.message.data], ['rtd_subscribed', undefined, { recovered: false }]);
        for (const n of [1, 2, 3]) {
            await sql(`UPDATE ${table} SET n = $1`, [n]);
            const { id, event, message } = await stream.next(({ message }) => message.data[0]?.n === n);
            checkEnvelope(message);
            assert.deepEqual([event, id, message.type], [undefined, message.id, 'streamed_update']);
        }
    });

    test('resumes where it was, or says that it did not', async () => {
        await createTopic(use.cluster, 'resumed', `retain => true, history => 10`);
        const first = await EventStream.open(sse('resumed'));
        await first.next();
        for (const n of [1, 2]) await sql(`SELECT rtd_broadcast('resumed', to_jsonb($1::int))`, [n]);
        const { id } = await first.next(({ message }) => message.data === 2);
        const keeper = await EventStream.open(sse('resumed')); // the instance lives on
        await keeper.next();
        first.close();
        for (const n of [3, 4, 5]) await sql(`SELECT rtd_broadcast('resumed', to_jsonb($1::int))`, [n]);
        await keeper.next(({ message }) => message.data === 5);
        const again = await EventStream.open(sse('resumed?since=1-1'), { 'last-event-id': id! });
        const { message } = await again.next();
        assert.equal(message.type, 'rtd_subscribed');
        if (message.data.recovered)
            for (const n of [3, 4, 5]) assert.equal((await again.next()).message.data, n);
        else assert.ok((await again.next()).message, 'a first message or a gap');
        await sql(`SELECT rtd_broadcast('resumed', '6')`);
        await again.next(({ message }) => message.data === 6);
    });

    test('is refused with a status and a sentence', async () => {
        await sql(`SELECT rtd_create_topic('sse-not-granted')`);
        await createTopic(use.cluster, 'sse-cast', `parameters => '{id}', query => 'SELECT $1::int AS id'`);
        for (const [path, status] of [
            ['no-such-topic', 404],
            ['sse-not-granted', 403],
            ['sse-cast', 400],
            ['sse-cast/abc', 400], // only the query finds out
            ['Bad_name', 400],
            ['sse-cast/1?since=yesterday', 400],
        ] as const) {
            for (const response of [await fetch(sse(path)), await get(path)]) {
                assert.equal(response.status, status, path);
                assert.match(((await response.json()) as any).error, /\w+ \w+/);
            }
        }
    });

    test('ends with an rtd_error when its topic is dropped', async () => {
        await createTopic(use.cluster, 'sse-dropped');
        const stream = await EventStream.open(sse('sse-dropped'));
        await stream.next();
        await sql(`SELECT rtd_drop_topic('sse-dropped')`);
        const { event, message } = await stream.next();
        assert.deepEqual([event, message.type, message.data.code], ['rtd_error', 'rtd_error', 4410]);
        await waitFor('the end', () => stream.ended);
        assert.equal((await fetch(sse('sse-dropped'))).status, 404);
    });

    test('is told when the query fails', async () => {
        await sql(`CREATE TABLE sse_divisor (n int); INSERT INTO sse_divisor VALUES (2)`);
        await createTopic(use.cluster, 'sse-failing', `query => 'SELECT 1 / n AS result FROM sse_divisor'`);
        await sql(`SELECT rtd_watch_table('sse_divisor', 'sse-failing', columns => '{n}')`);
        const stream = await EventStream.open(sse('sse-failing'));
        await stream.next(({ event }) => !event);
        await sql(`UPDATE sse_divisor SET n = 0`);
        const { event, message } = await stream.next();
        assert.deepEqual([event, message.data.code], ['rtd_error', 4500]);
        await sql(`UPDATE sse_divisor SET n = 1`);
        assert.deepEqual((await stream.next(({ event }) => !event)).message.data, [{ result: 1 }]);
    });

    test('is kept awake by comments, and counts as a subscriber until it leaves', async () => {
        await createTopic(use.cluster, 'quiet');
        await use.cluster.reload({ 'rtd.ping_interval': '1s' });
        const stream = await EventStream.open(sse('quiet'));
        assert.equal(await subscriberCount(use.cluster, 'quiet'), 1);
        await waitFor('two comments', () => stream.body.split('\n:\n').length > 2);
        stream.close();
        await waitFor('nobody', async () => (await subscriberCount(use.cluster, 'quiet')) === 0);
        await use.cluster.reload({ 'rtd.ping_interval': '30s' });
    });
});

describe('a snapshot', () => {
    test('is the message that a new subscriber gets, and its tag is the id', async () => {
        const table = await stateTopic('tagged');
        const keeper = await EventStream.open(sse('tagged')); // keeps the state current between requests
        const first = (await keeper.next(({ event }) => !event)).message;
        const response = await get('tagged');
        assert.equal(response.status, 200);
        assert.match(response.headers.get('content-type')!, /^application\/json/);
        const message: any = await response.json();
        checkEnvelope(message);
        assert.deepEqual(message, first);
        const etag = response.headers.get('etag')!;
        assert.equal(etag, `"${message.id}"`);

        const same = await get('tagged', { 'if-none-match': etag });
        assert.deepEqual([same.status, await same.text(), same.headers.get('etag')], [304, '', etag]);
        const head = await get('tagged', {}, 'HEAD');
        assert.deepEqual([head.status, await head.text(), head.headers.get('etag')], [200, '', etag]);

        await sql(`UPDATE ${table} SET n = 2`);
        await keeper.next(({ message }) => message.data[0]?.n === 2);
        const changed = await get('tagged', { 'if-none-match': etag });
        assert.equal(changed.status, 200);
        assert.deepEqual(((await changed.json()) as any).data, [{ n: 2 }]);
    });

    test('needs no subscriber before it, and leaves none', async () => {
        await createTopic(use.cluster, 'alone', `parameters => '{id}', query => 'SELECT $1::int AS id'`);
        const message: any = await (await get('alone/42')).json();
        assert.deepEqual([message.data, message.params], [[{ id: 42 }], ['42']]);
        await waitFor('nobody', async () => (await subscriberCount(use.cluster, 'alone', ['42'])) === 0);
    });

    test('of an event topic is its retained message, and 404 before there is one', async () => {
        await createTopic(use.cluster, 'event-snapshot');
        const none = await get('event-snapshot');
        assert.equal(none.status, 404);
        assert.match(((await none.json()) as any).error, /no message/);
        await sql(`SELECT rtd_broadcast('event-snapshot', '"last"')`);
        const message: any = await waitFor('the message', async () => {
            const response = await get('event-snapshot');
            return response.status === 200 && response.json();
        });
        assert.equal(message.data, 'last');
    });

    test('of a failing query is 503', async () => {
        await createTopic(use.cluster, 'snapshot-failing', `query => 'SELECT 1 / n AS x FROM generate_series(0, 0) n'`);
        const response = await get('snapshot-failing');
        assert.equal(response.status, 503);
        assert.equal(response.headers.get('retry-after'), '1');
    });
});

describe('pages of other origins', () => {
    let page: http.Server;
    let origin: string;
    let browser: Browser | undefined;

    before(async () => {
        page = http.createServer((_, response) => response.setHeader('content-type', 'text/html').end('<title>page</title>'));
        await new Promise<void>((resolve) => page.listen(0, '127.0.0.1', resolve));
        origin = `http://127.0.0.1:${(page.address() as AddressInfo).port}`;
        browser = await chromium.launch({
            executablePath: process.env.CHROMIUM || '/usr/bin/chromium',
            chromiumSandbox: false, // it cannot be had as root or in a container, and only our own page is opened
            args: ['--disable-gpu', '--no-first-run', '--disable-background-networking', '--disable-dev-shm-usage'],
        });
    });
    after(async () => {
        await browser?.close();
        page.close();
    });

    test('are refused until they are on the list, and then may read', async () => {
        await stateTopic('cors');
        for (const url of [sse('cors'), api('cors')]) {
            const refused = await fetch(url, { headers: { origin } });
            assert.equal(refused.status, 403);
            assert.equal(refused.headers.get('access-control-allow-origin'), null);
            assert.equal((await fetch(url, { method: 'OPTIONS', headers: { origin } })).status, 403);
        }
        await use.cluster.reload({ 'rtd.allowed_origins': origin });
        await waitFor('the setting to be in force', async () => (await get('cors', { origin })).status === 200);
        const allowed = await get('cors', { origin });
        assert.equal(allowed.headers.get('access-control-allow-origin'), origin);
        assert.match(allowed.headers.get('vary')!, /Origin/);
        const preflight = await get('cors', { origin, 'access-control-request-method': 'GET' }, 'OPTIONS');
        assert.equal(preflight.status, 204);
        assert.match(preflight.headers.get('access-control-allow-headers')!, /If-None-Match/);
    });

    test('in a browser: EventSource, fetch with a tag, and a WebSocket that publishes', async () => {
        const table = await stateTopic('in-browser');
        await createTopic(use.cluster, 'from-browser');
        await sql(`SELECT rtd_grant('from-browser', 'web_anon', 'publish')`);
        const tab = await browser!.newPage();
        await tab.goto(origin);

        // A page that is not on the list learns nothing.
        await use.cluster.reload({ 'rtd.allowed_origins': '' });
        await waitFor('the setting to be in force', async () => (await get('in-browser', { origin })).status === 403);
        const fetching = `fetch(${JSON.stringify(api('in-browser'))}).then((r) => r.status, () => 'failed')`;
        assert.equal(await tab.evaluate(fetching), 'failed');
        await use.cluster.reload({ 'rtd.allowed_origins': origin });
        await waitFor('the setting to be in force', async () => (await get('in-browser', { origin })).status === 200);

        await tab.evaluate(`
            window.seen = [];
            window.source = new EventSource(${JSON.stringify(sse('in-browser'))});
            source.onmessage = (event) => seen.push({ id: event.lastEventId, n: JSON.parse(event.data).data[0].n });
            source.addEventListener('rtd_subscribed', (event) => seen.push(JSON.parse(event.data).type));
        `);
        const seen = (count: number) => waitFor(`${count} events in the page`, async () => {
            const events: any = await tab.evaluate('seen');
            return events.length >= count && events;
        });
        const [greeting, first] = await seen(2);
        assert.equal(greeting, 'rtd_subscribed');
        assert.equal(first.n, 1);
        await sql(`UPDATE ${table} SET n = 2`);
        const last = (await seen(3))[2];
        assert.equal(last.n, 2);

        const [status, etag, unchanged] = (await tab.evaluate(`(async () => {
            const response = await fetch(${JSON.stringify(api('in-browser'))});
            const etag = response.headers.get('etag');
            const again = await fetch(${JSON.stringify(api('in-browser'))}, { headers: { 'if-none-match': etag } });
            return [response.status, etag, again.status];
        })()`)) as any;
        assert.deepEqual([status, etag, unchanged], [200, `"${last.id}"`, 304]);

        // The gateway goes and comes back: the browser reconnects by itself.
        await sql(`UPDATE ${table} SET n = 3`);
        await seen(4);
        const gateway = Number(await use.cluster.gatewayPid());
        process.kill(gateway, 'SIGKILL');
        await waitFor('another greeting', async () => ((await tab.evaluate('seen')) as any[]).filter((e) => e === 'rtd_subscribed').length >= 2, {
            deadlineMs: 20_000,
        });
        await sql(`UPDATE ${table} SET n = 4`);
        await waitFor('the new state', async () => ((await tab.evaluate('seen')) as any[]).at(-1)?.n === 4);
        await tab.evaluate('source.close()');

        const answers: any = await within(
            'the answers in the page',
            tab.evaluate(`new Promise((resolve, reject) => {
                const socket = new WebSocket(${JSON.stringify(`ws://127.0.0.1:${use.cluster.rtdPort}/ws`)});
                const messages = [];
                socket.onerror = () => reject(new Error('the WebSocket failed'));
                socket.onopen = () => {
                    socket.send(JSON.stringify({ action: 'subscribe', topic: 'from-browser' }));
                    socket.send(JSON.stringify({ action: 'publish', topic: 'from-browser', data: 'hello', ref: 1 }));
                };
                socket.onmessage = (event) => {
                    messages.push(JSON.parse(event.data));
                    if (messages.length === 3) resolve(messages);
                };
            })`),
        );
        assert.deepEqual(answers.map((m: any) => m.type).sort(), ['from_browser_update', 'rtd_published', 'rtd_subscribed']);
        assert.equal(answers.find((m: any) => m.kind === 'event').data, 'hello');
    });
});
