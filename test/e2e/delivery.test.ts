// What is sent, in which order, how often, and what is not: commits, coalescing, comparison, timers.

import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { Connection } from '../lib/cluster';
import { createTopic, expectMessage, queriesRun as queriesRunOn, subscribe, subscriberCount, useCluster } from '../lib/harness';
import { Subscriber } from '../lib/subscriber';
import { measureFor, waitFor } from '../lib/wait';

const use = useCluster(
    { settings: { shared_preload_libraries: 'rtd,pg_stat_statements', 'pg_stat_statements.track': 'all', max_prepared_transactions: 3 } },
    (cluster) => cluster.sql('CREATE EXTENSION pg_stat_statements'),
);

/** A table and an event topic that its rows go to. */
async function watchedTable(name: string, columns = 'id int PRIMARY KEY, note text') {
    await use.cluster.sql(`CREATE TABLE ${name} (${columns})`);
    await createTopic(use.cluster, name.replace(/_/g, '-'));
    await use.cluster.sql(`SELECT rtd_watch_table('${name}')`);
    return subscribe(use.cluster, name.replace(/_/g, '-'));
}

/** A table and a state topic whose query counts as "its" query, whoever runs it. */
async function stateTopic(name: string, options = '', query = `SELECT id, note FROM ${name} AS ${name}_counted ORDER BY id`) {
    const topic = name.replace(/_/g, '-');
    await use.cluster.sql(`CREATE TABLE ${name} (id int PRIMARY KEY, note text, unseen int)`);
    await createTopic(use.cluster, topic, `query => $$${query}$$${options && ', '}${options}`);
    await use.cluster.sql(`SELECT rtd_watch_table('${name}')`);
    return topic;
}

const queriesRun = (table: string) => queriesRunOn(use.cluster, table);

const operations = async (client: Subscriber, count: number) => {
    const seen: string[] = [];
    while (seen.length < count) {
        const { data } = await client.next();
        seen.push(`${data.operation} ${data.id}`);
    }
    return seen;
};

