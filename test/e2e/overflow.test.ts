// More events than there is room for: in the event queue, and in one transaction. Writers notice
// nothing; who missed something is told, and nobody else.

import assert from 'node:assert/strict';
import * as fs from 'node:fs';
import { after, before, describe, test } from 'node:test';
import { Cluster } from '../lib/cluster';
import { createTopic, messagesUntilNow, subscribe, useCluster, watchedTable } from '../lib/harness';
import { pauseHubUntil, withHubStopped } from '../lib/hub_pauses';
import { newSeed, Random } from '../lib/random';
import { Replica } from '../lib/replica';
import { startPgbench } from '../lib/pgbench';
import { Envelope, Subscriber } from '../lib/subscriber';
import { waitFor, within } from '../lib/wait';

const bound = 1000;
const use = useCluster({ settings: { 'rtd.queue_size': '128kB', 'rtd.max_transaction_events': bound } });

function expectGap(message: Envelope, topic: string, params: string[] = []) {
    const { type, kind, data, topic: of, params: instance } = message;
    assert.deepEqual({ type, kind, of, instance }, { type: 'rtd_gap', kind: 'gap', of: topic, instance: params });
    assert.deepEqual(Object.keys(data), ['reason']);
    assert.match(data.reason, /\w+ \w+ \w+/, 'a sentence');
}

const isGap = ({ kind }: Envelope) => kind === 'gap';

/** Inserts the ids from first to last, each in a transaction of its own; returns the slowest, in milliseconds. */
async function insertEach(table: string, first: number, last: number): Promise<number> {
    const session = await use.cluster.connect();
    let slowest = 0;
    for (let id = first; id <= last; id++) {
        const start = performance.now();
        await session.query(`INSERT INTO ${table} VALUES ($1)`, [id]);
        slowest = Math.max(slowest, performance.now() - start);
    }
    await use.cluster.release(session);
    return slowest;
}

async function countTopic(table: string) {
    const topic = table.replace(/_/g, '-');
    await use.cluster.sql(`CREATE TABLE ${table} (id int PRIMARY KEY, note text)`);
    await createTopic(use.cluster, topic, `query => 'SELECT count(*)::int AS n, max(note) AS note FROM ${table}', throttle => '0'`);
    await use.cluster.sql(`SELECT rtd_watch_table('${table}')`);
    const client = await subscribe(use.cluster, topic);
    await client.next();
    return client;
}

const lossesIn = (log: string) => [...log.matchAll(/WARNING: .*?(\d+) events? (?:was|were) lost/g)].map((match) => Number(match[1]));

/** Messages until one of a later commit; what came is in order, and nothing is missing without a gap. */
async function toldOf(client: Subscriber, topic: string, made: number) {
    const messages = await messagesUntilNow(use.cluster, client, topic);
    const ids = messages.filter((message) => !isGap(message)).map(({ data }) => data.id);
    assert.deepEqual(ids, [...ids].sort((a, b) => a - b), 'in order');
    assert.equal(new Set(ids).size, ids.length, 'none twice');
    const gaps = messages.filter(isGap);
    for (const gap of gaps) expectGap(gap, topic);
    return { received: ids.length, lost: made - ids.length, gaps: gaps.length, messages };
}

