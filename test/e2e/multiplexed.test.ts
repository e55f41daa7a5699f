// Many topics on one connection: subscribe, unsubscribe, publish and ping, and that an error of one
// request or one topic leaves all others alone.

import assert from 'node:assert/strict';
import { afterEach, describe, test } from 'node:test';
import { createTopic, subscribe, subscriberCount, useCluster } from '../lib/harness';
import { closeMultiplexed, Multiplexed } from '../lib/multiplexed';
import { waitFor, within } from '../lib/wait';

const use = useCluster();
afterEach(closeMultiplexed);

const sql = (text: string, values?: unknown[]) => use.cluster.sql(text, values);

describe('subscriptions', () => {
    test('80 instances of three topics share a connection, and each gets its own messages', async () => {
        await sql(`CREATE TABLE shared (id int PRIMARY KEY, n int); INSERT INTO shared SELECT i, 0 FROM generate_series(1, 40) i`);
        await createTopic(use.cluster, 'shared', `parameters => '{id}', throttle => '0', query => 'SELECT n FROM shared WHERE id = $1'`);
        await sql(`SELECT rtd_watch_table('shared', 'shared', parameters => '{id}')`);
        await createTopic(use.cluster, 'rooms', `parameters => '{room}'`);
        await createTopic(use.cluster, 'news');
        const client = await Multiplexed.open(use.cluster);
        const rooms = Array.from({ length: 39 }, (_, i) => `room ${i}/ü`);
        for (let id = 1; id <= 40; id++) client.send({ action: 'subscribe', topic: 'shared', params: [`${id}`] });
        for (const room of rooms) client.send({ action: 'subscribe', topic: 'rooms', params: [room] });
        await client.subscribe('news');
        await waitFor('all answers and states', () => client.messages.length >= 80 + 40);
        assert.equal(client.messages.filter((message) => message.type === 'rtd_subscribed').length, 80);
        const states = client.messages.filter((message) => message.kind === 'snapshot');
        assert.deepEqual(new Set(states.map((message) => message.params[0])).size, 40);
        for (const { topic, params } of states) {
            const answered = client.messages.findIndex((m) => m.type === 'rtd_subscribed' && m.topic === topic && m.params[0] === params[0]);
            const came = client.messages.findIndex((m) => m.kind === 'snapshot' && m.topic === topic && m.params[0] === params[0]);
            assert.ok(answered >= 0 && answered < came, 'rtd_subscribed comes before the first message');
        }

        await sql(`UPDATE shared SET n = id * 10 WHERE id IN (7, 33)`);
        const changed = [await client.next((m) => m.data[0]?.n > 0), await client.next((m) => m.data[0]?.n > 0)];
        assert.deepEqual(changed.map((m) => [m.params[0], m.data[0].n]).sort(), [['33', 330], ['7', 70]]);
        for (const room of [rooms[3], rooms[38]]) {
            await sql(`SELECT rtd_broadcast('rooms', to_jsonb($1::text), ARRAY[$1])`, [room]);
            const message = await client.next((m) => m.topic === 'rooms' && m.kind === 'event');
            assert.deepEqual([message.data, message.params], [room, [room]]);
        }
        await client.close();
    });

    test('what is unsubscribed is silent, and may be subscribed again', async () => {
        await createTopic(use.cluster, 'left', `retain => false`);
        await createTopic(use.cluster, 'kept', `retain => false`);
        const client = await Multiplexed.open(use.cluster);
        await client.subscribe('left');
        await client.subscribe('kept');
        const answer = await client.ask({ action: 'unsubscribe', topic: 'left' });
        assert.equal(answer.type, 'rtd_unsubscribed');
        await waitFor('the hub to know', async () => (await subscriberCount(use.cluster, 'left')) === 0);
        await sql(`SELECT rtd_broadcast('left', '1'), rtd_broadcast('kept', '2')`);
        assert.equal((await client.next()).data, 2);
        await client.subscribe('left');
        await sql(`SELECT rtd_broadcast('left', '3')`);
        assert.equal((await client.next()).data, 3);
    });

    test('a topic that is dropped, or no longer granted, ends alone', async () => {
        for (const topic of ['to-drop', 'to-revoke', 'to-stay']) await createTopic(use.cluster, topic);
        const client = await Multiplexed.open(use.cluster);
        for (const topic of ['to-drop', 'to-revoke', 'to-stay']) await client.subscribe(topic);
        await sql(`SELECT rtd_drop_topic('to-drop')`);
        let ended = await client.next();
        assert.deepEqual([ended.type, ended.topic, ended.data.code], ['rtd_unsubscribed', 'to-drop', 4410]);
        await sql(`SELECT rtd_revoke('to-revoke', 'web_anon')`);
        ended = await client.next();
        assert.deepEqual([ended.type, ended.topic, ended.data.code], ['rtd_unsubscribed', 'to-revoke', 4403]);
        await sql(`SELECT rtd_broadcast('to-stay', '"here"')`);
        assert.equal((await client.next()).data, 'here');
    });

    test('a limit holds per client, and follows a reload', async () => {
        await createTopic(use.cluster, 'limited', `parameters => '{n}'`);
        await use.cluster.reload({ 'rtd.max_subscriptions_per_client': 3 });
        const client = await Multiplexed.open(use.cluster);
        for (const n of ['1', '2', '3']) await client.subscribe('limited', n);
        await waitFor('the setting to be in force', async () => {
            const answer = await client.ask({ action: 'subscribe', topic: 'limited', params: ['4'] });
            if (answer.data.code === 4503) return true;
            await client.ask({ action: 'unsubscribe', topic: 'limited', params: ['4'] });
            return false;
        });
        await use.cluster.reload({ 'rtd.max_subscriptions_per_client': 100 });
    });
});