describe('transactions', () => {
    test('a rolled back insert is not broadcast', async () => {
        const client = await watchedTable('rolled_back');
        await use.cluster.query('BEGIN; INSERT INTO rolled_back VALUES (1); ROLLBACK');
        await use.cluster.sql('INSERT INTO rolled_back VALUES (2)');
        assert.deepEqual(await operations(client, 1), ['INSERT 2']);
        assert.equal(client.messages.length, 1);
    });

    test('a rolled back savepoint takes its events along, a released one keeps them', async () => {
        const client = await watchedTable('savepoints');
        await use.cluster.query(`
            BEGIN;
            INSERT INTO savepoints VALUES (1);
            SAVEPOINT a;
            INSERT INTO savepoints VALUES (2);
            SAVEPOINT b;
            INSERT INTO savepoints VALUES (3);
            RELEASE b;
            ROLLBACK TO a;
            INSERT INTO savepoints VALUES (4);
            SAVEPOINT c;
            INSERT INTO savepoints VALUES (5);
            RELEASE c;
            COMMIT`);
        assert.deepEqual(await operations(client, 3), ['INSERT 1', 'INSERT 4', 'INSERT 5']);
        await use.cluster.sql('INSERT INTO savepoints VALUES (6)');
        assert.deepEqual(await operations(client, 1), ['INSERT 6']);
    });

    test('a block with an exception handler that fires sends nothing of the block', async () => {
        const client = await watchedTable('handled');
        await use.cluster.sql(`
            DO $$ BEGIN
                BEGIN
                    INSERT INTO handled VALUES (1);
                    PERFORM 1 / 0;
                EXCEPTION WHEN division_by_zero THEN
                    INSERT INTO handled VALUES (2);
                END;
            END $$`);
        assert.deepEqual(await operations(client, 1), ['INSERT 2']);
        assert.equal(client.messages.length, 1);
    });

    test('nothing is sent before the commit', async () => {
        const client = await watchedTable('uncommitted');
        const writer = await use.cluster.connect();
        await writer.query('BEGIN; INSERT INTO uncommitted VALUES (1)');
        await use.cluster.sql('INSERT INTO uncommitted VALUES (2)');
        assert.deepEqual(await operations(client, 1), ['INSERT 2']);
        await writer.query('COMMIT');
        assert.deepEqual(await operations(client, 1), ['INSERT 1']);
    });

    test('events of a transaction arrive in the order they were made, row changes and broadcasts alike', async () => {
        const client = await watchedTable('ordered');
        await use.cluster.query(`
            BEGIN;
            INSERT INTO ordered SELECT n FROM generate_series(1, 5) AS n;
            SELECT rtd_broadcast('ordered', '{"operation": "by hand", "id": 0}');
            UPDATE ordered SET note = 'x' WHERE id = 3;
            DELETE FROM ordered WHERE id = 1;
            COMMIT`);
        const inserts = [1, 2, 3, 4, 5].map((id) => `INSERT ${id}`);
        assert.deepEqual(await operations(client, 8), [...inserts, 'by hand 0', 'UPDATE 3', 'DELETE 1']);
    });

    test('transactions of many sessions arrive in the order they committed', async () => {
        // Everyone increments the same row, so its value is the order of the commits.
        await use.cluster.sql('CREATE TABLE turns (n int); INSERT INTO turns VALUES (0)');
        await createTopic(use.cluster, 'turns');
        const client = await subscribe(use.cluster, 'turns');
        const sessions = 8;
        const each = 50;
        const write = async (connection: Connection) => {
            for (let i = 0; i < each; i++)
                await connection.query(`
                    WITH turn AS (UPDATE turns SET n = n + 1 RETURNING n)
                    SELECT rtd_broadcast('turns', to_jsonb(n)) FROM turn`);
        };
        const connections = await Promise.all(Array.from({ length: sessions }, () => use.cluster.connect()));
        await Promise.all(connections.map(write));
        await waitFor('every message', () => client.messages.length === sessions * each);
        const expected = Array.from({ length: sessions * each }, (_, index) => index + 1);
        assert.deepEqual(client.messages.map((message) => message.data), expected);
        await Promise.all(connections.map((connection) => use.cluster.release(connection)));
    });

    test('a broadcast that is not transactional is sent although its transaction rolls back', async () => {
        await createTopic(use.cluster, 'at-once');
        const client = await subscribe(use.cluster, 'at-once');
        await use.cluster.query(`
            BEGIN;
            SELECT rtd_broadcast('at-once', '1', transactional => false);
            SELECT rtd_broadcast('at-once', '2');
            ROLLBACK`);
        await use.cluster.sql(`SELECT rtd_broadcast('at-once', '3')`);
        assert.deepEqual([(await client.next()).data, (await client.next()).data], [1, 3]);
    });

    test('a session that has published sees at once what another changes about the topic', async () => {
        await use.cluster.sql('CREATE ROLE announcer');
        await createTopic(use.cluster, 'kept-topic');
        await use.cluster.sql(`SELECT rtd_grant('kept-topic', 'announcer', 'publish')`);
        const session = await use.cluster.connect();
        const broadcast = (params: string) => session.query(`SELECT rtd_broadcast('kept-topic', '1', '${params}')`);
        await session.query('SET ROLE announcer');
        await session.query('BEGIN ISOLATION LEVEL REPEATABLE READ');
        await broadcast('{}');
        await use.cluster.sql(`SELECT rtd_alter_topic('kept-topic', parameters => '{id}')`);
        await broadcast('{1}');
        await session.query('COMMIT');
        await use.cluster.sql(`SELECT rtd_revoke('kept-topic', 'announcer', 'publish')`);
        await assert.rejects(broadcast('{1}'), /permission denied to publish/);
        await use.cluster.release(session);
    });

    test('an update that changes nothing makes no event', async () => {
        const client = await watchedTable('unchanged');
        await use.cluster.sql(`INSERT INTO unchanged VALUES (1, 'same')`);
        await use.cluster.sql(`UPDATE unchanged SET note = 'same'`);
        await use.cluster.sql(`UPDATE unchanged SET note = 'other'`);
        assert.deepEqual(await operations(client, 2), ['INSERT 1', 'UPDATE 1']);
        assert.equal(client.messages.length, 2);
    });

    test('an update of the key is told for the old and for the new key', async () => {
        const client = await watchedTable('rekeyed');
        await use.cluster.sql(`INSERT INTO rekeyed VALUES (1)`);
        await client.next();
        await use.cluster.sql(`UPDATE rekeyed SET id = 2`);
        const ids = [(await client.next()).data.id, (await client.next()).data.id];
        assert.deepEqual(ids.sort(), [1, 2]);
    });

    test('PREPARE TRANSACTION with events is refused, as it is for NOTIFY', async () => {
        await use.cluster.sql('CREATE TABLE two_phase (id int PRIMARY KEY)');
        await createTopic(use.cluster, 'two-phase');
        await use.cluster.sql(`SELECT rtd_watch_table('two_phase')`);
        const writer = await use.cluster.connect();
        await writer.query('BEGIN; INSERT INTO two_phase VALUES (1)');
        await assert.rejects(writer.query(`PREPARE TRANSACTION 'rows'`), { code: '0A000', message: /has made rtd events/ });
    });

    test('PREPARE TRANSACTION after DDL: refused if it changes what clients are shown, else as without rtd', async () => {
        await use.cluster.sql('CREATE TABLE prepared_ddl (id int PRIMARY KEY); CREATE VIEW prepared_view AS SELECT id FROM prepared_ddl');
        await createTopic(use.cluster, 'prepared-ddl', `query => 'SELECT id FROM prepared_view ORDER BY id'`);
        const client = await subscribe(use.cluster, 'prepared-ddl');
        const session = await use.cluster.connect();
        for (const ddl of ['CREATE OR REPLACE VIEW prepared_view AS SELECT id FROM prepared_ddl WHERE id > 1', 'ALTER VIEW prepared_view RENAME TO elsewhere']) {
            await session.query(`BEGIN; ${ddl}`);
            await assert.rejects(session.query(`PREPARE TRANSACTION 'ddl'`), { code: '0A000', message: /has made rtd events/ });
        }
        await session.query(`BEGIN; CREATE TABLE of_nobody (id int); PREPARE TRANSACTION 'ddl'`);
        await session.query(`COMMIT PREPARED 'ddl'`);
        await use.cluster.release(session);
        assert.deepEqual((await client.next()).data, []);
    });
});

