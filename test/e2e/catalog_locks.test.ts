// Locks on what the hub itself reads: its tables, and the catalog of roles. The hub tries, gives way at once and comes
// back, so the events of others go on; and whoever asks for what it could not read yet is told to come back.

import assert from 'node:assert/strict';
import { afterEach, describe, test } from 'node:test';
import type { Connection } from '../lib/cluster';
import { createTopic, subscribe, useCluster } from '../lib/harness';
import { closeMultiplexed, Multiplexed } from '../lib/multiplexed';
import { Subscriber } from '../lib/subscriber';
import { pause, waitFor } from '../lib/wait';

const use = useCluster({ settings: { 'rtd.linger': 0 } });
afterEach(closeMultiplexed);

async function whileOpen(statement: string, body: (holder: Connection) => Promise<void>) {
    const holder = await use.cluster.connect();
    await holder.query(`BEGIN; ${statement}`);
    try {
        await body(holder);
    } finally {
        await holder.query('ROLLBACK');
        await use.cluster.release(holder);
    }
}

/** Until the hub has read of it: a lock may have kept it from that. */
const isRead = (topic: string) => waitFor('the topic', async () => {
    const client = await Multiplexed.open(use.cluster);
    client.send({ action: 'subscribe', topic });
    return (await client.next(({ type }) => /^rtd_(error|subscribed)$/.test(type))).type === 'rtd_subscribed';
});

/** Delays of what is sent every few milliseconds until `done`, on a connection that is there already. */
async function delaysUntil(sender: Connection, topic: string, client: Subscriber, done: Promise<unknown>): Promise<number[]> {
    let going = true;
    void done.finally(() => (going = false)).catch(() => {});
    const sent: number[] = [];
    const delays: number[] = [];
    const receiving = (async () => {
        for (let n = 0; ; n++) {
            const { data } = await client.next(({ data }) => data === n || data === -1, 20_000);
            if (data === -1) return;
            delays.push(Date.now() - sent[n]);
        }
    })();
    while (going) {
        sent.push(Date.now());
        await sender.query('SELECT rtd_broadcast($1, to_jsonb($2::int))', [topic, sent.length - 1]);
        await pause(5);
    }
    await sender.query('SELECT rtd_broadcast($1, to_jsonb(-1))', [topic]);
    await receiving;
    await done;
    return delays;
}

function expectNoStalls(delays: number[], diagnostic: (line: string) => void) {
    const sorted = [...delays].sort((a, b) => b - a);
    diagnostic(`${delays.length} messages; the longest delays were ${sorted.slice(0, 12).join(', ')} ms`);
    assert.ok(delays.length >= 100);
    assert.ok(sorted.filter((ms) => ms > 100).length <= 5, 'the hub stood still');
}

describe('while a session has locked', () => {
    for (const table of ['rtd_channel', 'rtd_topic_grant'])
        test(`${table}, events go on although roles change`, async (t) => {
            const topic = `beside-${table.replace(/_/g, '-')}`;
            await createTopic(use.cluster, topic);
            await isRead(topic);
            const client = await subscribe(use.cluster, topic);
            const [sender, changer] = [await use.cluster.connect(), await use.cluster.connect()];
            await sender.query(`SELECT rtd_broadcast('${topic}', 'null')`); // it knows the topic
            await whileOpen(`LOCK TABLE ${table} IN ACCESS EXCLUSIVE MODE`, async () => {
                const changes = (async () => {
                    for (let n = 0; n < 40; n++) {
                        await changer.query(`CREATE ROLE ${table}_${n}`);
                        await pause(100);
                    }
                })();
                expectNoStalls(await delaysUntil(sender, topic, client, changes), (line) => t.diagnostic(line));
            });
            await use.cluster.release(sender);
            await use.cluster.release(changer);
        });

    test('pg_authid, events go on although newcomers ask for topics of roles that the hub must look up', async (t) => {
        await createTopic(use.cluster, 'beside-roles');
        await isRead('beside-roles');
        const topics = Array.from({ length: 60 }, (_, n) => `of-role-${n}`);
        for (const [n, topic] of topics.entries())
            await use.cluster.sql(`
                CREATE ROLE owner_${n}; GRANT CREATE ON DATABASE app TO owner_${n}; SET ROLE owner_${n};
                SELECT rtd_create_topic('${topic}'), rtd_grant('${topic}', 'web_anon'); RESET ROLE`);
        await use.cluster.ready();
        const client = await subscribe(use.cluster, 'beside-roles');
        const newcomer = await Multiplexed.open(use.cluster);
        const sender = await use.cluster.connect();
        await sender.query(`SELECT rtd_broadcast('beside-roles', 'null')`);
        await whileOpen('LOCK TABLE pg_authid IN ACCESS EXCLUSIVE MODE', async () => {
            const asking = (async () => {
                for (const topic of topics) {
                    newcomer.send({ action: 'subscribe', topic });
                    await pause(30);
                }
            })();
            expectNoStalls(await delaysUntil(sender, 'beside-roles', client, asking), (line) => t.diagnostic(line));
            await waitFor('all to be answered', () => newcomer.messages.filter(({ type }) => /^rtd_(error|subscribed)$/.test(type)).length >= topics.length);
        });
        await use.cluster.release(sender);
    });

    test('a table of rtd, a newcomer of a topic that the hub has not read yet is told to come back, and finds it then', async () => {
        const client = await Multiplexed.open(use.cluster);
        const maker = await use.cluster.connect();
        await whileOpen('LOCK TABLE rtd_channel IN ACCESS EXCLUSIVE MODE', async () => {
            await maker.query(`SELECT rtd_create_topic('made-meanwhile'), rtd_grant('made-meanwhile', 'web_anon')`);
            await client.expectError({ action: 'subscribe', topic: 'made-meanwhile' }, 4500, /cannot read its topics/);
        });
        await isRead('made-meanwhile');
        await use.cluster.release(maker);
    });
});
