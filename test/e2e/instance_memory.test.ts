// What the hub counts for an instance is what the instance takes: rtd.instance_memory bounds memory, and not a
// figure that has little to do with it.

import assert from 'node:assert/strict';
import { afterEach, test } from 'node:test';
import { privateKilobytes } from '../lib/flood';
import { createTopic, subscriberCount, useCluster } from '../lib/harness';
import { closeMultiplexed, Multiplexed } from '../lib/multiplexed';
import { waitFor } from '../lib/wait';

const kBoundKilobytes = 32 * 1024;
let empty: number; // kilobytes of the hub that has no instance
const use = useCluster(
    {
        settings: {
            'rtd.instance_memory': `${kBoundKilobytes}kB`,
            'rtd.linger': 0,
            'rtd.max_subscriptions_per_client': 100_000,
            'rtd.client_message_rate': 0,
        },
    },
    async (cluster) => (empty = privateKilobytes(await cluster.hubPid())),
);
afterEach(closeMultiplexed);

/** Subscribes to ever more instances of the topic until one is refused; returns how many were not. */
async function subscribeUntilRefused(client: Multiplexed, topic: string): Promise<number> {
    const portion = 1000;
    for (let first = 1; first < 200_000; first += portion) {
        for (let n = first; n < first + portion; n++) client.send({ action: 'subscribe', topic, params: [`${n}`] });
        const answers = () => client.messages.filter((message) => message.type === 'rtd_subscribed' || message.type === 'rtd_error');
        await waitFor(`the answers up to ${first + portion}`, () => answers().length === portion, { deadlineMs: 60_000 });
        const accepted = answers().filter((message) => message.type === 'rtd_subscribed').length;
        client.messages.length = 0;
        if (accepted < portion) return first - 1 + accepted;
    }
    throw new Error('there is no bound');
}

const topics: [string, string][] = [
    ['plain', `parameters => '{id}', retain => false`],
    ['retained', `parameters => '{id}'`],
    ['without-history', `parameters => '{id}', retain => false, history => 0`],
];
for (const [topic, options] of topics)
    test(`the instances of an event topic fill the memory that they are allowed: ${topic}`, { timeout: 180_000 }, async (t) => {
        await createTopic(use.cluster, topic, options);
        const client = await Multiplexed.open(use.cluster);
        const instances = await subscribeUntilRefused(client, topic);
        const taken = privateKilobytes(await use.cluster.hubPid()) - empty;
        const story = `${instances} instances took ${taken} kB, which is ${Math.round((taken * 1024) / instances)} bytes each`;
        t.diagnostic(story);
        assert.ok(taken < kBoundKilobytes * 1.1, story);
        assert.ok(taken > kBoundKilobytes * 0.5, story);
        await client.close();
        await waitFor('the instances to be gone', async () => (await subscriberCount(use.cluster, topic, ['1'])) === 0);
    });