describe('a full event queue', () => {
    test('costs no commit anything; each topic that lost something is told, no other, and the log says how many', async (t) => {
        const lossy = await watchedTable(use.cluster, 'lossy');
        const spared = await watchedTable(use.cluster, 'spared');
        const state = await countTopic('lossy_state');
        const quiet = await countTopic('spared_state');
        const position = use.cluster.logPosition();
        const made = 4000;
        const slowest = await withHubStopped(use.cluster, async () => {
            const times = await Promise.all([
                insertEach('spared', 1, 5), // while there is room
                insertEach('lossy', 1, made),
                insertEach('lossy_state', 1, made),
            ]);
            return Math.max(...times);
        });
        t.diagnostic(`slowest commit ${slowest.toFixed(1)} ms`);
        assert.ok(slowest < 2000, 'nobody waited for the hub');

        await state.next(({ data }) => data[0].n === made);
        const told = await toldOf(lossy, 'lossy', made);
        t.diagnostic(JSON.stringify({ ...told, messages: undefined }));
        assert.ok(told.lost > 0, 'the test filled the queue');
        assert.ok(told.received > 0);
        assert.equal(told.gaps, 1);

        const fromSpared = await messagesUntilNow(use.cluster, spared, 'spared');
        assert.deepEqual(fromSpared.map(({ data }) => data.id), [1, 2, 3, 4, 5]);
        const losses = lossesIn(use.cluster.logSince(position));
        assert.equal(losses.length, 1, `one warning: ${use.cluster.logSince(position)}`);
        assert.ok(losses[0] >= told.lost && losses[0] <= told.lost + made, `${losses[0]} in the log`);
        await use.cluster.sql('INSERT INTO spared_state VALUES (1)');
        assert.deepEqual((await quiet.next()).data[0].n, 1);

        // And it goes on as if nothing had happened.
        await insertEach('lossy', made + 1, made + 10);
        assert.deepEqual(await toldOf(lossy, 'lossy', 10).then(({ lost, gaps }) => [lost, gaps]), [0, 0]);
    });

    test('is counted to the last event', async () => {
        const client = await watchedTable(use.cluster, 'counted');
        const position = use.cluster.logPosition();
        await withHubStopped(use.cluster, () => insertEach('counted', 1, 3000));
        // Until the hub has made room, a mark would be lost as well.
        await waitFor('the loss', () => lossesIn(use.cluster.logSince(position)).length > 0);
        const told = await toldOf(client, 'counted', 3000);
        assert.ok(told.lost > 0);
        assert.deepEqual(lossesIn(use.cluster.logSince(position)), [told.lost]);
    });

    test('comes to an end with every instance of a topic with parameters told', async () => {
        await use.cluster.sql('CREATE TABLE instances (id int PRIMARY KEY, place text)');
        await createTopic(use.cluster, 'instances', `parameters => '{place}'`);
        await use.cluster.sql(`SELECT rtd_watch_table('instances', parameters => '{place}')`);
        const clients = [await subscribe(use.cluster, 'instances', 'a'), await subscribe(use.cluster, 'instances', 'b')];
        await withHubStopped(use.cluster, async () => {
            const session = await use.cluster.connect();
            for (let id = 1; id <= 3000; id++) await session.query('INSERT INTO instances VALUES ($1, $2)', [id, id % 2 ? 'a' : 'b']);
            await use.cluster.release(session);
        });
        expectGap(await clients[0].next(isGap), 'instances', ['a']);
        expectGap(await clients[1].next(isGap), 'instances', ['b']);
    });

    test('of a message that is larger than the queue loses that message alone', async () => {
        await createTopic(use.cluster, 'larger-than-queue');
        const client = await subscribe(use.cluster, 'larger-than-queue');
        for (const data of [`'1'`, `to_jsonb(repeat('x', 200000))`, `'2'`])
            await use.cluster.sql(`SELECT rtd_broadcast('larger-than-queue', ${data})`);
        const messages = await messagesUntilNow(use.cluster, client, 'larger-than-queue');
        expectGap(messages.find(isGap)!, 'larger-than-queue');
        assert.deepEqual(messages.filter((message) => !isGap(message)).map(({ data }) => data), [1, 2]);
        assert.equal(messages.filter(isGap).length, 1);
    });

    test('is not filled by what nobody subscribes to', async () => {
        const client = await watchedTable(use.cluster, 'somebody');
        await use.cluster.sql('CREATE TABLE nobody (id int PRIMARY KEY)');
        await createTopic(use.cluster, 'nobody', 'retain => false');
        await use.cluster.sql(`SELECT rtd_watch_table('nobody')`);
        await withHubStopped(use.cluster, async () => {
            await insertEach('nobody', 1, 3000);
            await insertEach('somebody', 1, 10);
        });
        assert.deepEqual(await toldOf(client, 'somebody', 10).then(({ lost, gaps }) => [lost, gaps]), [0, 0]);
    });

    test('that fills again and again leaves whoever reads anew at each gap with the current rows', async (t) => {
        const sessions = 8;
        await use.cluster.sql(`CREATE TABLE raced (id int PRIMARY KEY, n int); INSERT INTO raced SELECT n, 0 FROM generate_series(0, ${sessions - 1}) n`);
        await createTopic(use.cluster, 'raced');
        await use.cluster.sql(`SELECT rtd_watch_table('raced', columns => '{id,n}')`);
        const replica = await Replica.open(use.cluster, 'raced', 'raced');
        t.after(() => replica.close());
        const load = startPgbench(use.cluster, ['UPDATE raced SET n = n + 1 WHERE id = :client_id;\n'], { clients: sessions, transactions: 1500 });
        const seed = newSeed();
        t.diagnostic(`seed ${seed}`);
        await pauseHubUntil(use.cluster, within('pgbench', load.done, 60_000), new Random(seed), 100);
        assert.equal(await load.done, 0, load.output());
        const rows = await use.cluster.sql('SELECT id, n FROM raced');
        await waitFor('the replica to be current', () => replica.equals(rows)).catch((error) => {
            throw new Error(`${error.message}: ${replica.difference(rows)}`);
        });
        t.diagnostic(`${replica.events} of ${sessions * 1500} events, ${replica.gaps} gaps`);
        assert.ok(replica.gaps > 0, 'the test lost something');
    });
});