describe('errors', () => {
    test('of a request are answered, one by one, and the connection goes on', async () => {
        await createTopic(use.cluster, 'with-id', `parameters => '{id}', query => 'SELECT $1::int AS id'`);
        await sql(`SELECT rtd_create_topic('not-granted')`);
        const client = await Multiplexed.open(use.cluster);
        const subscribing = (topic: string, ...params: string[]) => ({ action: 'subscribe', topic, params });
        await client.expectError(subscribing('no-such-topic'), 4404, /does not exist/);
        await client.expectError(subscribing('not-granted'), 4403, /may not subscribe/);
        await client.expectError(subscribing('with-id'), 4400, /takes 1 parameter/);
        await client.expectError(subscribing('with-id', '1', '2'), 4400, /takes 1 parameter/);
        await client.subscribe('with-id', '1');
        await client.expectError(subscribing('with-id', '1'), 4400, /subscribed already/);
        await client.expectError({ action: 'unsubscribe', topic: 'with-id', params: ['2'] }, 4400, /not subscribed/);
        await client.expectError({ action: 'dance' }, 4400, /must be/);
        client.send('nonsense');
        assert.equal((await client.next((m) => m.type === 'rtd_error' && !m.data.ref)).data.code, 4400);

        await client.expectError(subscribing('with-id', 'abc'), 4400, /invalid input syntax for type integer/);

        // What only the query finds wrong comes after rtd_subscribed.
        await sql(`CREATE DOMAIN small_id AS int CHECK (VALUE < 100)`);
        await createTopic(use.cluster, 'with-small-id', `query => 'SELECT $1::small_id AS id', parameters => '{id}'`);
        await client.subscribe('with-small-id', '100');
        const ended = await client.next((m) => m.type === 'rtd_unsubscribed');
        assert.deepEqual([ended.data.code, ended.params], [4400, ['100']]);
        assert.equal((await client.ask({ action: 'ping' })).type, 'rtd_pong');
        assert.equal(client.socket.readyState, client.socket.OPEN);
    });

    test('of a query are told, without what it said, and the next state comes when it works again', async () => {
        await sql(`CREATE TABLE divisor (n int); INSERT INTO divisor VALUES (2)`);
        await createTopic(use.cluster, 'failing', `query => 'SELECT 1 / n AS result FROM divisor'`);
        await sql(`SELECT rtd_watch_table('divisor', 'failing', columns => '{n}')`);
        const client = await Multiplexed.open(use.cluster);
        await client.subscribe('failing');
        await client.next((m) => m.kind === 'snapshot');
        await sql(`UPDATE divisor SET n = 0`);
        const error = await client.next((m) => m.type === 'rtd_error');
        assert.deepEqual(error.data, {
            code: 4500,
            message: "the topic's query failed (SQLSTATE 22012); the server tries again",
        });
        assert.equal(error.topic, 'failing');
        await sql(`UPDATE divisor SET n = 1`);
        assert.deepEqual((await client.next((m) => m.kind === 'snapshot')).data, [{ result: 1 }]);
    });

    test('too many messages are refused, and a flood is closed with 4503', async () => {
        const client = await Multiplexed.open(use.cluster);
        for (let i = 0; i < 1000; i++) client.send({ action: 'ping', ref: i });
        const { code, reason } = await within('the close', client.closed);
        assert.equal(code, 4503);
        assert.match(reason, /50 messages a second/);
        const pongs = client.messages.filter((message) => message.type === 'rtd_pong');
        const errors = client.messages.filter((message) => message.type === 'rtd_error');
        assert.ok(pongs.length >= 200 && pongs.length < 300, `${pongs.length} pongs`);
        assert.ok(errors.length >= 49 && errors.every((message) => message.data.code === 4503), `${errors.length} errors`);
    });
});

