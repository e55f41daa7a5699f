// The gateway behind a real nginx: under a path of its own, and as its defaults have it.

import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import type { Browser, Page } from 'playwright-core';
import { launchBrowser } from '../lib/browser';
import { EventStream, closeStreams } from '../lib/event_stream';
import { createTopic, useCluster } from '../lib/harness';
import { Nginx } from '../lib/nginx';
import { Subscriber, UpgradeRefused } from '../lib/subscriber';
import { waitFor } from '../lib/wait';

let nginx: Nginx | undefined;
let browser: Browser | undefined;

const use = useCluster({}, async (cluster) => {
    const gateway = cluster.httpUrl;
    const upgrade = `proxy_http_version 1.1; proxy_set_header Upgrade $http_upgrade; proxy_set_header Connection $connection_upgrade;`;
    nginx = await Nginx.start(`
        location /rt/ { proxy_pass ${gateway}/; ${upgrade} }
        location /deep/er/rt/ { proxy_pass ${gateway}/; ${upgrade} }
        location = /bare { proxy_pass ${gateway}/; }
        location /bare/ { proxy_pass ${gateway}/; ${upgrade} }
        location /default/ { proxy_pass ${gateway}/; }
        location = / { return 204; }
    `);
    browser = await launchBrowser();
});
after(async () => {
    closeStreams();
    await browser?.close();
    await nginx?.stop();
});

async function openPage(path: string): Promise<{ page: Page; errors: string[]; sockets: string[] }> {
    const page = await browser!.newPage();
    const errors: string[] = [];
    const sockets: string[] = [];
    page.on('pageerror', (error) => errors.push(String(error)));
    page.on('websocket', (socket) => sockets.push(socket.url()));
    await page.goto(`${nginx!.url}${path}`);
    return { page, errors, sockets };
}

async function allowProxy(origins: string) {
    await use.cluster.reload({ 'rtd.allowed_origins': origins });
    await waitFor('the setting to be in force', async () => {
        const response = await fetch(`${use.cluster.httpUrl}/healthz`, { headers: { origin: nginx!.url } });
        await response.text(); // or the connection would stay
        return response.headers.has('access-control-allow-origin') === (origins !== '');
    });
}

test('the live page under a path says that its origin is not allowed, instead of trying for ever', async () => {
    await createTopic(use.cluster, 'behind', `query => 'SELECT 42 AS answer'`);
    const since = use.cluster.logPosition();
    const { page, sockets, errors } = await openPage('/rt/#behind');
    await page.waitForSelector('[data-topic="behind"][data-state="refused"]', { timeout: 10_000 });
    const reason = await page.textContent('[data-topic="behind"] .reason');
    assert.match(reason!, new RegExp(`pages of ${nginx!.url} may not connect: rtd.allowed_origins does not list`));
    assert.deepEqual(sockets, [`ws://127.0.0.1:${nginx!.port}/rt/ws/behind`], 'one attempt');
    assert.deepEqual(errors, []);
    await use.cluster.waitForLog(/refused 2 connections within 10 s because of origin: 2 from 127\.0\.0\.1; the first: pages of http/, since, 20_000);
    await page.close();
});

test('the live page under any path is live once its origin is allowed', async () => {
    await createTopic(use.cluster, 'live-behind', `query => 'SELECT 42 AS answer'`);
    await allowProxy(nginx!.url);
    for (const [path, prefix] of [
        ['/rt/', '/rt/'],
        ['/deep/er/rt/', '/deep/er/rt/'],
        ['/rt/?utm_source=x', '/rt/'],
        ['/bare', '/bare/'],
    ]) {
        const { page, sockets, errors } = await openPage(`${path}#live-behind`);
        await page.waitForSelector('[data-topic="live-behind"][data-state="live"]:not([data-messages="0"])', { timeout: 10_000 });
        assert.match((await page.textContent('[data-topic="live-behind"] .data'))!, /42/);
        assert.deepEqual(sockets, [`ws://127.0.0.1:${nginx!.port}${prefix}ws/live-behind`]);
        assert.deepEqual(errors, []);
        await page.evaluate(`location.hash = ''`);
        await page.locator('#example-page', { hasText: prefix }).waitFor({ state: 'attached' });
        await page.close();
    }
});

test('all kinds of clients work through it, and probes with HTTP/1.0', async () => {
    await createTopic(use.cluster, 'kinds-behind', `query => 'SELECT 1 AS n'`);
    const socket = await Subscriber.open(`ws://127.0.0.1:${nginx!.port}/rt/ws/kinds-behind`);
    assert.deepEqual((await socket.next()).data, [{ n: 1 }]);
    await socket.close();
    const stream = await EventStream.open(`${nginx!.url}/default/sse/kinds-behind`);
    assert.equal(stream.status, 200);
    assert.deepEqual((await stream.next(({ event }) => !event)).message.data, [{ n: 1 }]);
    stream.close();
    const snapshot: any = await (await fetch(`${nginx!.url}/default/api/v1/topics/kinds-behind`)).json();
    assert.deepEqual(snapshot.data, [{ n: 1 }]);
    for (const method of ['GET', 'HEAD', 'OPTIONS'])
        for (const path of ['', 'healthz', 'healthz/', 'readyz'])
            assert.equal((await fetch(`${nginx!.url}/default/${path}`, { method })).status, 200, `${method} ${path}`);
});

test('a proxy that does not pass WebSockets on is named, to the client and on the page', async () => {
    await createTopic(use.cluster, 'not-passed', `query => 'SELECT 1 AS n'`);
    await assert.rejects(Subscriber.open(`ws://127.0.0.1:${nginx!.port}/default/ws/not-passed`), (error: UpgradeRefused) => {
        assert.equal(error.status, 426);
        assert.match(error.body, /a proxy must pass the headers Upgrade and Connection on/);
        return true;
    });
    await allowProxy(nginx!.url);
    const { page } = await openPage('/default/#not-passed');
    await page.locator('[data-topic="not-passed"] .reason', { hasText: 'must pass WebSockets on' }).waitFor({ state: 'attached' });
    assert.equal(await page.getAttribute('[data-topic="not-passed"]', 'data-state'), 'reconnecting');
    await page.close();
});