describe('a transaction with more events of a topic than rtd.max_transaction_events', () => {
    const fill = (table: string, first: number, last: number, note = 'x') =>
        `INSERT INTO ${table} SELECT n, '${note}' FROM generate_series(${first}, ${last}) n`;
    const ids = (messages: Envelope[]) => messages.map((message) => (isGap(message) ? 'gap' : message.data.id));
    const range = (first: number, last: number) => Array.from({ length: last - first + 1 }, (_, index) => first + index);

    // A queue that holds all of a transaction: what is lost here is not lost there.
    let roomy: Cluster;
    before(async () => {
        roomy = await Cluster.create({ settings: { 'rtd.max_transaction_events': bound } });
    });
    after(() => roomy?.destroy());

    test('gives one gap instead of 50,000 messages on an event topic, and one message on a state topic', async () => {
        const client = await watchedTable(roomy, 'updated');
        await roomy.sql(`CREATE TABLE updated_state (id int PRIMARY KEY, note text)`);
        await createTopic(roomy, 'updated-state', `query => 'SELECT count(*)::int AS n, max(note) AS note FROM updated_state', throttle => '0'`);
        await roomy.sql(`SELECT rtd_watch_table('updated_state')`);
        const state = await subscribe(roomy, 'updated-state');
        await roomy.sql(fill('updated', 1, 50_000));
        await roomy.sql(fill('updated_state', 1, 50_000));
        await messagesUntilNow(roomy, client, 'updated');
        await state.next(({ data }) => data[0].n === 50_000);
        const before = state.messages.length;

        await roomy.sql(`UPDATE updated SET note = 'y'`);
        await roomy.sql(`UPDATE updated_state SET note = 'y'`);
        const messages = await messagesUntilNow(roomy, client, 'updated');
        assert.equal(messages.length, 1, `${messages.length} messages`);
        expectGap(messages[0], 'updated');
        assert.equal((await state.next()).data[0].note, 'y');
        await roomy.sql(`INSERT INTO updated_state VALUES (0, 'z')`);
        assert.equal((await state.next()).data[0].note, 'z');
        assert.equal(state.messages.length, before + 2);
    });

    test('sends each event up to the bound, and the gap beyond it', async () => {
        const client = await watchedTable(roomy, 'at_the_bound');
        await roomy.sql(fill('at_the_bound', 1, bound));
        assert.deepEqual(ids(await messagesUntilNow(roomy, client, 'at-the-bound')), range(1, bound));
        await roomy.sql(fill('at_the_bound', 2001, 2001 + bound));
        assert.deepEqual(ids(await messagesUntilNow(roomy, client, 'at-the-bound')), ['gap']);
        await roomy.sql(fill('at_the_bound', 5001, 5003));
        assert.deepEqual(ids(await messagesUntilNow(roomy, client, 'at-the-bound')), [5001, 5002, 5003]);
    });

    test('keeps the events of its other topics', async () => {
        const [many, few] = [await watchedTable(roomy, 'many'), await watchedTable(roomy, 'few')];
        await roomy.query(`BEGIN; ${fill('few', 1, 2)}; ${fill('many', 1, 5000)}; ${fill('few', 3, 4)}; COMMIT`);
        assert.deepEqual(ids(await messagesUntilNow(roomy, few, 'few')), [1, 2, 3, 4]);
        assert.deepEqual(ids(await messagesUntilNow(roomy, many, 'many')), ['gap']);
    });

    test('counts broadcasts like rows', async () => {
        await createTopic(roomy, 'many-broadcasts');
        const client = await subscribe(roomy, 'many-broadcasts');
        await roomy.sql(`SELECT count(rtd_broadcast('many-broadcasts', to_jsonb(n))) FROM generate_series(1, ${bound + 1}) n`);
        assert.deepEqual(ids(await messagesUntilNow(roomy, client, 'many-broadcasts')), ['gap']);
    });

    test('brings the single events back when it rolls back to a savepoint before the bound', async () => {
        const client = await watchedTable(roomy, 'brought_back');
        await roomy.query(`
            BEGIN; ${fill('brought_back', 1, 500)};
            SAVEPOINT a; ${fill('brought_back', 1001, 3000)}; ROLLBACK TO a;
            INSERT INTO brought_back VALUES (501); COMMIT`);
        assert.deepEqual(ids(await messagesUntilNow(roomy, client, 'brought-back')), range(1, 501));
        // And collapses when it exceeds the bound again, in a savepoint that stays.
        await roomy.query(`
            BEGIN; ${fill('brought_back', 10_001, 10_500)};
            SAVEPOINT a; ${fill('brought_back', 11_001, 13_000)}; ROLLBACK TO a;
            SAVEPOINT b; ${fill('brought_back', 11_001, 11_501)}; RELEASE b; COMMIT`);
        assert.deepEqual(ids(await messagesUntilNow(roomy, client, 'brought-back')), ['gap']);
    });

    test('counts what released savepoints made, each below the bound', async () => {
        const client = await watchedTable(roomy, 'summed_up');
        await roomy.query(`
            BEGIN; SAVEPOINT a; ${fill('summed_up', 1, 600)}; RELEASE a; SAVEPOINT b; ${fill('summed_up', 601, 1200)}; RELEASE b; COMMIT`);
        assert.deepEqual(ids(await messagesUntilNow(roomy, client, 'summed-up')), ['gap']);
        // The second one goes: the first is below the bound again.
        await roomy.query(`
            BEGIN; SAVEPOINT a; ${fill('summed_up', 2001, 2600)}; RELEASE a;
            SAVEPOINT b; SAVEPOINT c; ${fill('summed_up', 2601, 3200)}; RELEASE c; ROLLBACK TO b; COMMIT`);
        assert.deepEqual(ids(await messagesUntilNow(roomy, client, 'summed-up')), range(2001, 2600));
    });

    test('sends nothing when it is rolled back', async () => {
        const client = await watchedTable(roomy, 'all_for_nothing');
        await roomy.query(`BEGIN; ${fill('all_for_nothing', 1, 5000)}; ROLLBACK`);
        assert.deepEqual(await messagesUntilNow(roomy, client, 'all-for-nothing'), []);
    });

    test('needs memory for the bound and not for its rows', async (t) => {
        const session = await roomy.connect();
        await roomy.sql('CREATE TABLE heavy (id int PRIMARY KEY, note text)');
        await createTopic(roomy, 'heavy');
        await roomy.sql(`SELECT rtd_watch_table('heavy', columns => '{id,note}')`);
        const client = await subscribe(roomy, 'heavy');
        const { rows } = await session.query('SELECT pg_backend_pid() AS pid');
        const anonymous = () => Number(fs.readFileSync(`/proc/${rows[0].pid}/status`, 'utf8').match(/^RssAnon:\s*(\d+)/m)![1]);
        const note = 'n'.repeat(500);
        await session.query(`BEGIN; ${fill('heavy', 1, 20_000, note)}`);
        const early = anonymous();
        for (let round = 1; round <= 5; round++) await session.query(fill('heavy', round * 20_000 + 1, (round + 1) * 20_000, note));
        const late = anonymous();
        await session.query('COMMIT');
        await roomy.release(session);
        t.diagnostic(`${early} kB after 20,000 rows, ${late} kB after 120,000`);
        assert.ok(late - early < 8192, `${late - early} kB for 100,000 more rows`);
        assert.deepEqual(ids(await messagesUntilNow(roomy, client, 'heavy')), ['gap']);
    });
});
