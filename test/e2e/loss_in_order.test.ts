// A loss has its place among the messages of a topic: after everything that was committed before it. Who
// reads the table at the gap would take an older event for a newer one otherwise, and stay wrong.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { commitThatWaits } from '../lib/held_commit';
import { createTopic, messagesUntilNow, subscribe, useCluster, watchedTable } from '../lib/harness';
import { withHubStopped } from '../lib/hub_pauses';
import { Envelope } from '../lib/subscriber';
import { waitFor } from '../lib/wait';

const use = useCluster({ settings: { 'rtd.queue_size': '128kB', synchronous_commit: 'local' } });

/** Until the hub has taken what was committed: a state has no place in the order of commits. */
async function drained(states: Awaited<ReturnType<typeof subscribe>>, n: number) {
    await use.cluster.sql(`INSERT INTO drains VALUES (${n})`);
    await states.next(({ data }) => data[0].n === n);
}

const isGap = ({ kind }: Envelope) => kind === 'gap';

test('a gap that is told while older events are held back is told again after them', async (t) => {
    const { cluster } = use;
    await cluster.sql('CREATE TABLE drains (n int)');
    await createTopic(cluster, 'drains', `query => 'SELECT max(n) AS n FROM drains', throttle => '0'`);
    await cluster.sql(`SELECT rtd_watch_table('drains')`);
    const states = await subscribe(cluster, 'drains');
    await states.next();
    await cluster.sql('CREATE TABLE copied (id int PRIMARY KEY, n int); INSERT INTO copied SELECT n, 0 FROM generate_series(1, 100) n');
    await createTopic(cluster, 'copied');
    await cluster.sql(`SELECT rtd_watch_table('copied', columns => '{id,n}')`);
    const client = await subscribe(cluster, 'copied');

    const release = await commitThatWaits(cluster, 'INSERT INTO copied VALUES (101, 0)');
    await cluster.sql('UPDATE copied SET n = 1 WHERE id = 1');
    await drained(states, 1);
    await withHubStopped(cluster, async () => {
        const session = await cluster.connect();
        for (let n = 1; n <= 3000; n++) await session.query('UPDATE copied SET n = $1 WHERE id = 2', [n]);
        await session.query('UPDATE copied SET n = 2 WHERE id = 1'); // lost
        await cluster.release(session);
    });
    // A client hears at once that something is missing, however long the order has to wait.
    await waitFor('the gap', () => client.messages.some(isGap));
    await drained(states, 2);
    assert.ok(client.messages.every(isGap), 'all events wait for the commit before them');
    await release();

    // Who reads all rows at each gap; the table does not change any more.
    await messagesUntilNow(cluster, client, 'copied');
    const table: Map<number, number> = new Map((await cluster.sql('SELECT id, n FROM copied')).map(({ id, n }: any) => [id, n]));
    let rows = new Map<number, number>();
    let held = 0;
    for (const message of client.messages) {
        if (isGap(message)) rows = new Map(table);
        else if (typeof message.data?.id === 'number') {
            rows.set(message.data.id, message.data.n);
            held++;
        }
    }
    t.diagnostic(`${held} events, ${client.messages.filter(isGap).length} gaps`);
    assert.ok(held > 10, 'older events came after the first gap');
    assert.equal(table.get(1), 2);
    assert.deepEqual(rows, table);
});

test('one that is told when nothing is held back is told once', async () => {
    const { cluster } = use;
    const client = await watchedTable(cluster, 'plain_loss', 'id int PRIMARY KEY, n int');
    await withHubStopped(cluster, async () => {
        const session = await cluster.connect();
        for (let n = 1; n <= 3000; n++) await session.query('INSERT INTO plain_loss VALUES ($1, 0)', [n]);
        await cluster.release(session);
    });
    await waitFor('the gap', () => client.messages.some(isGap));
    await messagesUntilNow(cluster, client, 'plain-loss');
    assert.equal(client.messages.filter(isGap).length, 1);
});
