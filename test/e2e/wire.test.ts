// The port as a client sees it: refusals, limits, large messages, HTTP.

import assert from 'node:assert/strict';
import * as net from 'node:net';
import { describe, test } from 'node:test';
import { createTopic, expectMessage, subscribe, subscriberCount, useCluster } from '../lib/harness';
import { Subscriber, UpgradeRefused } from '../lib/subscriber';
import { waitFor, within } from '../lib/wait';

const use = useCluster();

async function refusal(path: string, headers: Record<string, string> = {}) {
    try {
        const subscriber = await Subscriber.open(`ws://127.0.0.1:${use.cluster.rtdPort}${path}`, { headers });
        return await within(`${path} to be refused`, subscriber.closed);
    } catch (error) {
        if (!(error instanceof UpgradeRefused)) throw error;
        assert.match(JSON.parse(error.body).error, /\w+ \w+/, 'the body says why');
        return { status: error.status };
    }
}

async function expectClosed(path: string, code: number) {
    const result = (await refusal(path)) as { code: number; reason: string };
    assert.equal(result.code, code, JSON.stringify(result));
    assert.match(result.reason, /\w+ \w+/, 'the reason is a sentence');
    return result.reason;
}

/** Sends bytes as they are and returns what comes back until the peer closes or goes quiet. */
async function raw(bytes: string): Promise<string> {
    const socket = net.connect(use.cluster.rtdPort, '127.0.0.1');
    let answer = '';
    socket.on('data', (chunk) => (answer += chunk.toString('latin1')));
    socket.on('error', () => {});
    socket.write(bytes);
    await waitFor('an answer', () => answer.includes('\r\n\r\n') || socket.closed);
    socket.destroy();
    return answer;
}

describe('a subscription is refused with a close code and a reason', () => {
    test('to a topic that does not exist: 4404', () => expectClosed('/ws/no-such-topic', 4404));

    test('to a topic that was not granted: 4403', async () => {
        await use.cluster.sql(`SELECT rtd_create_topic('not-granted')`);
        await expectClosed('/ws/not-granted', 4403);
        await use.cluster.sql(`SELECT rtd_grant('not-granted', 'web_anon')`);
        await subscribe(use.cluster, 'not-granted');
    });

    test('with too few or too many parameters: 4400', async () => {
        await createTopic(use.cluster, 'with-parameters', `parameters => '{a,b}'`);
        await expectClosed('/ws/with-parameters', 4400);
        await expectClosed('/ws/with-parameters/1', 4400);
        await expectClosed('/ws/with-parameters/1/2/3', 4400);
        await createTopic(use.cluster, 'without-parameters');
        await expectClosed('/ws/without-parameters/1', 4400);
    });

    test('with a parameter that cannot be cast: 4400', async () => {
        await createTopic(use.cluster, 'cast', `parameters => '{id}', query => 'SELECT $1::int AS id'`);
        await expectClosed('/ws/cast/abc', 4400);
        await expectClosed('/ws/cast/99999999999', 4400);
        const client = await subscribe(use.cluster, 'cast', '12');
        assert.deepEqual((await client.next()).data, [{ id: 12 }]);
    });

    test('when nobody may come without signing in: 4401', async () => {
        await createTopic(use.cluster, 'signed-in-only');
        await use.cluster.reload({ 'rtd.anonymous_role': '' });
        // A client that comes before that keeps its role.
        await waitFor('the setting to be in force', async () => {
            const client = await Subscriber.open(use.cluster.url('signed-in-only'));
            const isClosed = () => client.socket.readyState === client.socket.CLOSED;
            await use.cluster.sql(`SELECT rtd_broadcast('signed-in-only', '1')`);
            await waitFor('a message or the close', () => client.messages.length > 0 || isClosed());
            return isClosed();
        });
        await expectClosed('/ws/signed-in-only', 4401);
        await use.cluster.reload({ 'rtd.anonymous_role': 'web_anon' });
        await waitFor('the setting to be in force', async () => {
            const client = await Subscriber.open(use.cluster.url('signed-in-only'));
            await use.cluster.sql(`SELECT rtd_broadcast('signed-in-only', '1')`);
            return Promise.race([client.next().then(() => true), client.closed.then(() => false)]);
        });
    });
});

