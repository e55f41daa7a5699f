// significant: a state topic that sends a state only if it differs enough from the last one sent.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { createTopic, subscribe, useCluster } from '../lib/harness';
import { Subscriber } from '../lib/subscriber';
import { waitFor } from '../lib/wait';

const use = useCluster({}, (cluster) =>
    cluster.sql(`
        CREATE FUNCTION moved_by_a_tenth(old jsonb, new jsonb) RETURNS boolean LANGUAGE sql
        RETURN abs((new ->> 'count')::numeric - (old ->> 'count')::numeric) > 0.1 * (old ->> 'count')::numeric`),
);

/** A topic whose state is one number. */
async function counterTopic(name: string, significant = 'moved_by_a_tenth(jsonb,jsonb)') {
    const table = name.replace(/-/g, '_');
    await use.cluster.sql(`
        CREATE TABLE ${table} (count int);
        INSERT INTO ${table} VALUES (100)`);
    await createTopic(use.cluster, name, `significant => '${significant}', throttle => '0',
        query => 'SELECT jsonb_build_object(''count'', count) FROM ${table}'`);
    await use.cluster.sql(`SELECT rtd_watch_table('${table}', '${name}')`);
    const set = (count: number) => use.cluster.sql(`UPDATE ${table} SET count = $1`, [count]);
    return { set, subscribe: () => subscribe(use.cluster, name) };
}

/** A new client whose first state this is. The query may still run: then the first to come gets the state before. */
const newcomerWith = (count: number, subscribe: () => Promise<Subscriber>) =>
    waitFor(`a client that gets ${count} first`, async () => {
        const client = await subscribe();
        return (await client.next()).data.count === count ? client : undefined;
    });

const counts = (client: Subscriber) => client.messages.map((message) => message.data.count);

test('a state is compared with the last one sent, not with the last one queried', async () => {
    const topic = await counterTopic('counted');
    const client = await topic.subscribe();
    assert.equal((await client.next()).data.count, 100);
    // Each step is small, their sum is not.
    for (const count of [103, 106, 109, 110]) await topic.set(count);
    await topic.set(112);
    assert.equal((await client.next()).data.count, 112);
    await topic.set(121);
    await topic.set(100);
    assert.equal((await client.next()).data.count, 100);
    assert.deepEqual(counts(client), [100, 112, 100]);
});

test('a new subscriber gets the newest state, and everybody else with it', async () => {
    const topic = await counterTopic('greeted');
    const first = await topic.subscribe();
    await first.next();
    await topic.set(105);
    const late = await newcomerWith(105, topic.subscribe);
    const sent = await first.next((message) => message.data.count === 105);
    assert.deepEqual(sent, late.messages[0], 'one message with one id for both');
    // It is the state that the next ones are compared with.
    await topic.set(111);
    await topic.set(116);
    assert.equal((await first.next()).data.count, 116);
    assert.equal((await late.next()).data.count, 116);
    assert.deepEqual(counts(first), [100, 105, 116]);
});

test('after a broadcast the next state is sent, significant or not', async () => {
    const topic = await counterTopic('interrupted');
    const client = await topic.subscribe();
    await client.next();
    await use.cluster.sql(`SELECT rtd_broadcast('interrupted', '{"count": 0}')`);
    assert.equal((await client.next()).kind, 'event');
    await topic.set(101);
    assert.equal((await client.next()).data.count, 101);
});

test('a function that says NULL lets the state pass', async () => {
    await use.cluster.sql(`
        CREATE FUNCTION says_null(old jsonb, new jsonb) RETURNS boolean LANGUAGE sql RETURN NULL::boolean`);
    const topic = await counterTopic('undecided', 'says_null(jsonb,jsonb)');
    const client = await topic.subscribe();
    await client.next();
    await topic.set(101);
    assert.equal((await client.next()).data.count, 101);
});

test('a function that fails lets the state pass and is logged once; so is one that was dropped', async () => {
    await use.cluster.sql(`
        CREATE FUNCTION fragile(old jsonb, new jsonb) RETURNS boolean LANGUAGE plpgsql AS $$
        BEGIN
            IF (new ->> 'count')::int < 0 THEN RAISE 'below zero'; END IF;
            RETURN false;
        END $$`);
    const topic = await counterTopic('fragile', 'fragile(jsonb,jsonb)');
    const client = await topic.subscribe();
    await client.next();
    const position = use.cluster.logPosition();
    for (const count of [-1, -2, -3]) {
        await topic.set(count);
        assert.equal((await client.next()).data.count, count);
    }
    const warnings = () => use.cluster.logSince(position).match(/WARNING: .*topic "fragile" failed: below zero/g) ?? [];
    assert.equal(warnings().length, 1);
    // It works again: nothing is sent, and a new failure is news.
    await topic.set(5);
    await newcomerWith(5, topic.subscribe);
    await topic.set(-4);
    await client.next((message) => message.data.count === -4);
    assert.equal(warnings().length, 2);

    await use.cluster.sql('DROP FUNCTION fragile');
    await topic.set(7);
    assert.equal((await client.next((message) => message.data.count === 7)).data.count, 7);
    await use.cluster.sql(`SELECT rtd_alter_topic('fragile', significant => '-')`);
});

test('the function runs as the owner of the topic, in a read-only transaction', async () => {
    await use.cluster.sql(`
        CREATE ROLE counter_owner;
        CREATE TABLE who_asked (role text);
        GRANT CREATE ON DATABASE app TO counter_owner;
        CREATE FUNCTION asks_who(old jsonb, new jsonb) RETURNS boolean LANGUAGE plpgsql AS $$
        BEGIN
            IF current_user <> 'counter_owner' THEN RAISE 'run by %', current_user; END IF;
            IF current_setting('transaction_read_only') <> 'on' THEN RAISE 'it may write'; END IF;
            RETURN (new ->> 'count')::int % 2 = 0;
        END $$;
        CREATE TABLE asked (count int);
        INSERT INTO asked VALUES (0);
        ALTER TABLE asked OWNER TO counter_owner;
        SET ROLE counter_owner;
        SELECT rtd_create_topic('asked', significant => 'asks_who(jsonb,jsonb)', throttle => '0',
                                query => 'SELECT jsonb_build_object(''count'', count) FROM asked');
        SELECT rtd_watch_table('asked');
        SELECT rtd_grant('asked', 'web_anon');
        RESET ROLE`);
    const position = use.cluster.logPosition();
    const client = await subscribe(use.cluster, 'asked');
    await client.next();
    for (let count = 1; count <= 4; count++) {
        await use.cluster.sql(`UPDATE asked SET count = ${count}`);
        if (count % 2 === 0) assert.equal((await client.next((message) => message.data.count % 2 === 0)).data.count, count);
    }
    assert.ok(!/WARNING/.test(use.cluster.logSince(position)), 'the function never failed');
    assert.deepEqual(counts(client).filter((count) => count % 2), []);
});
