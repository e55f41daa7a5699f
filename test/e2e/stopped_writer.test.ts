// A large transaction takes a while to hand its events over: 200 MB here. Whatever happens to its backend
// meanwhile, other writers commit, other topics' clients hear of it, and nobody gets a part of it.

import assert from 'node:assert/strict';
import { after, afterEach, before, beforeEach, describe, test } from 'node:test';
import { Cluster, Connection } from '../lib/cluster';
import { createTopic, messagesUntilNow, subscribe, subscriberCount, useCluster, watchedTable } from '../lib/harness';
import { Envelope, Subscriber } from '../lib/subscriber';
import { waitFor, within } from '../lib/wait';

const settings = { 'rtd.queue_size': '512MB' };
const use = useCluster({ settings }, prepare);

interface Stopped {
    session: Connection;
    pid: number;
    committed: Promise<unknown>;
}

let runs = 0;
const standing: number[] = []; // process ids of backends that were stopped

/**
 * A writer that is committed and visible, and stands still while its events are handed over: between these
 * two there is nothing else that takes time. Its first and last event are for `ends`, what lies between for a
 * topic of which only the newest message is kept.
 */
async function stopWhileItHandsOver(cluster: Cluster): Promise<Stopped> {
    for (let attempt = 0; attempt < 10; attempt++) {
        const run = ++runs;
        const session = await cluster.connect();
        const { rows } = await session.query('SELECT pg_backend_pid() AS pid');
        const pid = Number(rows[0].pid);
        await session.query(`
            BEGIN;
            INSERT INTO large_runs VALUES (${run});
            SELECT rtd_broadcast('ends', '{"begin": ${run}}');
            SELECT count(rtd_broadcast('bulk', to_jsonb(repeat('x', 1000000)))) FROM generate_series(1, 200);
            SELECT rtd_broadcast('ends', '{"end": ${run}}')`);
        let isDone = false;
        const committed = session.query('COMMIT').finally(() => (isDone = true));
        committed.catch(() => {}); // its session may be killed
        await waitFor('it to be visible', async () => await cluster.value('SELECT 1 FROM large_runs WHERE run = $1', [run]), { everyMs: 0 });
        standing.push(pid);
        process.kill(pid, 'SIGSTOP');
        // An answer that was sent before would be here by the time another session answers.
        await cluster.value('SELECT 1');
        if (!isDone) return { session, pid, committed };
        process.kill(pid, 'SIGCONT');
        await cluster.release(session);
    }
    throw new Error('it was always done before it could be stopped');
}

const isOfRun = ({ data }: Envelope) => data?.begin !== undefined || data?.end !== undefined;

async function prepare(cluster: Cluster) {
    await cluster.sql('CREATE TABLE large_runs (run int)');
    await createTopic(cluster, 'ends');
    await createTopic(cluster, 'bulk', 'retain => true');
}

// A test that fails leaves nobody behind whom its server cannot end.
afterEach(() => {
    for (const pid of standing.splice(0))
        try {
            process.kill(pid, 'SIGCONT');
        } catch (error: any) {
            if (error.code !== 'ESRCH') throw error;
        }
});

let ends: Subscriber;
beforeEach(async () => {
    // That of the test before; the hub may have been busy with its 200 MB.
    await waitFor('nobody to be subscribed', async () => (await subscriberCount(use.cluster, 'ends')) === 0);
    ends = await subscribe(use.cluster, 'ends');
});

/** First and last event of that run, and nothing between them. */
async function expectWhole(messages: Envelope[]) {
    const run = messages.filter(isOfRun).at(-1)?.data.end;
    const of = messages.map(({ data }) => data).filter((data) => data?.begin === run || data?.end === run);
    assert.ok(run > 0);
    assert.deepEqual(of, [{ begin: run }, { end: run }]);
}

