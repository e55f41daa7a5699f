// A query that fails, on every way in: newcomers are refused with a code, never kept in silence and
// never given an old state as the current one; those who have a state are told that it is stale, and
// when it is current again. Failing queries cost no more than one run a second.

import assert from 'node:assert/strict';
import { afterEach, describe, test } from 'node:test';
import { closeStreams, EventStream } from '../lib/event_stream';
import { allWaysIn, expectRefusal, expectRefusalsOf, firstAnswer, WayIn } from '../lib/first_answer';
import { createTopic, subscribe, useCluster } from '../lib/harness';
import { closeMultiplexed, Multiplexed } from '../lib/multiplexed';
import { measureFor, waitFor, within } from '../lib/wait';

const use = useCluster();
afterEach(closeMultiplexed);
afterEach(closeStreams);

const sql = (text: string) => use.cluster.sql(text);
const ask = (wayIn: WayIn, topic: string, params: string[] = [], since?: string) =>
    firstAnswer(use.cluster, wayIn, topic, params, since);

const expectRefusals = (topic: string, params: string[], code: number, sentence: RegExp, since?: string) =>
    expectRefusalsOf(use.cluster, topic, params, code, sentence, since);

/** A table of divisors, and a topic of this name whose query divides by each. */
async function divisors(topic: string, options = '', rows = '(1, 1), (2, 2)') {
    const table = topic.replace(/-/g, '_');
    await sql(`CREATE TABLE ${table} (id int PRIMARY KEY, v int NOT NULL); INSERT INTO ${table} VALUES ${rows}`);
    await createTopic(use.cluster, topic, `query => 'SELECT id, 10 / v AS share FROM ${table} ORDER BY id'${options}`);
    await sql(`SELECT rtd_watch_table('${table}', '${topic}')`);
    return table;
}

/** How often the query of a topic failed since that position of the log. */
const failuresSince = (topic: string, position: number) =>
    use.cluster.logSince(position).split('\n').filter((line) => line.includes(`(topic "${topic}", next attempt in`)).length;

const hasFailed = (topic: string, position: number) =>
    waitFor(`the query of ${topic} to fail`, () => failuresSince(topic, position) > 0);

const noState = /query failed \(SQLSTATE 22012\)/;

