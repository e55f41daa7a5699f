// Definitions that several sessions change at the same time: none takes back what another one said, no
// session waits for another one's open transaction unless both are about the same table or topic, and
// what both do in one statement each never ends in a deadlock.

import assert from 'node:assert/strict';
import { afterEach, test } from 'node:test';
import { Connection } from '../lib/cluster';
import { createTopic, subscribe, useCluster } from '../lib/harness';
import { waitFor } from '../lib/wait';

const use = useCluster({ settings: { deadlock_timeout: '100ms' } });
const sql = (text: string) => use.cluster.sql(text);

// A test that failed leaves no transaction open.
afterEach(() => use.cluster.closeConnections());

async function sessions(count: number): Promise<Connection[]> {
    return Promise.all(Array.from({ length: count }, () => use.cluster.connect({ statement_timeout: 20_000 })));
}

const pidOf = async (session: Connection) => (await session.query('SELECT pg_backend_pid() AS pid')).rows[0].pid;

/** What `second` says, begun while `first` is in a transaction that said something, ended when it waits for that. */
async function overtaken(first: string, second: string): Promise<{ error?: string }> {
    const [a, b] = await sessions(2);
    const pid = await pidOf(b);
    await a.query('BEGIN');
    await a.query(first);
    const outcome = b.query(second).then(
        () => ({}),
        (error) => ({ error: error.message as string }),
    );
    await waitFor('the second session to wait', () =>
        use.cluster.value(`SELECT wait_event_type = 'Lock' FROM pg_stat_activity WHERE pid = ${pid}`),
    );
    await a.query('COMMIT');
    return outcome;
}

/** Fails if the statement waits for a lock. */
async function withoutWaiting(session: Connection, text: string) {
    await session.query(`SET lock_timeout = '1ms'`);
    await session.query(text);
}

test('of two changes of a topic at the same time both hold', async () => {
    await createTopic(use.cluster, 'both', `query => 'SELECT 1 AS n'`);
    assert.deepEqual(
        await overtaken(
            `SELECT rtd_alter_topic('both', query => 'SELECT 2 AS n', retain => false)`,
            `SELECT rtd_alter_topic('both', throttle => '2 s', history => 7)`,
        ),
        {},
    );
    assert.deepEqual(await sql(`SELECT query, throttle::text, history, retain, version::int FROM rtd_topics WHERE name = 'both'`), [
        { query: 'SELECT 2 AS n', throttle: '00:00:02', history: 7, retain: false, version: 3 },
    ]);
});

test('a kind, a key or parameters that changed meanwhile are what the second change starts from', async () => {
    await createTopic(use.cluster, 'keyless', `query => 'SELECT 1 AS id, 2 AS n'`);
    await overtaken(`SELECT rtd_alter_topic('keyless', key => '{id}')`, `SELECT rtd_alter_topic('keyless', debounce => '1 s')`);
    assert.deepEqual(await sql(`SELECT kind, key, debounce::text FROM rtd_topics WHERE name = 'keyless'`), [
        { kind: 'keyed', key: ['id'], debounce: '00:00:01' },
    ]);
    const { error } = await overtaken(
        `SELECT rtd_alter_topic('keyless', key => '{}', query => 'SELECT 2 AS n')`,
        `SELECT rtd_alter_topic('keyless', key => '{id}')`,
    );
    assert.match(error!, /"id"/, 'the query has no such column any more');
});

test('an owner that changed meanwhile is the one who decides', async () => {
    await sql(`CREATE ROLE was_owner LOGIN; CREATE ROLE is_owner;
        GRANT CREATE ON DATABASE app TO was_owner, is_owner; SET ROLE was_owner;
        SELECT rtd_create_topic('handed-over', 'SELECT 1'); RESET ROLE`);
    const { error } = await overtaken(
        `SELECT rtd_alter_topic('handed-over', owner => 'is_owner')`,
        `SET ROLE was_owner; SELECT rtd_alter_topic('handed-over', throttle => '2 s')`,
    );
    assert.match(error!, /must be owner of topic "handed-over"/);
});

test('parameters do not change under a watch or a channel that is being made, nor the other way round', async () => {
    await sql('CREATE TABLE place (id int PRIMARY KEY, a int, b int)');
    const inUse = /cannot change the parameters of topic/;
    for (const [name, feed] of [['watched', `rtd_watch_table('place', 'watched')`], ['heard', `rtd_listen('place', 'heard', '{a}')`]]) {
        await createTopic(use.cluster, name, `parameters => '{a}'`);
        const alter = `SELECT rtd_alter_topic('${name}', parameters => '{a,b}')`;
        assert.match((await overtaken(`SELECT ${feed}`, alter)).error!, inUse);
        await sql(`SELECT rtd_drop_topic('${name}')`);
        await createTopic(use.cluster, name, `parameters => '{a}'`);
        const { error } = await overtaken(alter, `SELECT ${feed}`);
        if (name === 'heard') assert.match(error!, /has 2 parameters, not 1/);
        else assert.deepEqual(await sql(`SELECT parameters FROM rtd_watched_tables WHERE topic = 'watched'`), [{ parameters: ['a', 'b'] }]);
    }
});

test('a topic that is being altered takes messages, also durable ones that are its first', async () => {
    await createTopic(use.cluster, 'altered', 'durable => true');
    const client = await subscribe(use.cluster, 'altered');
    const [a, b] = await sessions(2);
    await a.query(`BEGIN; SELECT rtd_alter_topic('altered', history => 5)`);
    await withoutWaiting(b, `SELECT rtd_broadcast('altered', '1')`);
    assert.equal((await client.next()).data, 1, 'numbered and sent before the commit');
    await a.query('COMMIT');
});