describe('queries', () => {
    test('without a subscriber the query of a topic never runs', async () => {
        const topic = await stateTopic('unwatched');
        const position = await queriesRun('unwatched');
        for (let id = 1; id <= 20; id++) await use.cluster.sql('INSERT INTO unwatched VALUES ($1)', [id]);
        // The next subscription's own query comes after whatever those events could have caused.
        const client = await subscribe(use.cluster, topic);
        assert.equal((await client.next()).data.length, 20);
        assert.equal((await queriesRun('unwatched')) - position, 1);

        await client.close();
        await waitFor('the end of the subscription', async () => (await subscriberCount(use.cluster, topic)) === 0);
        const left = await queriesRun('unwatched');
        await use.cluster.sql('DELETE FROM unwatched');
        const again = await subscribe(use.cluster, topic);
        await again.next((message) => message.data.length === 0);
        assert.ok((await queriesRun('unwatched')) - left <= 1);
    });

    for (const rows of [10, 5000]) {
        test(`${rows} row changes of a transaction make one query and one message`, async () => {
            const table = `bulk_${rows}`;
            const client = await subscribe(use.cluster, await stateTopic(table, '', `SELECT count(*) AS n FROM ${table} AS ${table}_counted`));
            await client.next();
            const position = await queriesRun(table);
            await use.cluster.sql(`INSERT INTO ${table} SELECT n FROM generate_series(1, ${rows}) AS n`);
            assert.deepEqual((await client.next()).data, [{ n: rows }]);
            assert.equal((await queriesRun(table)) - position, 1);
            assert.equal(client.messages.length, 2);
        });
    }

    test('a statement that writes no row makes no query', async () => {
        const client = await subscribe(use.cluster, await stateTopic('no_row', `throttle => '0'`));
        await client.next();
        await use.cluster.sql('INSERT INTO no_row VALUES (1)');
        await client.next();
        const position = await queriesRun('no_row');
        await use.cluster.sql('UPDATE no_row SET id = 2 WHERE id = 3');
        await use.cluster.query('BEGIN; DELETE FROM no_row WHERE id = 3; INSERT INTO no_row SELECT WHERE false; COMMIT');
        await use.cluster.sql('DELETE FROM no_row');
        assert.deepEqual((await client.next()).data, []);
        assert.equal((await queriesRun('no_row')) - position, 1);
    });

    const writes = {
        'INSERT .. ON CONFLICT DO UPDATE': `INSERT INTO # VALUES (1) ON CONFLICT (id) DO UPDATE SET note = 'new'`,
        MERGE: `MERGE INTO # USING (SELECT 1 AS n) AS s ON id = n WHEN MATCHED THEN UPDATE SET note = 'new'`,
        'a writing WITH': `WITH w AS (UPDATE # SET note = 'new' RETURNING 1) SELECT * FROM w`,
        'ON DELETE CASCADE': 'DELETE FROM #_parent',
        TRUNCATE: 'TRUNCATE #',
    };
    for (const [index, [name, write]] of Object.entries(writes).entries())
        test(`${name} is seen by a state topic`, async () => {
            const table = `written_${index}`;
            const client = await subscribe(use.cluster, await stateTopic(table));
            await use.cluster.sql(`
                CREATE TABLE ${table}_parent (id int PRIMARY KEY);
                ALTER TABLE ${table} ADD FOREIGN KEY (id) REFERENCES ${table}_parent ON DELETE CASCADE;
                INSERT INTO ${table}_parent VALUES (1);
                INSERT INTO ${table} VALUES (1, 'old')`);
            await client.next(({ data }) => data.length === 1);
            await use.cluster.sql(write.replace('#', table));
            const { data } = await client.next();
            assert.ok(data.length === 0 || data[0].note === 'new', JSON.stringify(data));
        });

    test('rows written through a parent are seen, and a watched table that gets a parent is reported', async () => {
        await use.cluster.sql(`
            CREATE TABLE family (id int PRIMARY KEY) PARTITION BY RANGE (id);
            CREATE TABLE family_1 PARTITION OF family FOR VALUES FROM (0) TO (10);
            CREATE TABLE family_2 (id int PRIMARY KEY)`);
        for (const [topic, table] of [['family-all', 'family'], ['family-first', 'family_1'], ['family-later', 'family_2']]) {
            await createTopic(use.cluster, topic, `query => 'SELECT count(*)::int AS n FROM ${table}', throttle => '0'`);
            await use.cluster.sql(`SELECT rtd_watch_table('${table}', '${topic}')`);
        }
        const [all, first, later] = [
            await subscribe(use.cluster, 'family-all'),
            await subscribe(use.cluster, 'family-first'),
            await subscribe(use.cluster, 'family-later'),
        ];
        const problem = () => use.cluster.value(`SELECT problem FROM rtd_watched_tables WHERE topic = 'family-later'`);
        await use.cluster.sql('INSERT INTO family VALUES (1)');
        await all.next(({ data }) => data[0].n === 1);
        await first.next(({ data }) => data[0].n === 1);
        assert.equal(await problem(), null);
        await use.cluster.sql('ALTER TABLE family ATTACH PARTITION family_2 FOR VALUES FROM (10) TO (20)');
        assert.match(await problem(), /became a partition/);
        await use.cluster.sql(`SELECT rtd_watch_table('family_2', 'family-later')`);
        assert.equal(await problem(), null);
        await use.cluster.sql('INSERT INTO family VALUES (10)');
        await later.next(({ data }) => data[0].n === 1);
        await all.next(({ data }) => data[0].n === 2);
    });

    test('clients of one instance share one query and one message', async () => {
        const topic = await stateTopic('shared_state');
        const position = await queriesRun('shared_state');
        const queries = async () => (await queriesRun('shared_state')) - position;
        const clients = [];
        for (let n = 0; n < 20; n++) clients.push(await subscribe(use.cluster, topic));
        await Promise.all(clients.map((client) => client.next()));
        assert.equal(await queries(), 1);
        await use.cluster.sql(`INSERT INTO shared_state VALUES (1, 'x')`);
        const messages = await Promise.all(clients.map((client) => client.next()));
        for (const message of messages) assert.deepEqual(message, messages[0]);
        assert.equal(await queries(), 2);
        const late = await subscribe(use.cluster, topic);
        assert.deepEqual(await late.next(), messages[0], 'a late client gets the cached message');
        assert.equal(await queries(), 2);
    });

    test('an equal state is not sent again', async () => {
        const client = await subscribe(use.cluster, await stateTopic('equal_state'));
        await client.next();
        await use.cluster.sql(`INSERT INTO equal_state VALUES (1, 'x', 0)`);
        await client.next();
        const position = await queriesRun('equal_state');
        await use.cluster.sql(`UPDATE equal_state SET unseen = 1`);
        await waitFor('the query', async () => (await queriesRun('equal_state')) > position);
        await use.cluster.sql(`UPDATE equal_state SET note = 'y'`);
        assert.deepEqual((await client.next()).data, [{ id: 1, note: 'y' }]);
        assert.equal(client.messages.length, 3);
    });

    test('a state topic sends at most about ten messages a second, and always the last state', async () => {
        const client = await subscribe(use.cluster, await stateTopic('hurried'));
        await client.next();
        await use.cluster.sql(`INSERT INTO hurried VALUES (1, '0')`);
        const start = Date.now();
        let writes = 0;
        while (Date.now() - start < 1500) await use.cluster.sql('UPDATE hurried SET note = $1', [String(++writes)]);
        await client.next((message) => message.data[0]?.note === String(writes));
        const seconds = (Date.now() - start) / 1000;
        assert.ok(writes > 50, `${writes} writes`);
        assert.ok(client.messages.length - 1 <= 10 * seconds + 2, `${client.messages.length} messages in ${seconds} s`);
    });

    test('the first change after a quiet time is sent without waiting for the throttle', async () => {
        const client = await subscribe(use.cluster, await stateTopic('leading_edge', `throttle => '3 s'`));
        await client.next();
        await measureFor(3100);
        const start = Date.now();
        await use.cluster.sql(`INSERT INTO leading_edge VALUES (1, 'x')`);
        await client.next();
        assert.ok(Date.now() - start < 1500, `${Date.now() - start} ms`);
    });

    /** Writes row 1 with a number that rises until `stop`; returns the last one, and the longest pause between writes. */
    async function stream(table: string, stop: () => boolean) {
        let [n, longestMs, last] = [0, 0, Date.now()];
        while (!stop()) {
            await use.cluster.sql(`INSERT INTO ${table} VALUES (1, $1) ON CONFLICT (id) DO UPDATE SET note = $1`, [String(++n)]);
            longestMs = Math.max(longestMs, Date.now() - last);
            last = Date.now();
            await measureFor(20);
        }
        return { last: String(n), longestMs };
    }

    test('debounce waits for a quiet time: changes over three times its length make one message', async () => {
        const topic = await stateTopic('debounced', `debounce => '1 s', throttle => '0'`);
        const client = await subscribe(use.cluster, topic);
        await client.next();
        const position = await queriesRun('debounced');
        const end = Date.now() + 3000;
        const { last, longestMs } = await stream('debounced', () => Date.now() > end);
        assert.ok(longestMs < 900, `it never was quiet: ${longestMs} ms`);
        assert.equal(client.unread, 0, 'nothing comes before it is quiet');
        assert.deepEqual((await client.next()).data, [{ id: 1, note: last }]);
        assert.equal(client.messages.length, 2);
        assert.equal((await queriesRun('debounced')) - position, 1);
    });

    test('a steady stream cannot postpone a debounced message beyond ten times the quiet time', async () => {
        const topic = await stateTopic('bounded', `debounce => '400 ms', throttle => '0'`);
        const client = await subscribe(use.cluster, topic);
        await client.next();
        const start = Date.now();
        const { longestMs } = await stream('bounded', () => client.unread > 0 || Date.now() > start + 10_000);
        assert.ok(longestMs < 380, `it never was quiet: ${longestMs} ms`);
        const waitedMs = Date.parse((await client.next()).timestamp) - start;
        assert.ok(waitedMs >= 3900 && waitedMs < 6000, `${waitedMs} ms`);
    });

    test('rtd_refresh queries again', async () => {
        await use.cluster.sql('CREATE TABLE unwatchable (id int PRIMARY KEY)');
        await createTopic(use.cluster, 'refreshed', `query => 'SELECT id FROM unwatchable'`);
        const client = await subscribe(use.cluster, 'refreshed');
        assert.deepEqual((await client.next()).data, []);
        await use.cluster.sql(`INSERT INTO unwatchable VALUES (1); SELECT rtd_refresh('refreshed')`);
        assert.deepEqual((await client.next()).data, [{ id: 1 }]);
    });

    test('a watched event topic that is given a query sends its state from then on, once a transaction', async () => {
        const before = await watchedTable('promoted');
        await use.cluster.sql(`INSERT INTO promoted VALUES (1)`);
        assert.deepEqual(await operations(before, 1), ['INSERT 1']);
        await use.cluster.sql(`SELECT rtd_alter_topic('promoted', query => 'SELECT count(*)::int AS n FROM promoted')`);
        assert.equal((await before.closed).code, 4502);
        const after = await subscribe(use.cluster, 'promoted');
        assert.deepEqual((await after.next()).data, [{ n: 1 }]);
        await use.cluster.sql(`INSERT INTO promoted SELECT generate_series(2, 500)`);
        assert.deepEqual((await after.next()).data, [{ n: 500 }]);
    });

    test('an event of which a parameter is unknown reaches every instance that agrees in the others', async () => {
        await use.cluster.sql('CREATE TABLE wild (a text, b text, n int)');
        await createTopic(use.cluster, 'wild', `parameters => '{a,b}',
            query => 'SELECT coalesce(sum(n), 0) AS n FROM wild WHERE b = $2 AND $1 IS NOT NULL'`);
        await use.cluster.sql(`SELECT rtd_watch_table('wild', columns => '{b}', parameters => '{NULL,b}')`);
        const [x1, y1, x2] = [
            await subscribe(use.cluster, 'wild', 'x', '1'),
            await subscribe(use.cluster, 'wild', 'y', '1'),
            await subscribe(use.cluster, 'wild', 'x', '2'),
        ];
        for (const client of [x1, y1, x2]) await client.next();
        await use.cluster.sql(`INSERT INTO wild VALUES ('z', '1', 5)`);
        assert.deepEqual((await x1.next()).data, [{ n: 5 }]);
        assert.deepEqual((await y1.next()).data, [{ n: 5 }]);
        await use.cluster.sql(`INSERT INTO wild VALUES ('z', '2', 7)`);
        assert.deepEqual((await x2.next()).data, [{ n: 7 }]);
        assert.deepEqual([x1.messages.length, x2.messages.length], [2, 2]);
    });
});

