// The gateway's page and keyed topics: a delta does not say what the key is, and the page shows the
// rows as they are all the same, not the delta.

import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { Browser, chromium, Page } from 'playwright-core';
import { useCluster } from '../lib/harness';
import { waitFor } from '../lib/wait';

const use = useCluster();
let browser: Browser | undefined;

before(async () => {
    browser = await chromium.launch({
        executablePath: process.env.CHROMIUM || '/usr/bin/chromium',
        chromiumSandbox: false, // it cannot be had as root or in a container, and only our own page is opened
        args: ['--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking', '--disable-dev-shm-usage'],
    });
});
after(() => browser?.close());

/** The cells of the panel's table, row by row, in any order. */
const shownRows = (page: Page, topic: string) =>
    page.evaluate((name) => {
        const rows = [...(globalThis as any).document.querySelectorAll(`[data-topic="${name}"] tbody tr`)];
        return rows.map((row: any) => [...row.cells].map((cell: any) => cell.textContent).join('|')).sort();
    }, topic);

async function expectShown(page: Page, topic: string, rows: string[]) {
    let shown: string[] = [];
    await waitFor(`the rows of ${topic}`, async () => {
        shown = await shownRows(page, topic);
        return shown.join() === rows.join();
    }).catch((error) => {
        throw new Error(`${error.message}: ${JSON.stringify(shown)}, not ${JSON.stringify(rows)}`);
    });
}

test('a served table is shown as its rows, whatever changes, also if the key is of two columns', async () => {
    await use.cluster.sql(`
        CREATE TABLE seat (line int, place int, guest text, PRIMARY KEY (line, place));
        INSERT INTO seat VALUES (1, 1, 'Ada'), (1, 2, 'Bob');
        SELECT rtd_serve_table('seat', 'web_anon')`);
    const page = await browser!.newPage();
    const errors: string[] = [];
    page.on('pageerror', (error) => errors.push(String(error)));
    await page.goto(`${use.cluster.httpUrl}/#seat`);
    await expectShown(page, 'seat', ['1|Ada|1', '1|Bob|2']);
    await use.cluster.sql(`INSERT INTO seat VALUES (2, 1, 'Cleo')`);
    await expectShown(page, 'seat', ['1|Ada|1', '1|Bob|2', '2|Cleo|1']);
    await use.cluster.sql(`UPDATE seat SET guest = 'Eve' WHERE place = 1; DELETE FROM seat WHERE place = 2`);
    await expectShown(page, 'seat', ['1|Eve|1', '2|Eve|1']);
    // Faster than the page asks: it ends with the last state.
    for (let n = 0; n <= 50; n++) await use.cluster.sql(`UPDATE seat SET guest = 'guest ${n}'`);
    await expectShown(page, 'seat', ['1|guest 50|1', '2|guest 50|1']);
    assert.deepEqual(errors, []);
    await page.close();
});

test('the empty page says how to watch a topic, with what every machine has', async () => {
    const page = await browser!.newPage();
    await page.goto(use.cluster.httpUrl);
    const text = await page.textContent('#example-addresses');
    assert.match(text!, new RegExp(`^curl -N ${use.cluster.httpUrl}/sse/planned-features\n`));
    assert.match(text!, /new WebSocket\("ws:\/\/[\w.]+:\d+\/ws\/planned-features"\)/);
    await page.close();
});