describe('publish', () => {
    const publish = (client: Multiplexed, topic: string, data: unknown, params: string[] = []) =>
        client.ask({ action: 'publish', topic, params, data });

    test('needs a grant of its own, and then is a broadcast', async () => {
        await createTopic(use.cluster, 'chat', `parameters => '{room}'`);
        const client = await Multiplexed.open(use.cluster);
        await client.subscribe('chat', '7');
        const listener = await subscribe(use.cluster, 'chat', '7');
        await client.expectError({ action: 'publish', topic: 'chat', params: ['7'], data: 1 }, 4403, /permission denied/);
        await sql(`SELECT rtd_grant('chat', 'web_anon', 'publish')`);
        const answer = await publish(client, 'chat', { text: 'hello' }, ['7']);
        assert.equal(answer.type, 'rtd_published', answer.text);
        assert.deepEqual([answer.topic, answer.params, answer.data.subscribers], ['chat', ['7'], 2]);
        for (const message of [await listener.next(), await client.next((m) => m.kind === 'event')])
            assert.deepEqual([message.type, message.data, message.source], ['chat_update', { text: 'hello' }, 'event']);
        await sql(`SELECT rtd_revoke('chat', 'web_anon', 'publish')`);
        await client.expectError({ action: 'publish', topic: 'chat', params: ['7'], data: 1 }, 4403, /permission denied/);
        assert.equal(listener.unread, 0);
    });

    test('every digit of a number arrives', async () => {
        await createTopic(use.cluster, 'digits');
        await sql(`SELECT rtd_grant('digits', 'web_anon', 'publish')`);
        const client = await Multiplexed.open(use.cluster);
        await client.subscribe('digits');
        client.send('{"action":"publish","topic":"digits","type":"number","data":{"n":12345678901234567890.10,"e":1e400}}');
        const message = await client.next((m) => m.kind === 'event');
        assert.match(message.text, /"n": 12345678901234567890\.10/);
        assert.match(message.text, /"e": 10{400}[},]/);
        assert.equal(message.type, 'number');
    });

    test('what SQL refuses is refused with its sentence, and nothing was sent', async () => {
        await createTopic(use.cluster, 'strict', `parameters => '{a}'`);
        await sql(`SELECT rtd_grant('strict', 'web_anon', 'publish')`);
        const client = await Multiplexed.open(use.cluster);
        const refused = (request: object, code: number, sentence: RegExp) =>
            client.expectError({ action: 'publish', topic: 'strict', params: ['1'], data: 1, ...request }, code, sentence);
        await refused({ topic: 'no-such-topic' }, 4404, /does not exist/);
        await refused({ params: [] }, 4400, /1 parameter/);
        await refused({ type: 'not a type' }, 4400, /type/);
        await refused({ data: 'x\u0000y' }, 4400, /Unicode/);
        assert.equal((await publish(client, 'strict', 1, ['1'])).type, 'rtd_published');
    });

    test('messages of a client keep their order', async () => {
        await createTopic(use.cluster, 'ordered');
        await sql(`SELECT rtd_grant('ordered', 'web_anon', 'publish')`);
        const client = await Multiplexed.open(use.cluster);
        const listener = await subscribe(use.cluster, 'ordered');
        for (let i = 0; i < 90; i++) client.send({ action: 'publish', topic: 'ordered', data: i });
        for (let i = 0; i < 90; i++) assert.equal((await listener.next()).data, i);
        await waitFor('90 answers', () => client.messages.filter((m) => m.type === 'rtd_published').length === 90);
    });

    test('as much waits as rtd.publish_queue_size allows; the rest is refused at once, and nothing of it is lost', async () => {
        await createTopic(use.cluster, 'flooded');
        await sql(`SELECT rtd_grant('flooded', 'web_anon', 'publish')`);
        await use.cluster.reload({ 'rtd.publish_queue_size': '256kB', 'rtd.client_message_rate': 0 });
        const position = use.cluster.logPosition();
        const all = await subscribe(use.cluster, 'flooded');
        const clients = await Promise.all(Array.from({ length: 20 }, () => Multiplexed.open(use.cluster)));
        const blocker = await use.cluster.connect();
        try {
            // The worker that publishes waits for the lock that its look at the topic needs.
            await blocker.query('BEGIN; LOCK TABLE rtd_topic, rtd_topic_grant IN ACCESS EXCLUSIVE MODE');
            const data = 'x'.repeat(20_000);
            for (const client of clients) for (let n = 0; n < 20; n++) client.send({ action: 'publish', topic: 'flooded', data });
            const count = (type: string) => clients.flatMap(({ messages }) => messages.filter((message) => message.type === type)).length;
            await waitFor('refusals of what finds no room', () => count('rtd_error') >= 380);
            await blocker.query('ROLLBACK');
            await waitFor('answers to the others', () => count('rtd_error') + count('rtd_published') === 400);
            const published = count('rtd_published');
            assert.ok(published > 0 && published <= 20, `${published}`);
            await waitFor('their messages', () => all.messages.length === published);
            const errors = clients.flatMap(({ messages }) => messages.filter(({ type }) => type === 'rtd_error'));
            assert.deepEqual([...new Set(errors.map((error) => error.data.code))], [4503]);
            await use.cluster.waitForLog(/rtd refuses messages that clients publish/, position);
            assert.equal(use.cluster.logSince(position).match(/rtd refuses messages/g)?.length, 1);
        } finally {
            await blocker.query('ROLLBACK');
            await use.cluster.release(blocker);
            await use.cluster.reload({ 'rtd.publish_queue_size': '8MB', 'rtd.client_message_rate': 50 });
        }
    });

    test('clients that may not come without signing in may not publish', async () => {
        await createTopic(use.cluster, 'closed');
        await sql(`SELECT rtd_grant('closed', 'web_anon', 'publish')`);
        const client = await Multiplexed.open(use.cluster);
        await use.cluster.reload({ 'rtd.anonymous_role': '' });
        await waitFor('the refusal', async () => (await publish(client, 'closed', 1)).data.code === 4401);
        await use.cluster.reload({ 'rtd.anonymous_role': 'web_anon' });
        await waitFor('the permission', async () => (await publish(client, 'closed', 1)).type === 'rtd_published');
    });

    test('a message whose query worker is terminated is answered with an error', async () => {
        await createTopic(use.cluster, 'interrupted');
        await sql(`SELECT rtd_grant('interrupted', 'web_anon', 'publish')`);
        const client = await Multiplexed.open(use.cluster);
        await client.subscribe('interrupted'); // the hub knows the topic, no query worker does yet
        const blocker = await use.cluster.connect();
        await blocker.query(`BEGIN; LOCK TABLE rtd_topic IN ACCESS EXCLUSIVE MODE`);
        client.send({ action: 'publish', topic: 'interrupted', data: 1, ref: 'lost' });
        const answer = await waitFor('the answer for a worker that was terminated while it waited', async () => {
            await sql(`SELECT pg_terminate_backend(pid) FROM pg_stat_activity
                       WHERE backend_type LIKE 'rtd query%' AND wait_event_type = 'Lock'`);
            return client.messages.find((message) => message.data?.ref === 'lost');
        });
        assert.equal(answer.type, 'rtd_error');
        assert.equal(answer.data.code, 4500);
        await blocker.query('ROLLBACK');
        await blocker.end();
        await waitFor('publishing again', async () => (await publish(client, 'interrupted', 2)).type === 'rtd_published');
    });
});