describe('results', () => {
    const cases: [name: string, query: string, data: any, options?: string][] = [
        ['a row with one json column is taken as it is', `SELECT '{"a": [1, null]}'::json`, { a: [1, null] }],
        ['a row with one jsonb column is taken as it is', `SELECT '"text"'::jsonb`, 'text'],
        ['text that holds JSON is parsed if it is declared so', `SELECT '{"b": true}'::text`, { b: true }, `, shape => 'value'`],
        ['text is a column like others', `SELECT '{"b": true}'::text AS t`, [{ t: '{"b": true}' }]],
        ['NULL is null', `SELECT NULL::jsonb`, null],
        ['no row of a single json column is null', `SELECT '1'::jsonb WHERE false`, null],
        ['several columns become an array of objects', `SELECT 1 AS a, 'x' AS b`, [{ a: 1, b: 'x' }]],
        ['one column that is not JSON becomes an array of objects', `SELECT 3 AS n`, [{ n: 3 }]],
        ['no row of several columns is an empty array', `SELECT 1 AS a, 2 AS b WHERE false`, []],
    ];
    cases.forEach(([name, query, data, options = ''], index) =>
        test(name, async () => {
            await createTopic(use.cluster, `result-${index}`, `query => $$${query}$$${options}`);
            const client = await subscribe(use.cluster, `result-${index}`);
            expectMessage(await client.next(), {
                ...{ type: `result_${index}_update`, topic: `result-${index}`, params: [], data },
                ...{ kind: 'snapshot', source: 'sync' },
            });
        }),
    );

    test('a topic has the message type it was given', async () => {
        await createTopic(use.cluster, 'typed', `type => 'something_else'`);
        const client = await subscribe(use.cluster, 'typed');
        await use.cluster.sql(`SELECT rtd_broadcast('typed', '1')`);
        assert.equal((await client.next()).type, 'something_else');
        await use.cluster.sql(`SELECT rtd_broadcast('typed', '2', type => 'for_once')`);
        assert.equal((await client.next()).type, 'for_once');
    });
});