test('a writer that stands still while it hands over its events holds up no other commit', async () => {
    const { cluster } = use;
    const client = await watchedTable(cluster, 'others');
    await cluster.sql('CREATE TABLE counted (id int)');
    await createTopic(cluster, 'counted', `query => 'SELECT count(*)::int AS n FROM counted', throttle => '0'`);
    await cluster.sql(`SELECT rtd_watch_table('counted')`);
    const state = await subscribe(cluster, 'counted');
    await state.next(({ data }) => data[0].n === 0);
    const writers = [await cluster.connect(), await cluster.connect(), await cluster.connect()];
    const stopped = await stopWhileItHandsOver(cluster);
    try {
        for (let id = 1; id <= 300; id++)
            await within('a commit', writers[id % 3].query('INSERT INTO others VALUES ($1)', [id]), 5000);
        await within('a commit', writers[0].query('INSERT INTO counted VALUES (1)'), 5000);
        await within('a message that is no part of a transaction', writers[0].query(`SELECT rtd_broadcast('others', '"at once"', transactional => false)`), 5000);
        // A state has no place in the order of commits.
        assert.equal((await state.next(({ data }) => data[0].n === 1)).kind, 'snapshot');
    } finally {
        process.kill(stopped.pid, 'SIGCONT');
    }
    await within('the commit', stopped.committed, 60_000);
    const told = await messagesUntilNow(cluster, client, 'others');
    assert.deepEqual(told.map(({ data }) => data.id).filter((id) => id !== undefined), Array.from({ length: 300 }, (_, n) => n + 1));
    await expectWhole(await messagesUntilNow(cluster, ends, 'ends'));
    for (const session of [...writers, stopped.session]) await cluster.release(session);
});

test('what was committed after it waits for its place in the order', async () => {
    const { cluster } = use;
    const stopped = await stopWhileItHandsOver(cluster);
    try {
        await within('a commit', cluster.sql(`SELECT rtd_broadcast('ends', '"later"')`), 5000);
    } finally {
        process.kill(stopped.pid, 'SIGCONT');
    }
    await within('the commit', stopped.committed, 60_000);
    const messages = await messagesUntilNow(cluster, ends, 'ends');
    assert.equal(messages.at(-1)!.data, 'later');
    await expectWhole(messages);
    await cluster.release(stopped.session);
});

test('one that is terminated meanwhile has handed over all of them, as its transaction is committed', async () => {
    const { cluster } = use;
    const stopped = await stopWhileItHandsOver(cluster);
    await cluster.value('SELECT pg_terminate_backend($1)', [stopped.pid]);
    stopped.session.on('error', () => {});
    process.kill(stopped.pid, 'SIGCONT');
    await waitFor('its end', async () => Number(await cluster.value('SELECT count(*) FROM pg_stat_activity WHERE pid = $1', [stopped.pid])) === 0, { deadlineMs: 60_000 });
    await expectWhole(await messagesUntilNow(cluster, ends, 'ends'));
    await stopped.session.end().catch(() => {});
});

test('hub and gateway that start anew meanwhile take what is there, and the rest when it comes', async () => {
    const { cluster } = use;
    const stopped = await stopWhileItHandsOver(cluster);
    const hub = await cluster.hubPid();
    process.kill(hub, 'SIGTERM');
    await waitFor('another hub', async () => (await cluster.hubPid().catch(() => hub)) !== hub, { deadlineMs: 30_000 });
    // Not until it is ready: that is proved by an event that has its turn after the writer's.
    const again = await waitFor('the gateway', () => Subscriber.open(cluster.url('ends')).catch(() => undefined), { deadlineMs: 30_000 });
    await waitFor('the subscription', async () => (await subscriberCount(cluster, 'ends')) > 0);
    process.kill(stopped.pid, 'SIGCONT');
    await within('the commit', stopped.committed, 60_000);
    await expectWhole(await messagesUntilNow(cluster, again, 'ends'));
    await cluster.release(stopped.session);
});

describe('a writer that is killed while it hands over its events', () => {
    let other: Cluster;
    before(async () => {
        other = await Cluster.create({ settings });
        await prepare(other);
    });
    after(() => other?.destroy());

    test('restarts the server, as any crash of a backend, and leaves nothing in the queue that stops it', async () => {
        const stopped = await stopWhileItHandsOver(other);
        stopped.session.on('error', () => {});
        await other.closeConnections();
        const position = other.logPosition();
        process.kill(stopped.pid, 'SIGKILL');
        await waitFor('the server', () => /database system is ready/.test(other.logSince(position)), { deadlineMs: 60_000 });
        await other.closeConnections(); // they ended with it
        await other.ready();
        const client = await subscribe(other, 'ends');
        const session = await other.connect();
        for (let n = 1; n <= 50; n++) await session.query(`SELECT rtd_broadcast('ends', to_jsonb($1::int))`, [n]);
        await other.release(session);
        const messages = await messagesUntilNow(other, client, 'ends');
        assert.deepEqual(messages.filter((message) => !isOfRun(message)).map(({ data }) => data), Array.from({ length: 50 }, (_, n) => n + 1));
    });
});
