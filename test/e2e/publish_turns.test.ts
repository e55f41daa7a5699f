// Clients that publish take turns: whoever publishes much waits for itself, and has least claim to a
// full queue.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { createTopic, useCluster } from '../lib/harness';
import { Multiplexed } from '../lib/multiplexed';
import { Subscriber } from '../lib/subscriber';

const use = useCluster(
    { settings: { 'rtd.query_workers': 1, 'rtd.publish_queue_size': '64kB', 'rtd.client_message_rate': 0 } },
    async (cluster) => {
        await createTopic(cluster, 'chat');
        await createTopic(cluster, 'other', 'retain => false'); // so that no worker is asked for its message
        await cluster.sql(`SELECT rtd_grant('chat', 'web_anon', 'publish')`);
    },
);

/** What comes of messages that wait while the workers stand still. */
async function published(sizes: number) {
    const { cluster } = use;
    const reader = await Subscriber.open(cluster.url('chat'));
    const [greedy, modest] = [await Multiplexed.open(cluster), await Multiplexed.open(cluster)];
    // The worker that publishes is there once it has published something.
    assert.equal((await modest.ask({ action: 'publish', topic: 'chat', data: 'first' })).type, 'rtd_published');
    const workers = await cluster.pids('rtd query');
    for (const worker of workers) process.kill(worker, 'SIGSTOP');
    try {
        for (let n = 0; n < 90; n++) greedy.send({ action: 'publish', topic: 'chat', data: `greedy ${n}${' '.repeat(sizes)}`, ref: 1000 + n });
        // The hub answers in the order in which it was asked: it has them all.
        assert.equal((await greedy.ask({ action: 'subscribe', topic: 'other' })).type, 'rtd_subscribed');
        for (let n = 0; n < 3; n++) modest.send({ action: 'publish', topic: 'chat', data: `modest ${n}${' '.repeat(sizes)}`, ref: 1000 + n });
        assert.equal((await modest.ask({ action: 'subscribe', topic: 'other' })).type, 'rtd_subscribed');
    } finally {
        for (const worker of workers) process.kill(worker, 'SIGCONT');
    }
    const order: string[] = [];
    const answers = { modest: [] as any[], greedy: [] as any[] };
    for (let n = 0; n < 3; n++) answers.modest.push(await modest.next((message) => message.data.ref >= 1000));
    for (let n = 0; n < 90; n++) answers.greedy.push(await greedy.next((message) => message.data.ref >= 1000));
    const taken = [...answers.modest, ...answers.greedy].filter((answer) => answer.type === 'rtd_published').length;
    await reader.next((message) => message.data === 'first');
    while (order.length < taken) order.push(String((await reader.next()).data).trim());
    return { order, answers };
}

test('a message waits for one of each other client, and not for all of theirs', async () => {
    const { order } = await published(0);
    assert.equal(order.length, 93);
    for (let n = 0; n < 3; n++) assert.ok(order.indexOf(`modest ${n}`) <= 2 * n + 2, order.slice(0, 10).join(', '));
    assert.deepEqual(
        order.filter((text) => text.startsWith('greedy')),
        Array.from({ length: 90 }, (_, n) => `greedy ${n}`),
        'those of one client keep their order',
    );
});

test('when the queue is full, whoever has the most in it gives way', async () => {
    const { answers } = await published(3000);
    assert.ok(answers.modest.every((answer) => answer.type === 'rtd_published'), JSON.stringify(answers.modest));
    const refused = answers.greedy.filter((answer) => answer.type === 'rtd_error');
    assert.ok(refused.length > 50 && refused.length < 90, String(refused.length));
    assert.ok(refused.every((answer) => answer.data.code === 4503));
});