test('who watches a table waits for nobody who watches another one, whatever was dropped meanwhile', async () => {
    await sql(`CREATE TABLE gone_a (id int PRIMARY KEY); CREATE TABLE gone_b (id int PRIMARY KEY);
        CREATE TABLE here_a (id int PRIMARY KEY); CREATE TABLE here_b (id int PRIMARY KEY); CREATE TABLE here_c (id int PRIMARY KEY);
        SELECT rtd_watch_table('gone_a'), rtd_watch_table('gone_b'); DROP TABLE gone_a, gone_b`);
    const [a, b, c, d] = await sessions(4);
    await a.query(`BEGIN; SELECT rtd_watch_table('here_a')`);
    await b.query('BEGIN');
    await withoutWaiting(b, `SELECT rtd_watch_table('here_b')`);
    await withoutWaiting(c, `CREATE TABLE gone_c (id int PRIMARY KEY); SELECT rtd_watch_table('gone_c'); DROP TABLE gone_c`);
    await withoutWaiting(c, `SELECT rtd_drop_topic('gone-a')`);
    await withoutWaiting(d, `SELECT rtd_watch_table('here_c', 'gone-b')`);
    await withoutWaiting(d, `SELECT rtd_unwatch_table('here_c')`);
    await a.query('COMMIT');
    await b.query('COMMIT');
    assert.deepEqual(await sql(`SELECT topic, problem FROM rtd_watched_tables WHERE topic LIKE 'gone-%' OR topic LIKE 'here-%' ORDER BY topic`), [
        { topic: 'gone-c', problem: 'the table was dropped' },
        { topic: 'here-a', problem: null },
        { topic: 'here-b', problem: null },
    ]);
});

test('grants wait for nobody who grants on another topic, whatever roles were dropped meanwhile', async () => {
    await sql(`SELECT rtd_create_topic('granted-a'), rtd_create_topic('granted-b'), rtd_create_topic('granted-c')`);
    // As a role that was dropped in another database leaves them.
    await sql(`INSERT INTO rtd_topic_grant VALUES ('granted-a', '4000000001', 'subscribe'), ('granted-c', '4000000002', 'subscribe')`);
    const [a, b, c] = await sessions(3);
    await a.query(`BEGIN; SELECT rtd_grant('granted-b', 'web_anon')`);
    await b.query('BEGIN');
    await withoutWaiting(b, `SELECT rtd_grant('granted-a', 'web_anon')`);
    await withoutWaiting(c, `CREATE ROLE passing; SELECT rtd_grant('granted-c', 'passing'); DROP ROLE passing`);
    await withoutWaiting(c, `SELECT rtd_drop_topic('granted-c')`);
    await a.query('COMMIT');
    await b.query('COMMIT');
    assert.deepEqual(await sql(`SELECT topic, role::text FROM rtd_topic_grant WHERE topic LIKE 'granted-%' ORDER BY 1`), [
        { topic: 'granted-a', role: 'web_anon' },
        { topic: 'granted-b', role: 'web_anon' },
    ]);
});

test('a watch of a table that was dropped can be ended', async () => {
    await sql('CREATE TABLE brief (id int PRIMARY KEY)');
    const oid = await use.cluster.value(`SELECT 'brief'::regclass::oid`);
    await sql(`SELECT rtd_watch_table('brief'); DROP TABLE brief; SELECT rtd_unwatch_table('${oid}', 'brief')`);
    assert.deepEqual(await sql(`SELECT FROM rtd_watched_tables WHERE topic = 'brief'`), []);
});

test('sessions that watch, unwatch, alter and drop the same tables in opposite order never deadlock', async () => {
    const tables = ['w1', 'w2', 'w3', 'w4'];
    for (const table of tables) await sql(`CREATE TABLE ${table} (id int PRIMARY KEY, n int)`);
    await createTopic(use.cluster, 'all-of-them', `query => 'SELECT count(*) FROM w1, w2, w3, w4'`);
    const position = use.cluster.logPosition();
    const run = async (statements: (turn: number) => string[]) => {
        const [session] = await sessions(1);
        for (let turn = 0; turn < 15; turn++)
            for (const statement of statements(turn))
                await session.query(statement).catch((error) => {
                    // Somebody else may have unwatched it, or dropped the topic.
                    if (!['42704', '42P01', '23503'].includes(error.code)) throw error;
                });
    };
    const watch = (table: string) => `SELECT rtd_watch_table('${table}', 'all-of-them')`;
    await Promise.all([
        run(() => tables.map(watch)),
        run(() => [...tables].reverse().map(watch)),
        run(() => tables.map((table) => `SELECT rtd_unwatch_table('${table}', 'all-of-them')`)),
        run((turn) => [`SELECT rtd_alter_topic('all-of-them', query => 'SELECT ${turn} + count(*) FROM w4, w3, w2, w1')`]),
        run((turn) => [`CREATE TABLE passing_${turn} (id int PRIMARY KEY)`, `SELECT rtd_watch_table('passing_${turn}')`, `DROP TABLE passing_${turn}`]),
        run(() => ['ALTER TABLE w2 RENAME n TO m', 'ALTER TABLE w2 RENAME m TO n']),
    ]);
    assert.doesNotMatch(use.cluster.logSince(position), /deadlock detected/);
});
