// A server with one query worker, which a lock that somebody holds must not take away from the topics that do not
// need it: each try of a locked topic takes the worker for a moment, and the others have their turns in between.

import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import type { Connection } from '../lib/cluster';
import { createTopic, subscribe, useCluster } from '../lib/harness';
import type { Subscriber } from '../lib/subscriber';
import { waitFor } from '../lib/wait';

const use = useCluster({ settings: { 'rtd.query_workers': 1, 'rtd.statement_timeout': '1h', 'rtd.linger': 0 } });

const shows = (n: number) => (message: { kind: string; data: any }) => message.kind === 'snapshot' && message.data[0].n === n;

async function watched(table: string, topics: string[]): Promise<Subscriber[]> {
    await use.cluster.sql(`CREATE TABLE ${table} (id int PRIMARY KEY, n int); INSERT INTO ${table} VALUES (1, 0)`);
    const clients: Subscriber[] = [];
    for (const topic of topics) {
        await createTopic(use.cluster, topic, `query => 'SELECT n FROM ${table}', throttle => '0'`);
        await use.cluster.sql(`SELECT rtd_watch_table('${table}', '${topic}')`);
        const client = await subscribe(use.cluster, topic);
        await client.next(shows(0));
        clients.push(client);
    }
    return clients;
}

/** How long it took until each of some updates was seen. */
async function delays(table: string, client: Subscriber, from: number, count: number): Promise<number[]> {
    const found: number[] = [];
    for (let n = from; n < from + count; n++) {
        const start = Date.now();
        await use.cluster.sql(`UPDATE ${table} SET n = ${n}`);
        await client.next(shows(n));
        found.push(Date.now() - start);
    }
    return found;
}

async function whileLocked(table: string, body: (holder: Connection) => Promise<void>) {
    const holder = await use.cluster.connect();
    await holder.query(`BEGIN; LOCK TABLE ${table}`);
    try {
        await body(holder);
    } finally {
        await holder.query('ROLLBACK');
        await use.cluster.release(holder);
    }
}

describe('with one query worker', () => {
    for (const count of [1, 25])
        test(`${count} topics that wait for a lock hold up no other topic`, async (t) => {
            const names = Array.from({ length: count }, (_, n) => `held-${count}-${n}`);
            const held = await watched(`held_${count}`, names);
            const [free] = await watched(`free_${count}`, [`free-${count}`]);
            await whileLocked(`held_${count}`, async (holder) => {
                await use.cluster.sql(`SELECT ${names.map((name) => `rtd_refresh('${name}')`).join(', ')}`);
                // The first of them waits for the lock while nobody knows of it.
                const first = await delays(`free_${count}`, free, 1, 1);
                const later = await delays(`free_${count}`, free, 2, 60);
                t.diagnostic(`the first update was seen after ${first} ms, the later ones after ${later.join(' ')}`);
                assert.ok(first[0] < 1500, `the first after ${first} ms`);
                assert.ok(later.filter((ms) => ms > 150).length <= 3, `${later}`);
                await holder.query(`UPDATE held_${count} SET n = 7; COMMIT`);
            });
            for (const client of held) await client.next(shows(7));
            for (const client of [...held, free]) client.socket.terminate();
        });

    test('topics that keep it busy do not keep one from it whose lock was given back', async () => {
        const [held] = await watched('starved', ['starved']);
        const busy = await watched('busy', ['busy-1', 'busy-2', 'busy-3', 'busy-4']);
        const writer = await use.cluster.connect();
        let writes = true;
        let n = 0;
        const writing = (async () => {
            while (writes) await writer.query(`UPDATE busy SET n = ${++n}`);
        })();
        await whileLocked('starved', async (holder) => {
            await use.cluster.sql(`SELECT rtd_refresh('starved')`);
            const tries = new Set<string>();
            await waitFor('several tries that meet the lock', async () => {
                const { rows } = await holder.query(`SELECT waitstart::text AS began FROM pg_locks
                    WHERE NOT granted AND relation = 'starved'::regclass AND waitstart IS NOT NULL`);
                for (const { began } of rows) tries.add(began);
                return tries.size >= 3;
            }, { everyMs: 1, deadlineMs: 30_000 });
            await holder.query('UPDATE starved SET n = 3; COMMIT');
        });
        await held.next(shows(3));
        writes = false;
        await writing;
        for (const client of busy) await client.next(shows(n));
        await use.cluster.release(writer);
    });
});