describe('a subscription ends', () => {
    test('when its topic is dropped: 4410', async () => {
        await createTopic(use.cluster, 'dropped');
        const client = await subscribe(use.cluster, 'dropped');
        await use.cluster.sql(`SELECT rtd_drop_topic('dropped')`);
        assert.equal((await within('the close', client.closed)).code, 4410);
        await expectClosed('/ws/dropped', 4404);
    });

    test('when its topic gets other parameters: 4502', async () => {
        await createTopic(use.cluster, 'altered', `query => 'SELECT 1 AS a'`);
        const client = await subscribe(use.cluster, 'altered');
        await client.next();
        await use.cluster.sql(`SELECT rtd_alter_topic('altered', query => 'SELECT $1::int AS b', parameters => '{b}')`);
        assert.equal((await within('the close', client.closed)).code, 4502);
        const again = await subscribe(use.cluster, 'altered', '2');
        assert.deepEqual((await again.next()).data, [{ b: 2 }]);
    });

    test('when its client sends more than rtd.max_client_message_size: 1009', async () => {
        await createTopic(use.cluster, 'talkative');
        const client = await Subscriber.open(use.cluster.url('talkative'), { perMessageDeflate: false });
        client.socket.send('x'.repeat(1 << 20));
        assert.equal((await within('the close', client.closed)).code, 1009);
    });

    test('when its client sends text that is not UTF-8: 1007', async () => {
        await createTopic(use.cluster, 'mumbling');
        const client = await subscribe(use.cluster, 'mumbling');
        client.socket.send(Buffer.from([0x61, 0xff, 0xfe]), { binary: false });
        assert.equal((await within('the close', client.closed)).code, 1007);
    });

    test('by the close of its client, answered with the same code', async () => {
        await createTopic(use.cluster, 'polite');
        const client = await subscribe(use.cluster, 'polite');
        client.socket.close(1000, 'bye');
        assert.equal((await within('the close', client.closed)).code, 1000);
    });
});

describe('before the upgrade', () => {
    test('a malformed path is 400', async () => {
        for (const path of ['/ws/', '/ws/a%zz', '/ws/a%00b', '/ws/%ff', '/ws/UPPER_case'])
            assert.deepEqual(await refusal(path), { status: 400 }, path);
    });

    test('a topic without an upgrade is 426', async () => {
        const response = await fetch(`${use.cluster.httpUrl}/ws/anything`);
        assert.equal(response.status, 426);
    });

    test('another path is 404', async () => {
        assert.equal((await fetch(`${use.cluster.httpUrl}/nothing/here`)).status, 404);
    });

    test('a foreign Origin is 403, its own and a listed one are not', async () => {
        await createTopic(use.cluster, 'origins');
        const open = (origin: string) => Subscriber.open(use.cluster.url('origins'), { headers: { origin } });
        for (const origin of ['https://evil.example', 'null', `http://127.0.0.1.evil.example:${use.cluster.rtdPort}`])
            assert.deepEqual(await refusal('/ws/origins', { origin }), { status: 403 }, origin);
        await open(use.cluster.httpUrl);
        await use.cluster.reload({ 'rtd.allowed_origins': 'https://app.example' });
        await waitFor('the setting to be in force', () => open('https://app.example').catch(() => false));
        assert.deepEqual(await refusal('/ws/origins', { origin: 'https://evil.example' }), { status: 403 });
        await use.cluster.reload({ 'rtd.allowed_origins': '' });
    });

    test('more than rtd.max_clients are 503, until one leaves', async () => {
        await createTopic(use.cluster, 'crowded');
        await use.cluster.reload({ 'rtd.max_clients': 2 });
        await waitFor('the setting to be in force', async () => {
            const open = [0, 1, 2].map(() => Subscriber.open(use.cluster.url('crowded')).catch((error) => error));
            const results = await Promise.all(open);
            for (const result of results) if (result instanceof Subscriber) await result.close();
            return results.some((result) => result instanceof UpgradeRefused && result.status === 503);
        });
        await waitFor('two places', async () => {
            try {
                const [one, other] = [await subscribe(use.cluster, 'crowded'), await subscribe(use.cluster, 'crowded')];
                assert.deepEqual(await refusal('/ws/crowded'), { status: 503 });
                await one.close();
                await other.close();
                return true;
            } catch (error) {
                if (error instanceof UpgradeRefused) return false;
                throw error;
            }
        });
        await use.cluster.reload({ 'rtd.max_clients': 10000 });
        await waitFor('room again', () => subscribe(use.cluster, 'crowded').catch(() => undefined));
    });

    for (const [setting, usual] of [
        ['rtd.max_clients_per_address', 0],
        ['rtd.connection_rate', 1000],
    ] as const) {
        test(`more than ${setting} are 429, and the log sums them up`, async () => {
            const topic = setting.replace(/[._]/g, '-');
            await createTopic(use.cluster, topic);
            const tryToOpen = async () => {
                const client = await Subscriber.open(use.cluster.url(topic)).catch((error) => error);
                if (client instanceof Subscriber) await client.close();
                return client;
            };
            const logEnd = use.cluster.logPosition();
            const first = await subscribe(use.cluster, topic);
            await use.cluster.reload({ [setting]: 1 });
            await waitFor('a refusal', async () => {
                const client = await tryToOpen();
                return client instanceof UpgradeRefused && client.status === 429;
            });
            const pattern = `refused \\d+ connections? within 10 s because of ${setting}: \\d+ from 127\\.0\\.0\\.1`;
            await use.cluster.waitForLog(new RegExp(pattern), logEnd, 20_000);
            await use.cluster.reload({ [setting]: usual });
            await waitFor('room again', async () => (await tryToOpen()) instanceof Subscriber);
            await first.close();
        });
    }

    test('nonsense is answered or closed, and the next client is served', async () => {
        await raw('\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n');
        await raw('GARBAGE\r\n\r\n');
        assert.match(await raw(`GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n`), /^HTTP\/1\.1 200/);
    });
});