describe('timers', () => {
    test('a topic that saw no event for rtd.resync_interval is synced, compared', async () => {
        await use.cluster.reload({ 'rtd.resync_interval': '1s' });
        const client = await subscribe(use.cluster, await stateTopic('resynced'));
        await client.next();
        await use.cluster.query(`
            BEGIN;
            SET LOCAL session_replication_role = replica; -- no trigger sees this
            INSERT INTO resynced VALUES (1, 'behind the back');
            COMMIT`);
        const message = await client.next();
        assert.deepEqual(message.data, [{ id: 1, note: 'behind the back' }]);
        assert.equal(message.source, 'sync');
        const position = await queriesRun('resynced');
        await waitFor('two more syncs', async () => (await queriesRun('resynced')) >= position + 2);
        assert.equal(client.messages.length, 2, 'an equal state is not sent');
        await use.cluster.reload({ 'rtd.resync_interval': '5min' });
    });

    test('refresh queries on a timer, only while somebody subscribes', async () => {
        const topic = await stateTopic('polled', `refresh => '200 ms'`);
        const unsubscribed = await queriesRun('polled');
        await measureFor(600);
        assert.equal(await queriesRun('polled'), unsubscribed);
        const client = await subscribe(use.cluster, topic);
        await client.next();
        await use.cluster.query(`
            BEGIN; SET LOCAL session_replication_role = replica; INSERT INTO polled VALUES (1, 'x'); COMMIT`);
        const message = await client.next();
        assert.deepEqual([message.source, message.data], ['poll', [{ id: 1, note: 'x' }]]);
        await client.close();
        await waitFor('the end of the subscription', async () => (await subscriberCount(use.cluster, topic)) === 0);
        await measureFor(300);
        const position = await queriesRun('polled');
        await measureFor(800);
        assert.equal(await queriesRun('polled'), position);
    });

    test('after a start of the hub its topics are synced', async () => {
        const topic = await stateTopic('hub_start');
        const hub = await use.cluster.hubPid();
        const before = await subscribe(use.cluster, topic);
        const [first] = [await before.next()];
        await use.cluster.sql('SELECT pg_terminate_backend($1)', [hub]);
        await before.closed;
        await waitFor('another hub', async () => ![0, hub].includes((await use.cluster.pids('rtd hub'))[0] ?? 0));
        await use.cluster.ready();
        const client = await subscribe(use.cluster, topic);
        const message = await client.next();
        assert.equal(message.source, 'sync');
        assert.notEqual(message.id, first.id, 'another epoch');
        await use.cluster.sql(`INSERT INTO hub_start VALUES (1, 'x')`);
        assert.deepEqual((await client.next()).data, [{ id: 1, note: 'x' }]);
    });
});

