// Durable topics where the server goes on, on another timeline, from before what clients saw: after a
// failover to a standby that lagged, or recovery to a point in time. One id is one message for ever.

import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { Cluster } from '../lib/cluster';
import { createTopic, subscribe } from '../lib/harness';
import { closeSubscribers, parseId, Subscriber } from '../lib/subscriber';

let primary: Cluster;
let successor: Cluster;
const resume = (topic: string, since: string) => Subscriber.open(`${successor.url(topic)}?since=${since}`);
const broadcast = (cluster: Cluster, topic: string, data: string) => cluster.sql('SELECT rtd_broadcast($1, to_jsonb($2::text))', [topic, data]);

/** What a client of the primary saw: the ids by the data. */
const ids: Record<string, string> = {};
/** Topics of the tests: on the new timeline the first has a message soon, the other does not. */
const topics = ['fork-first', 'fork-history'];

async function see(topic: string, ...data: string[]) {
    const client = await subscribe(primary, topic);
    for (const one of data) {
        await broadcast(primary, topic, one);
        ids[`${topic} ${one}`] = (await client.next((message) => message.data === one)).id!;
    }
}

before(async () => {
    primary = await Cluster.create();
    for (const topic of topics) {
        await createTopic(primary, topic, 'durable => true');
        await see(topic, 'one', 'two', 'three');
    }
    successor = await primary.backup();
    for (const topic of topics) await see(topic, 'lost four', 'lost five');
    closeSubscribers();
    await primary.stop('immediate');
    await successor.startRecovered();
});

after(async () => {
    closeSubscribers();
    await successor?.destroy();
    await primary?.destroy();
});

/** What comes until the message `last`, as "kind data". */
async function told(client: Subscriber, last: string) {
    await client.next(({ data }) => data === last);
    return client.messages.map(({ kind, data }) => (kind === 'gap' ? 'gap' : data));
}

test('before the first message: who has what this timeline has misses nothing, who has more is told of a gap', async () => {
    const [topic] = topics;
    const whole = await resume(topic, ids[`${topic} three`]);
    const behind = await resume(topic, ids[`${topic} two`]);
    const ahead = await resume(topic, ids[`${topic} lost four`]);
    const fresh = await subscribe(successor, topic);
    await broadcast(successor, topic, 'other four');
    assert.deepEqual(await told(whole, 'other four'), ['other four']);
    assert.deepEqual(await told(behind, 'other four'), ['three', 'other four']);
    assert.deepEqual(await told(ahead, 'other four'), ['gap', 'three', 'other four']);
    assert.deepEqual(await told(fresh, 'other four'), ['three', 'other four']);
});

test('afterwards: an id of the former primary names nothing else, however far the numbers have come', async () => {
    const [, topic] = topics;
    for (const data of ['other four', 'other five', 'other six']) await broadcast(successor, topic, data);
    const client = await resume(topic, ids[`${topic} one`]);
    assert.deepEqual(await told(client, 'other six'), ['two', 'three', 'other four', 'other five', 'other six']);
    const sent = Object.fromEntries(client.messages.map(({ data, id }) => [data, id!]));
    assert.equal(sent.two, ids[`${topic} two`], 'an old message keeps its id');
    assert.equal(parseId(sent['other four'])[1], parseId(ids[`${topic} lost four`])[1]);
    assert.notEqual(sent['other four'], ids[`${topic} lost four`]);
    for (const [seen, expected] of [
        ['three', ['other four', 'other five', 'other six']],
        ['lost four', ['gap', 'other six']],
        ['lost five', ['gap', 'other six']],
    ] as const)
        assert.deepEqual(await told(await resume(topic, ids[`${topic} ${seen}`]), 'other six'), expected, seen);
    assert.deepEqual(await told(await resume(topic, sent['other four']), 'other six'), ['other five', 'other six']);
});

test('a restart on the same timeline goes on with the same epoch, a second fork begins a third', async () => {
    const [, topic] = topics;
    const client = await subscribe(successor, topic);
    const newest = (await client.next()).id!;
    await successor.restart('immediate');
    await successor.ready();
    await broadcast(successor, topic, 'seven');
    const again = await resume(topic, newest);
    const seven = await again.next(({ data }) => data === 'seven');
    assert.deepEqual(again.messages.map(({ data }) => data), ['seven']);
    assert.deepEqual(parseId(seven.id), [parseId(newest)[0], parseId(newest)[1] + 1n]);

    const first = successor;
    successor = await first.backup();
    try {
        await successor.startRecovered();
        await broadcast(successor, topic, 'eight');
        const from = [ids[`${topic} three`], newest, seven.id!];
        const counts = [];
        for (const since of from) counts.push((await told(await resume(topic, since), 'eight')).length);
        assert.deepEqual(counts, [5, 2, 1], 'through both forks');
        const epochs = await successor.value(`SELECT cardinality(former_epochs) FROM rtd_durable_instance WHERE topic = $1`, [topic]);
        assert.equal(epochs, 2);
    } finally {
        await successor.destroy();
        successor = first;
    }
});
