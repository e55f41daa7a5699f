// A hub lives as long as its server, and query workers and gateways may die as often as they like: nothing of a
// dead one stays behind in the hub, in its memory contexts, its heap, its descriptors or its mappings.

import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { test } from 'node:test';
import { createTopic, useCluster } from '../lib/harness';
import { Subscriber } from '../lib/subscriber';
import { waitFor } from '../lib/wait';

const use = useCluster({ settings: { 'rtd.query_workers': 1, 'rtd.resync_interval': '1h' } });
const kRounds = 200;
const kWarmUp = 30;

interface Figures {
    context: number; // bytes that the memory contexts of the server hold, free ones not counted
    heap: number; // private memory, in kB
    descriptors: number;
    mappings: number;
}

async function figuresOf(pid: number): Promise<Figures> {
    const position = use.cluster.logPosition();
    await use.cluster.sql(`SELECT pg_log_backend_memory_contexts(${pid})`);
    await use.cluster.sql(`NOTIFY wake_the_hub`);
    const [, used] = await use.cluster.waitForLog(new RegExp(`\\[${pid}\\].*Grand total: .* (\\d+) used`), position);
    return {
        context: Number(used),
        heap: Number(/RssAnon:\s+(\d+)/.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))![1]),
        descriptors: readdirSync(`/proc/${pid}/fd`).length,
        mappings: readFileSync(`/proc/${pid}/maps`, 'utf8').split('\n').length,
    };
}

function didNotGrow(before: Figures, after: Figures) {
    const story = `${JSON.stringify(before)} became ${JSON.stringify(after)}`;
    assert.ok(after.context - before.context < 16 * 1024, story);
    assert.ok(after.heap - before.heap < 4 * 1024, story);
    assert.ok(after.descriptors - before.descriptors <= 2, story);
    assert.ok(after.mappings - before.mappings <= 4, story);
}

test('of query workers, whose answer is larger than the queue it comes through', { timeout: 300_000 }, async (t) => {
    await use.cluster.sql(`CREATE TABLE counter AS SELECT 0 AS n`);
    await createTopic(use.cluster, 'large', `query => $q$SELECT n, repeat('x', 700000) AS x FROM counter$q$, throttle => '0'`);
    await use.cluster.sql(`SELECT rtd_watch_table('counter', 'large', columns => '{n}')`);
    const client = await Subscriber.open(use.cluster.url('large'));
    await client.next((message) => message.data[0].n === 0);
    const hub = await use.cluster.hubPid();
    let before: Figures | undefined;
    for (let round = 1; round <= kWarmUp + kRounds; round++) {
        const [worker] = await use.cluster.pids('rtd query');
        await use.cluster.sql(`SELECT pg_terminate_backend(${worker})`);
        await waitFor('another query worker', async () => {
            const [other] = await use.cluster.pids('rtd query');
            return other !== undefined && other !== worker;
        });
        await use.cluster.sql(`UPDATE counter SET n = ${round}`);
        await client.next((message) => message.data[0].n === round);
        if (round === kWarmUp) before = await figuresOf(hub);
    }
    assert.equal(await use.cluster.hubPid(), hub);
    const after = await figuresOf(hub);
    t.diagnostic(`${JSON.stringify(before)} ${JSON.stringify(after)}`);
    didNotGrow(before!, after);
});

test('of gateways', { timeout: 300_000 }, async (t) => {
    await createTopic(use.cluster, 'small');
    const hub = await use.cluster.hubPid();
    let before: Figures | undefined;
    for (let round = 1; round <= kWarmUp + kRounds; round++) {
        const client = await Subscriber.open(use.cluster.url('small'));
        const gateway = await use.cluster.gatewayPid();
        process.kill(gateway, 'SIGKILL');
        await client.closed;
        await waitFor('another gateway that listens', async () => {
            const again = await Subscriber.open(use.cluster.url('small')).catch(() => undefined);
            await again?.close();
            return again !== undefined;
        });
        if (round === kWarmUp) before = await figuresOf(hub);
    }
    assert.equal(await use.cluster.hubPid(), hub);
    const after = await figuresOf(hub);
    t.diagnostic(`${JSON.stringify(before)} ${JSON.stringify(after)}`);
    didNotGrow(before!, after);
});