describe('what goes wrong in one place hurts nobody else', () => {
    test('a failing query is logged, others go on, and its subscribers get the next good state', async () => {
        const failing = await subscribe(
            use.cluster,
            await stateTopic('failing', '', 'SELECT 1 / (count(*) - 1) AS n FROM failing AS failing_counted'),
        );
        assert.deepEqual((await failing.next()).data, [{ n: -1 }]);
        const healthy = await subscribe(use.cluster, await stateTopic('healthy'));
        await healthy.next();
        const position = use.cluster.logPosition();
        await use.cluster.sql(`INSERT INTO failing VALUES (1)`);
        await use.cluster.waitForLog(/\[EVENT_BROADCAST\] Error broadcasting failing_update update: .*division by zero/, position);
        await use.cluster.sql(`INSERT INTO healthy VALUES (1, 'fine')`);
        assert.deepEqual((await healthy.next()).data, [{ id: 1, note: 'fine' }]);
        await use.cluster.sql(`INSERT INTO failing VALUES (2), (3)`);
        assert.deepEqual((await failing.next()).data, [{ n: 0 }]);
    });

    test('a slow query delays no other topic', async () => {
        await use.cluster.sql('CREATE TABLE slow (id int PRIMARY KEY)');
        await createTopic(use.cluster, 'slow', `query => 'SELECT count(*) AS n, pg_sleep(2) IS NULL AS x FROM slow'`);
        const slow = await Subscriber.open(use.cluster.url('slow'));
        const quick = await subscribe(use.cluster, await stateTopic('quick'));
        await quick.next();
        assert.equal(slow.messages.length, 0);
        await slow.next();
    });

    test('a query that takes longer than rtd.statement_timeout is ended and logged', async () => {
        await use.cluster.reload({ 'rtd.statement_timeout': '300ms' });
        await createTopic(use.cluster, 'endless', `query => 'SELECT pg_sleep(30) IS NULL AS x'`);
        const position = use.cluster.logPosition();
        const client = await Subscriber.open(use.cluster.url('endless'));
        await use.cluster.waitForLog(/statement timeout/, position);
        client.socket.terminate();
        await use.cluster.reload({ 'rtd.statement_timeout': '10s' });
    });

    test('a notification that is not JSON is logged and skipped', async () => {
        await createTopic(use.cluster, 'bridged');
        await use.cluster.sql(`SELECT rtd_listen('bridged_channel', 'bridged')`);
        await use.cluster.waitForLog(/\[DB_LISTENER\] Listening on channel: bridged_channel/);
        const client = await subscribe(use.cluster, 'bridged');
        const position = use.cluster.logPosition();
        await use.cluster.sql(`SELECT pg_notify('bridged_channel', 'not JSON {')`);
        await use.cluster.sql(`SELECT pg_notify('bridged_channel', '{"ok": 1}')`);
        assert.deepEqual((await client.next()).data, { ok: 1 });
        assert.match(use.cluster.logSince(position), /bridged_channel/);
    });

    test('a broadcast and a trigger on one topic work together', async () => {
        const client = await subscribe(use.cluster, await stateTopic('both_ways', `throttle => '0'`));
        await client.next();
        await use.cluster.sql(`INSERT INTO both_ways VALUES (1, 'x')`);
        assert.equal((await client.next()).kind, 'snapshot');
        await use.cluster.sql(`SELECT rtd_broadcast('both-ways', '{"direct": true}')`);
        expectMessage(await client.next(), {
            ...{ type: 'both_ways_update', topic: 'both-ways', params: [], data: { direct: true } },
            ...{ kind: 'event', source: 'event' },
        });
        await use.cluster.sql(`INSERT INTO both_ways VALUES (2, 'y')`);
        assert.equal((await client.next()).data.length, 2);
    });
});