describe('a newcomer', () => {
    test('to a query that never worked is refused on every way in', async () => {
        await divisors('never-worked', '', '(1, 0)');
        await expectRefusals('never-worked', [], 4500, noState);
        await sql('UPDATE never_worked SET v = 5');
        for (const wayIn of allWaysIn) {
            const { message } = await ask(wayIn, 'never-worked');
            assert.deepEqual(message?.data, [{ id: 1, share: 2 }], wayIn);
        }
    });

    for (const [kind, topic, options] of [
        ['state', 'stale-state', ''],
        ['keyed', 'stale-keyed', `, key => '{id}'`],
        ['invoker', 'stale-invoker', `, security => 'invoker'`],
    ])
        test(`never gets the old state of a ${kind} topic as the current one, nor "not modified"`, async () => {
            const table = await divisors(topic, options);
            await sql(`GRANT SELECT ON ${table} TO web_anon`);
            const keeper = await Multiplexed.open(use.cluster);
            await keeper.subscribe(topic);
            const { id } = await keeper.next(({ kind }) => kind === 'snapshot');
            const position = use.cluster.logPosition();
            await sql(`UPDATE ${table} SET v = 0 WHERE id = 2`);
            await hasFailed(topic, position);
            await expectRefusals(topic, [], 4500, noState);
            await expectRefusals(topic, [], 4500, noState, id);
            await sql(`UPDATE ${table} SET v = 5 WHERE id = 2`);
            for (const wayIn of allWaysIn) {
                const { message } = await ask(wayIn, topic);
                const rows = message?.data.sort((a: any, b: any) => a.id - b.id); // those of a keyed topic have no order
                assert.deepEqual(rows, [{ id: 1, share: 10 }, { id: 2, share: 2 }], wayIn);
            }
        });

    test('after everybody left a failing topic is refused as well', async () => {
        const table = await divisors('left-failing');
        const client = await subscribe(use.cluster, 'left-failing');
        const { id } = await client.next();
        const position = use.cluster.logPosition();
        await sql(`UPDATE ${table} SET v = 0 WHERE id = 2`);
        await hasFailed('left-failing', position);
        await client.close();
        await expectRefusals('left-failing', [], 4500, noState, id);
    });

    test('to a query that is only slow is not refused', async () => {
        await createTopic(use.cluster, 'only-slow', `query => 'SELECT 1 AS one FROM pg_sleep(2.7)'`);
        const { message } = await ask('/ws/<topic>', 'only-slow');
        assert.deepEqual(message?.data, [{ one: 1 }]);
    });

    test('to a query that runs into its timeout hears so, later ones at once', async () => {
        await use.cluster.reload({ 'rtd.statement_timeout': '700ms' });
        await createTopic(use.cluster, 'too-slow', `query => 'SELECT 1 AS one FROM pg_sleep(60)'`);
        await expectRefusals('too-slow', [], 4500, /SQLSTATE 57014/);
        await use.cluster.reload({ 'rtd.statement_timeout': '5s' });
    });

    test('whose query worker is killed hears so', async () => {
        await createTopic(use.cluster, 'killed', `query => 'SELECT 1 AS one FROM pg_sleep(4)'`);
        for (const wayIn of allWaysIn) {
            const answer = ask(wayIn, 'killed');
            await waitFor('the worker to die', () => use.cluster.sql(`
                SELECT pg_terminate_backend(pid) FROM pg_stat_activity
                 WHERE backend_type = 'rtd query' AND wait_event = 'PgSleep'`).then((rows) => rows.length));
            const { code } = await answer;
            assert.equal(code, 4500, wayIn);
        }
    });

    test('of a topic whose owner may not read any more is refused, without a word of what', async () => {
        await sql(`
            CREATE ROLE poor; GRANT CREATE ON DATABASE app TO poor;
            CREATE TABLE secrets (id int); GRANT SELECT ON secrets TO poor;
            SET ROLE poor;
            SELECT rtd_create_topic('poor-owner', query => 'SELECT id FROM secrets');
            SELECT rtd_grant('poor-owner', 'web_anon');
            RESET ROLE;
            REVOKE SELECT ON secrets FROM poor`);
        await expectRefusals('poor-owner', [], 4500, /^the topic's query failed \(SQLSTATE 42501\)[^"]*$/);
    });

    test('of a topic whose table is gone is refused', async () => {
        await divisors('gone-table');
        await sql('DROP TABLE gone_table');
        await expectRefusals('gone-table', [], 4500, /SQLSTATE 42P01/);
    });
});

describe('those who have a state', () => {
    test('are told that it is stale and then that it is current, also if it is the same as before', async () => {
        const table = await divisors('told-stale');
        const many = await Multiplexed.open(use.cluster);
        await many.subscribe('told-stale');
        const { id } = await many.next(({ kind }) => kind === 'snapshot');
        const stream = await EventStream.open(`${use.cluster.httpUrl}/sse/told-stale`);
        await stream.next(({ event }) => !event);
        const plain = await subscribe(use.cluster, 'told-stale');
        await plain.next();

        await sql(`UPDATE ${table} SET v = 0 WHERE id = 2`);
        const stale = await many.next();
        assert.deepEqual([stale.type, stale.data.code, stale.topic], ['rtd_error', 4500, 'told-stale']);
        assert.match(stale.data.message, noState);
        assert.equal((await stream.next()).message.type, 'rtd_error');

        await sql(`UPDATE ${table} SET v = 2 WHERE id = 2`);
        const current = await many.next();
        assert.deepEqual([current.type, current.kind, current.id, current.data], ['rtd_current', 'control', null, { id }]);
        const { event, message } = await stream.next();
        assert.deepEqual([event, message.data], ['rtd_current', { id }]);

        await sql(`UPDATE ${table} SET v = 0 WHERE id = 2`);
        await many.next(({ type }) => type === 'rtd_error');
        await sql(`UPDATE ${table} SET v = 1 WHERE id = 2`);
        const state = await many.next();
        assert.deepEqual([state.kind, state.data[1].share], ['snapshot', 10]);
        const again = await many.next();
        assert.deepEqual([again.type, again.data], ['rtd_current', { id: state.id }], 'after the state that is current');
        assert.deepEqual((await plain.next()).data, state.data, 'whoever takes no control messages stays while it is short');
        assert.equal(plain.socket.readyState, plain.socket.OPEN);
        assert.equal(plain.messages.length, 2);
    });

    test('and take no control messages are closed with 4500 after ten seconds', async () => {
        const table = await divisors('closed-stale');
        const many = await Multiplexed.open(use.cluster);
        await many.subscribe('closed-stale');
        await many.next(({ kind }) => kind === 'snapshot');
        const plain = await subscribe(use.cluster, 'closed-stale');
        await plain.next();
        await sql(`UPDATE ${table} SET v = 0 WHERE id = 2`);
        await many.next(({ type }) => type === 'rtd_error');
        const start = Date.now();
        const { code, reason } = await within('the close', plain.closed, 20_000);
        const afterMs = Date.now() - start;
        assert.equal(code, 4500);
        assert.match(reason, noState);
        assert.ok(afterMs > 8000 && afterMs < 13_000, `${afterMs} ms`);
        assert.equal(many.socket.readyState, many.socket.OPEN);
        await sql(`UPDATE ${table} SET v = 2 WHERE id = 2`);
        await many.next(({ type }) => type === 'rtd_current');
        assert.equal(many.messages.filter(({ type }) => type === 'rtd_error').length, 1, 'one failure is told once');
    });
});

describe('a write', () => {
    test('to what the topic watches ends the backoff', async () => {
        const table = await divisors('backed-off');
        const client = await Multiplexed.open(use.cluster);
        await client.subscribe('backed-off');
        await client.next(({ kind }) => kind === 'snapshot');
        const position = use.cluster.logPosition();
        await sql(`UPDATE ${table} SET v = 0 WHERE id = 2`);
        await use.cluster.waitForLog(/topic "backed-off", next attempt in [4-9]\d{3} ms/, position, 20_000);
        const start = Date.now();
        await sql(`UPDATE ${table} SET v = 5 WHERE id = 2`);
        const { data } = await client.next(({ kind }) => kind === 'snapshot');
        assert.deepEqual(data[1], { id: 2, share: 2 });
        assert.ok(Date.now() - start < 1500, `${Date.now() - start} ms`);
    });

    test('that comes while the query fails is not late either', async () => {
        await sql(`CREATE TABLE slow_failing (id int PRIMARY KEY, v int); INSERT INTO slow_failing VALUES (1, 1)`);
        await createTopic(use.cluster, 'slow-failing', `query => 'SELECT 10 / v AS share FROM slow_failing, pg_sleep(0.3)', throttle => '0'`);
        await sql(`SELECT rtd_watch_table('slow_failing', 'slow-failing')`);
        const client = await Multiplexed.open(use.cluster);
        await client.subscribe('slow-failing');
        await client.next(({ kind }) => kind === 'snapshot');
        const position = use.cluster.logPosition();
        await sql(`UPDATE slow_failing SET v = 0`);
        await use.cluster.waitForLog(/topic "slow-failing", next attempt in [2-9]\d{3} ms/, position, 20_000);
        await waitFor('the next attempt', () => use.cluster.sql(`
            SELECT FROM pg_stat_activity WHERE backend_type = 'rtd query' AND wait_event = 'PgSleep'`).then((rows) => rows.length), { everyMs: 5 });
        const start = Date.now();
        await sql(`UPDATE slow_failing SET v = 5`);
        await client.next(({ kind }) => kind === 'snapshot');
        assert.ok(Date.now() - start < 2500, `${Date.now() - start} ms`);
    });

    test('after the other does not run a failing query more than once a second', async () => {
        const table = await divisors('stormed', `, throttle => '0'`);
        const client = await Multiplexed.open(use.cluster);
        await client.subscribe('stormed');
        await client.next(({ kind }) => kind === 'snapshot');
        await sql(`UPDATE ${table} SET v = 0 WHERE id = 2`);
        await client.next(({ type }) => type === 'rtd_error');
        const position = use.cluster.logPosition();
        const end = Date.now() + 4000;
        for (let i = 10; Date.now() < end; i++) await sql(`INSERT INTO ${table} VALUES (${i}, 1)`);
        const runs = failuresSince('stormed', position);
        assert.ok(runs >= 2 && runs <= 5, `${runs} runs in 4 s`);
    });
});

test('a crowd of newcomers does not run a failing query more than once a second', async () => {
    await divisors('crowded', '', '(1, 0)');
    await divisors('crowded-param', `, parameters => '{id}'`, '(1, 0)');
    const position = use.cluster.logPosition();
    const end = Date.now() + 4000;
    let refused = 0;
    const come = async (wayIn: WayIn, topic: string, params: string[]) => {
        while (Date.now() < end) {
            expectRefusal(await ask(wayIn, topic, params), 4500, noState, `${wayIn} of ${topic}`);
            refused++;
        }
    };
    const crowd = [...allWaysIn, ...allWaysIn].flatMap((wayIn) => [come(wayIn, 'crowded', []), come(wayIn, 'crowded-param', ['7'])]);
    await Promise.all(crowd);
    assert.ok(refused >= 16, `${refused} were refused`);
    for (const topic of ['crowded', 'crowded-param']) {
        const runs = failuresSince(topic, position);
        assert.ok(runs >= 1 && runs <= 7, `${runs} runs of ${topic}`);
    }
});

test('nobody asks, and a failing query is not run', async () => {
    await divisors('unasked', '', '(1, 0)');
    expectRefusal(await ask('/api', 'unasked'), 4500, noState, '/api');
    const position = use.cluster.logPosition();
    await measureFor(2500);
    assert.equal(failuresSince('unasked', position), 0);
});
