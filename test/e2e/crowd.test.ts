// Thousands of clients that come at once to one state topic cost one query, and so does each change.

import assert from 'node:assert/strict';
import { execSync } from 'node:child_process';
import { test } from 'node:test';
import { Receiver } from '../../bench/receiver';
import { createTopic, queriesRun, subscriberCount, useCluster } from '../lib/harness';
import { waitFor } from '../lib/wait';

// Descriptors are what limits it: one for each client here, and one in the gateway.
const limit = execSync('ulimit -n', { encoding: 'utf8', shell: '/bin/sh' }).trim();
const clients = Math.min(10_000, limit === 'unlimited' ? 10_000 : Number(limit) - 500);
const atOnce = 250; // connections that are being opened

const use = useCluster(
    {
        settings: {
            shared_preload_libraries: 'rtd,pg_stat_statements',
            'pg_stat_statements.track': 'all',
            'rtd.max_clients': clients + 10,
        },
    },
    (cluster) => cluster.sql('CREATE EXTENSION pg_stat_statements'),
);

/** Opens all of them; seconds until the last has got its first message. */
async function connectAll(received: number[]): Promise<[Receiver[], number]> {
    const start = process.hrtime.bigint();
    const receivers: Receiver[] = [];
    let next = 0;
    const open = async () => {
        while (next < clients) {
            const index = next++;
            received[index] = 0;
            receivers[index] = await Receiver.open(use.cluster.rtdPort, '/ws/crowd', (head) => {
                if (head.includes('"type":"crowd_update"')) received[index]++;
            });
        }
    };
    await Promise.all(Array.from({ length: atOnce }, open));
    await everyone(received, 1);
    return [receivers, Number(process.hrtime.bigint() - start) / 1e9];
}

const everyone = (received: number[], count: number) =>
    waitFor(`${count} messages for everyone`, () => received.every((n) => n >= count), { deadlineMs: 120_000 });

test('many clients of a state topic cost one query, when they come, at each change, and when the gateway dies', async (t) => {
    t.diagnostic(`${clients} clients${clients < 10_000 ? `, as many as ${limit} descriptors allow` : ''}`);
    await use.cluster.sql('CREATE TABLE crowd (id int PRIMARY KEY)');
    await createTopic(use.cluster, 'crowd', `query => 'SELECT count(*) FROM crowd AS crowd_counted'`);
    await use.cluster.sql(`SELECT rtd_watch_table('crowd')`);
    const before = await queriesRun(use.cluster, 'crowd'); // it was checked when the topic was made

    const received: number[] = [];
    const [receivers, seconds] = await connectAll(received);
    assert.equal((await queriesRun(use.cluster, 'crowd')) - before, 1);
    assert.equal(await subscriberCount(use.cluster, 'crowd'), clients);
    t.diagnostic(`connected and greeted within ${seconds.toFixed(1)} s: 1 query`);

    await use.cluster.sql('INSERT INTO crowd VALUES (1)');
    await everyone(received, 2);
    assert.equal((await queriesRun(use.cluster, 'crowd')) - before, 2);

    const ended = Promise.all(receivers.map(({ socket }) => new Promise((resolve) => socket.once('close', resolve))));
    process.kill(await use.cluster.gatewayPid(), 'SIGKILL');
    await ended;
    await use.cluster.ready();
    const [again, secondsAgain] = await connectAll(received);
    assert.equal((await queriesRun(use.cluster, 'crowd')) - before, 2, 'the state was kept');
    t.diagnostic(`back after the gateway was killed within ${secondsAgain.toFixed(1)} s: no query`);
    assert.ok(received.every((n) => n === 1), 'one first message for each');
    for (const { socket } of again) socket.destroy();
});