test('the log tells of every event, broadcast and client, at the level that was asked for', async () => {
    const topic = await stateTopic('logged');
    // Without a channel a plain state topic is watched by the statement, which knows no key.
    await use.cluster.sql(`SELECT rtd_watch_table('logged', channel => 'logged_changed')`);
    await use.cluster.reload({ 'rtd.event_log_level': 'log' });
    await createTopic(use.cluster, 'unheard'); // retained, so its events reach the hub
    await waitFor('the setting to be in force', async () => {
        await use.cluster.sql(`SELECT rtd_broadcast('unheard', '1')`);
        return /\[EVENT_BROADCAST\] Skipping unheard_update broadcast - no active connections/.test(use.cluster.log());
    });
    const position = use.cluster.logPosition();
    const client = await subscribe(use.cluster, topic);
    await client.next();
    await use.cluster.sql(`INSERT INTO logged VALUES (41, 'x')`);
    await client.next();
    client.socket.close(1000, 'done');
    await use.cluster.waitForLog(/\[WS\] Client connected: 127\.0\.0\.1:\d+ \(\d+ total\)/, position);
    await use.cluster.waitForLog(/\[EVENT_DETECTION\] logged event received: .*"INSERT".*41/, position);
    await use.cluster.waitForLog(
        /\[EVENT_BROADCAST\] Broadcasted logged_update update to 1 clients \(operation=INSERT, id=41\)/,
        position,
    );
    await use.cluster.waitForLog(/\[WS\] Client disconnected: 127\.0\.0\.1:\d+ \(\d+ remaining\), code 1000: done/, position);
    await use.cluster.reload({ 'rtd.event_log_level': 'debug1' });
});