describe('messages', () => {
    test('parameters are percent-decoded, and come back in the envelope', async () => {
        await createTopic(use.cluster, 'decoded', `parameters => '{a,b}'`);
        const params = ['ä ö/ü', '日本 "quoted" \\ %25'];
        const client = await subscribe(use.cluster, 'decoded', ...params);
        await use.cluster.sql(`SELECT rtd_broadcast('decoded', '{"x": 1}', $1)`, [params]);
        expectMessage(await client.next(), {
            ...{ type: 'decoded_update', topic: 'decoded', params, data: { x: 1 } },
            ...{ kind: 'event', source: 'event' },
        });
    });

    for (const [name, text] of [
        ['1 MB', 'a'.repeat(1 << 20)],
        ['15 MB', 'b'.repeat(15 << 20)],
        ['1.5 MB of four-byte characters', '😀'.repeat(400_000)],
        ['escapes and line separators', '"\\\b\f\n\r\t\u0001\u2028\u2029</script>\u{10FFFF}'],
    ]) {
        test(`a message of ${name} arrives whole`, async () => {
            const topic = `large-${text.length}`;
            await createTopic(use.cluster, topic);
            const clients = [await subscribe(use.cluster, topic), await subscribe(use.cluster, topic)];
            await use.cluster.sql('SELECT rtd_broadcast($1, to_jsonb($2::text))', [topic, text]);
            for (const client of clients) {
                const { data } = await client.next(undefined, 30_000);
                assert.ok(data === text, `${data.length} of ${text.length} characters`);
            }
            const late = await subscribe(use.cluster, topic);
            assert.ok((await late.next(undefined, 30_000)).data === text);
        });
    }

    test('a large state arrives whole, and again after a change', async () => {
        await use.cluster.sql(`CREATE TABLE large_state (id int PRIMARY KEY, note text)`);
        await use.cluster.sql(`INSERT INTO large_state SELECT n, repeat('ü', 1000) FROM generate_series(1, 2000) n`);
        await createTopic(use.cluster, 'large-state', `query => 'SELECT * FROM large_state ORDER BY id'`);
        await use.cluster.sql(`SELECT rtd_watch_table('large_state')`);
        const client = await subscribe(use.cluster, 'large-state');
        assert.equal((await client.next()).data.length, 2000);
        await use.cluster.sql(`DELETE FROM large_state WHERE id > 1500`);
        assert.equal((await client.next()).data.length, 1500);
    });

    test('a ping is answered with a pong of the same payload', async () => {
        await createTopic(use.cluster, 'pinged');
        const client = await subscribe(use.cluster, 'pinged');
        const pong = new Promise<Buffer>((resolve) => client.socket.once('pong', resolve));
        client.socket.ping('are you there');
        assert.equal((await within('a pong', pong)).toString(), 'are you there');
    });

    test('the server pings, and closes a client that does not answer', async () => {
        await createTopic(use.cluster, 'silent');
        await use.cluster.reload({ 'rtd.ping_interval': '1s' });
        const deaf = await Subscriber.open(use.cluster.url('silent'), { autoPong: false } as any);
        const alive = await subscribe(use.cluster, 'silent');
        await within('the close', deaf.closed);
        await use.cluster.sql(`SELECT rtd_broadcast('silent', '1')`);
        assert.equal((await alive.next()).data, 1);
        await use.cluster.reload({ 'rtd.ping_interval': '30s' });
    });

    test('a small message of a client is no reason to end its subscription', async () => {
        await createTopic(use.cluster, 'chatty');
        const client = await subscribe(use.cluster, 'chatty');
        client.socket.send('hello');
        client.socket.send(Buffer.from([1, 2, 3]));
        await use.cluster.sql(`SELECT rtd_broadcast('chatty', '1')`);
        assert.equal((await client.next()).data, 1);
        assert.equal(client.socket.readyState, client.socket.OPEN);
    });
});

