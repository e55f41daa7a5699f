// The demo as its visitor sees it: `demo/run`, a real browser, and a change in SQL that shows up.

import assert from 'node:assert/strict';
import { ChildProcess, execFileSync, spawn } from 'node:child_process';
import * as fs from 'node:fs';
import * as path from 'node:path';
import { after, before, test } from 'node:test';
import { Browser, chromium } from 'playwright-core';
import { isAlive, root } from '../lib/cluster';
import { waitFor, within } from '../lib/wait';

let demo: ChildProcess;
let exited: Promise<number | null>;
let output = '';
let browser: Browser | undefined;

before(async () => {
    demo = spawn(path.join(root, 'demo/run'), ['--once', '--no-build'], { stdio: ['pipe', 'pipe', 'pipe'] });
    for (const stream of [demo.stdout!, demo.stderr!]) stream.on('data', (chunk) => (output += chunk));
    exited = new Promise((resolve) => demo.on('exit', resolve));
    browser = await chromium.launch({
        executablePath: process.env.CHROMIUM || '/usr/bin/chromium',
        chromiumSandbox: false, // it cannot be had as root or in a container, and only our own page is opened
        args: [
            ...['--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking'],
            ...['--disable-component-update', '--disable-sync', '--disable-dev-shm-usage'],
        ],
    });
});

after(async () => {
    await browser?.close();
    if (demo.exitCode === null) {
        demo.stdin!.end();
        await exited;
    }
});

test('demo/run prints an address where every panel is live, and a change in SQL shows up without a reload', async (t) => {
    const url = await waitFor('the address', () => output.match(/http:\/\/localhost:\d+\/#\S+/)?.[0], { deadlineMs: 60_000 });
    const topics = url.slice(url.indexOf('#') + 1).split(',');
    assert.equal(topics.length, 12);

    const page = await browser!.newPage();
    const errors: string[] = [];
    page.on('pageerror', (error) => errors.push(String(error)));
    const requests: string[] = [];
    page.on('request', (request) => requests.push(request.url()));
    const start = Date.now();
    await page.goto(url);
    await page.evaluate('window.loadedOnce = true');
    for (const topic of topics)
        await page.waitForSelector(`[data-topic="${topic}"][data-state="live"]:not([data-messages="0"])`, {
            state: 'attached',
            timeout: 20_000,
        });
    t.diagnostic(`${topics.length} panels were live ${Date.now() - start} ms after the page was opened`);

    // The demo's own workload moves the panels.
    const count = () => page.getAttribute('[data-topic="workflow-history"]', 'data-messages').then(Number);
    const seen = await count();
    await waitFor('messages of the workload', async () => (await count()) > seen + 2);

    const [, psql, socket] = output.match(/^ *(\S+\/psql) -h (\S+)/m)!;
    const fetched = requests.length;
    const title = `Made by a test ${Date.now()}`;
    execFileSync(psql, [
        ...['-qX', '-h', socket, '-U', 'postgres', 'demo', '-c'],
        `INSERT INTO planned_features (title) VALUES ('${title}')`,
    ]);
    await page.waitForFunction(
        (wanted) => (globalThis as any).document.querySelector('[data-topic="planned-features"]').textContent.includes(wanted),
        title,
        { timeout: 10_000 },
    );
    assert.equal(await page.evaluate('window.loadedOnce'), true, 'the page was not reloaded');
    assert.equal(requests.length, fetched, 'the page fetched nothing');
    assert.deepEqual(errors, []);
});

test('it ends when it is told to, and leaves no process and no file', async () => {
    const socket = output.match(/psql -h (\S+)/)![1];
    const postmaster = Number(fs.readFileSync(path.join(socket, 'data/postmaster.pid'), 'utf8').split('\n')[0]);
    demo.kill('SIGINT');
    await within('the end of the demo', exited, 30_000);
    assert.ok(!isAlive(postmaster));
    assert.ok(!fs.existsSync(socket));
});
