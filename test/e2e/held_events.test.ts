// A commit that was announced and does not come, here because it waits for a synchronous standby: events
// of later commits wait for it, because clients are told in the order of commits. The hub's memory once
// grew with every one of them.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { createTopic, subscribe, useCluster } from '../lib/harness';
import { waitFor } from '../lib/wait';

const queueKilobytes = 1024;
const use = useCluster({ settings: { 'rtd.queue_size': `${queueKilobytes}kB` } });

/** A session whose commit waits until it is cancelled, with one event of `topic`. */
async function stuckCommit(topic: string) {
    const { cluster } = use;
    await cluster.reload({ synchronous_standby_names: 'nobody' });
    await waitFor('the setting', async () => (await cluster.value('SHOW synchronous_standby_names')) === 'nobody');
    const session = await cluster.connect();
    const { pid } = (await session.query('SELECT pg_backend_pid() AS pid')).rows[0];
    const committed = session.query(`CREATE TABLE IF NOT EXISTS stuck (n int); INSERT INTO stuck VALUES (1); SELECT rtd_broadcast('${topic}', '"stuck"')`);
    await waitFor('the commit to wait', async () =>
        (await cluster.value(`SELECT wait_event FROM pg_stat_activity WHERE pid = ${pid}`)) === 'SyncRep');
    const end = async () => {
        await cluster.value(`SELECT pg_cancel_backend(${pid})`);
        await committed;
        await cluster.release(session);
        await cluster.reload({ synchronous_standby_names: '' });
    };
    return { pid, end };
}

for (const [name, bytes] of Object.entries({ small: 100, large: 50_000 })) {
    test(`${name} events that wait for a commit are lost when they fill the queue once more, and the log says for whom they wait`, async () => {
        const { cluster } = use;
        for (const topic of [`waiting-${name}`, `quiet-${name}`]) await createTopic(cluster, topic);
        await cluster.sql(`CREATE TABLE counted_${name} (n int)`);
        await createTopic(cluster, `state-${name}`, `query => 'SELECT count(*) AS n FROM counted_${name}', throttle => '0'`);
        await cluster.sql(`SELECT rtd_watch_table('counted_${name}', 'state-${name}')`);
        const client = await subscribe(cluster, `waiting-${name}`);
        const quiet = await subscribe(cluster, `quiet-${name}`);
        const state = await subscribe(cluster, `state-${name}`);
        assert.deepEqual((await state.next()).data, [{ n: 0 }]);
        const position = cluster.logPosition();
        const stuck = await stuckCommit(`waiting-${name}`);
        const local = await cluster.connect();
        await local.query('SET synchronous_commit = local');
        await local.query(`INSERT INTO counted_${name} VALUES (1)`);
        const enough = Math.ceil((2 * queueKilobytes * 1024) / bytes);
        const atOnce = bytes < 1000 ? 50 : 1; // many bytes of one transaction would be one loss
        for (let sent = 0; sent < enough; sent += atOnce)
            await local.query(`SELECT rtd_broadcast('waiting-${name}', to_jsonb(repeat('x', ${bytes}))) FROM generate_series(1, ${atOnce})`);
        const gap = await client.next(({ kind }) => kind === 'gap');
        assert.match(gap.data.reason, /too many events waited for a commit/);
        const [, process] = await cluster.waitForLog(/events were lost that waited for the commit of process (\d+)/, position);
        assert.equal(Number(process), stuck.pid);
        await state.next(({ data }) => data[0].n === 1);
        await stuck.end();
        await local.query(`SELECT rtd_broadcast('waiting-${name}', '"after"')`);
        await client.next(({ data }) => data === 'after');
        assert.ok(client.messages.some(({ data }) => data === 'stuck'), 'what was waited for came too');
        await local.query(`SELECT rtd_broadcast('quiet-${name}', '"first"')`);
        await quiet.next(({ data }) => data === 'first');
        assert.deepEqual(quiet.messages.map(({ kind }) => kind), ['event'], 'who had nothing there is told of no gap');
        await cluster.release(local);
    });
}