describe('a client that does not read', () => {
    const paused = async (topic: string) => {
        // What waits for it is to be large: not compressed.
        const client = await Subscriber.open(use.cluster.url(topic), { perMessageDeflate: false });
        await waitFor('the subscription', async () => (await subscriberCount(use.cluster, topic)) > 0);
        client.maySkip = true;
        client.socket.pause();
        return client;
    };

    test('skips to the newest state of a state topic, and delays nobody', async () => {
        await use.cluster.sql(`CREATE TABLE slow_state (n int, filler text); INSERT INTO slow_state VALUES (0, '')`);
        await createTopic(use.cluster, 'slow-state', `throttle => '0', query => 'SELECT n, filler FROM slow_state'`);
        await use.cluster.sql(`SELECT rtd_watch_table('slow_state', columns => '{n}')`);
        const slow = await paused('slow-state');
        const quick = await subscribe(use.cluster, 'slow-state');
        const last = 60;
        for (let n = 1; n <= last; n++) {
            await use.cluster.sql(`UPDATE slow_state SET n = $1, filler = repeat('x', 500000)`, [n]);
            await quick.next((message) => message.data[0].n === n);
        }
        slow.socket.resume();
        await slow.next((message) => message.data[0].n === last);
        assert.ok(slow.messages.length < last, `${slow.messages.length} messages`);
        await use.cluster.sql(`UPDATE slow_state SET n = 1000`);
        await slow.next((message) => message.data[0].n === 1000);
    });

    test('is told that it was too slow for an event topic: 4501', async () => {
        await createTopic(use.cluster, 'slow-events');
        const slow = await paused('slow-events');
        const quick = await subscribe(use.cluster, 'slow-events');
        for (let n = 1; n <= 60; n++) {
            await use.cluster.sql(`SELECT rtd_broadcast('slow-events', to_jsonb(repeat('x', 500000) || $1))`, [n]);
            await quick.next();
        }
        slow.socket.resume();
        const { code } = await within('the close', slow.closed);
        assert.equal(code, 4501);
        slow.messages.forEach((message, index) => assert.ok(message.data.endsWith(`x${index + 1}`), 'no event is left out'));
    });
});

describe('HTTP', () => {
    test('/healthz and /readyz answer with JSON', async () => {
        for (const path of ['/healthz', '/readyz']) {
            const response = await fetch(use.cluster.httpUrl + path);
            assert.equal(response.status, 200);
            assert.match(response.headers.get('content-type')!, /^application\/json/);
            assert.equal(typeof (await response.json()), 'object');
        }
    });

    test('rtd_wait_until_ready says that an event travels', async () => {
        assert.equal(await use.cluster.value(`SELECT rtd_wait_until_ready('5 s')`), true);
    });

    test('/ is the page of live panels', async () => {
        const response = await fetch(use.cluster.httpUrl + '/');
        assert.equal(response.status, 200);
        assert.match(response.headers.get('content-type')!, /^text\/html/);
        assert.match(await response.text(), /data-topic|dataset\.topic/);
    });
});
