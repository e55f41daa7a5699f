// What the owner of a topic tries, who may create schemas, functions and topics and nothing else: to
// run code as somebody else than herself, and to leave something behind in a query worker or in the
// session of whoever touches her topic. Each attack is a row of a table; after each, one and the same
// query worker is asked what it is like, and must be as it was.

import assert from 'node:assert/strict';
import { before, describe, test } from 'node:test';
import { Cluster, Connection } from '../lib/cluster';
import { firstHeard } from '../lib/first_answer';
import { createTopic, useCluster } from '../lib/harness';
import { Subscriber } from '../lib/subscriber';
import { waitFor } from '../lib/wait';

const use = useCluster(
    { settings: { 'rtd.query_workers': 1, 'rtd.linger': 0, 'rtd.statement_timeout': '700ms', log_min_messages: 'warning' } },
    prepare,
);

/** Says in the server's log as whom it runs, tries to climb, and leaves all behind that it can. */
const functions = `
    CREATE FUNCTION mallory.tell(what text) RETURNS text LANGUAGE plpgsql AS $$
    BEGIN
        RAISE LOG 'code of mallory (%) runs as "%"', what, current_user;
        BEGIN EXECUTE 'ALTER ROLE mallory SUPERUSER'; EXCEPTION WHEN OTHERS THEN NULL; END;
        RETURN what;
    END $$;
    CREATE FUNCTION mallory.leave(what text) RETURNS text LANGUAGE plpgsql IMMUTABLE AS $$
    BEGIN
        PERFORM mallory.tell(what);
        PERFORM set_config('search_path', 'mallory, pg_catalog', false), set_config('app.evil', what, false),
                set_config('TimeZone', 'Asia/Tokyo', false), set_config('work_mem', '64kB', false);
        RETURN what;
    END $$;
    CREATE FUNCTION mallory.leave(what text, is_ok boolean) RETURNS boolean LANGUAGE plpgsql IMMUTABLE AS $$
    BEGIN PERFORM mallory.leave(what); RETURN is_ok; END $$;
    CREATE FUNCTION mallory.run(command text) RETURNS text LANGUAGE plpgsql AS $$
    BEGIN PERFORM mallory.tell('run'); EXECUTE command; RETURN command; END $$;
    CREATE FUNCTION mallory.equal(a text, b text) RETURNS boolean LANGUAGE plpgsql AS $$
    BEGIN PERFORM mallory.tell('operator'); RETURN a OPERATOR(pg_catalog.=) b; END $$;
    CREATE OPERATOR mallory.= (LEFTARG = text, RIGHTARG = text, FUNCTION = mallory.equal);
    CREATE OPERATOR mallory.<> (LEFTARG = text, RIGHTARG = text, FUNCTION = mallory.equal);
    CREATE FUNCTION mallory.cardinality(a text[]) RETURNS integer LANGUAGE plpgsql AS $$
    BEGIN PERFORM mallory.tell('function'); RETURN pg_catalog.cardinality(a); END $$;
    CREATE FUNCTION mallory.octet_length(a text) RETURNS integer LANGUAGE plpgsql AS $$
    BEGIN PERFORM mallory.tell('function'); RETURN pg_catalog.octet_length(a); END $$;
    CREATE SCHEMA postgres;
    CREATE FUNCTION postgres.cardinality(a text[]) RETURNS integer LANGUAGE plpgsql AS $$
    BEGIN PERFORM mallory.tell('of the schema of postgres'); RETURN pg_catalog.cardinality(a); END $$;
    CREATE FUNCTION postgres.equal(a text, b text) RETURNS boolean LANGUAGE plpgsql AS $$
    BEGIN PERFORM mallory.tell('of the schema of postgres'); RETURN a OPERATOR(pg_catalog.=) b; END $$;
    CREATE OPERATOR postgres.= (LEFTARG = text, RIGHTARG = text, FUNCTION = postgres.equal);

    CREATE DOMAIN mallory.checked AS text CHECK (mallory.leave('domain', true));
    CREATE TABLE mallory.rows (id int PRIMARY KEY, note text, tags mallory.checked[]);
    INSERT INTO mallory.rows VALUES (1, 'one', NULL), (2, 'two', NULL);
    CREATE VIEW mallory.view AS SELECT id, mallory.leave('view') AS note FROM mallory.rows;
    CREATE TABLE mallory.guarded (id int PRIMARY KEY);
    INSERT INTO mallory.guarded VALUES (1);
    ALTER TABLE mallory.guarded ENABLE ROW LEVEL SECURITY;
    ALTER TABLE mallory.guarded FORCE ROW LEVEL SECURITY;
    CREATE POLICY leaves ON mallory.guarded USING (mallory.leave('policy', true));
    CREATE TABLE mallory.indexed (id int PRIMARY KEY, note text);
    CREATE INDEX ON mallory.indexed (mallory.leave(note));
    CREATE TYPE mallory.mood AS ENUM ('bad');
    CREATE FUNCTION mallory.mood_as_json(mallory.mood) RETURNS json LANGUAGE plpgsql AS $$
    BEGIN PERFORM mallory.leave('cast'); RETURN '{}'; END $$;
    CREATE CAST (mallory.mood AS json) WITH FUNCTION mallory.mood_as_json(mallory.mood);
    CREATE FUNCTION mallory.always(jsonb, jsonb) RETURNS boolean LANGUAGE plpgsql AS $$
    BEGIN PERFORM mallory.leave('significant'); RETURN true; END $$;
    CREATE FUNCTION mallory.definer(command text) RETURNS text LANGUAGE plpgsql SECURITY DEFINER SET search_path = mallory AS $$
    BEGIN PERFORM mallory.tell('definer'); EXECUTE command; RETURN command; END $$;
    CREATE FUNCTION mallory.stay() RETURNS text LANGUAGE plpgsql AS $$
    BEGIN
        LOOP
            BEGIN LOOP PERFORM 1; END LOOP;
            EXCEPTION WHEN query_canceled THEN PERFORM set_config('statement_timeout', '0', false);
            END;
        END LOOP;
    END $$;
    CREATE FUNCTION mallory.portal() RETURNS text LANGUAGE plpgsql AS $$
    DECLARE left_open refcursor := 'left_open';
    BEGIN OPEN left_open FOR SELECT 1; RETURN 'open'; END $$;
    CREATE SEQUENCE mallory.counter;
    CREATE PROCEDURE mallory.commit() LANGUAGE plpgsql AS $$ BEGIN COMMIT; END $$;`;

const victim = `
    SELECT name, setting FROM pg_settings WHERE name !~ '^plpgsql' -- those come with its library
    UNION ALL SELECT 'app.evil', coalesce(current_setting('app.evil', true), '')
    UNION ALL SELECT 'users', concat_ws('/', session_user, current_user)
    UNION ALL SELECT 'advisory locks', count(*)::text FROM pg_locks WHERE locktype = 'advisory' AND pid = pg_backend_pid()
    UNION ALL SELECT 'cursors', coalesce(string_agg(name, ' '), '') FROM pg_cursors WHERE name = 'left_open'
    UNION ALL SELECT 'prepared', coalesce(string_agg(name, ' '), '') FROM pg_prepared_statements
    UNION ALL SELECT 'channels', coalesce(string_agg(c, ' '), '') FROM pg_listening_channels() c
    UNION ALL SELECT 'temporary schema', pg_my_temp_schema()::text
    UNION ALL SELECT 'large objects', count(*)::text FROM pg_largeobject_metadata
    UNION ALL SELECT 'instance', $1 WHERE $1 = ''
    ORDER BY 1`;

let mallory: Connection;
let number = 0;

async function prepare(cluster: Cluster) {
    await cluster.sql(`
        CREATE ROLE mallory LOGIN;
        GRANT CREATE ON DATABASE app TO mallory;
        CREATE SCHEMA mallory AUTHORIZATION mallory;
        CREATE TABLE secret (text text)`);
    await cluster.sql(`SELECT rtd_create_topic('victim', query => $1, parameters => '{n}'), rtd_grant('victim', 'web_anon')`, [victim]);
    await createTopic(cluster, 'retained', `parameters => '{n}'`);
    await createTopic(cluster, 'durable', `durable => true, parameters => '{n}'`);
    mallory = await cluster.connect({ user: 'mallory' });
    await mallory.query(functions);
}

/** The first thing that a client of an instance hears. */
const firstAnswer = (topic: string, ...params: string[]) => firstHeard(use.cluster, topic, ...params);

interface State {
    [what: string]: string;
}

/** What the query worker is like for the query of another topic. */
async function stateOfWorker(): Promise<State> {
    const client = await Subscriber.open(use.cluster.url('victim', `${++number}`));
    const message = await client.next();
    client.socket.close();
    await client.closed;
    assert.equal(message.kind, 'snapshot', JSON.stringify(message.data));
    return Object.fromEntries(message.data.map(({ name, setting }: any) => [name, setting]));
}

async function stateOfSession(session: Connection): Promise<State> {
    const { rows } = await session.query(victim.replaceAll('$1', `''::text`));
    return Object.fromEntries(rows.map(({ name, setting }) => [name, setting]));
}

/** rtd's own statements, in the same query worker and in the hub: all that is read and written by itself. */
async function runOwnStatements() {
    const { cluster } = use;
    const place = `${++number}`;
    await cluster.sql(`SELECT rtd_broadcast('retained', '"kept"', ARRAY['${place}']), rtd_broadcast('durable', '"kept"', ARRAY['${place}'])`);
    await waitFor('the retained message to be stored', () => cluster.value(`SELECT true FROM rtd_retained WHERE topic = 'retained' AND params = ARRAY['${place}']`));
    await waitFor('the durable message to be numbered', () => cluster.value(`SELECT true FROM rtd_message WHERE topic = 'durable' AND params = ARRAY['${place}'] AND sequence = 1`));
    const resumed = await Subscriber.open(`${cluster.url('durable', place)}?since=0-0`);
    await resumed.next(({ data }) => data === 'kept');
    resumed.socket.close();
    await resumed.closed;
    assert.match(await firstAnswer('retained', place), /"kept"/);
}

async function nobodyClimbed(since: number, mayRunAs: RegExp = /^mallory$/) {
    const runs = [...use.cluster.logSince(since).matchAll(/code of mallory \((.*?)\) runs as "(.*?)"/g)];
    for (const [line, , role] of runs) assert.match(role, mayRunAs, line);
    assert.equal(await use.cluster.value(`SELECT rolsuper FROM pg_roles WHERE rolname = 'mallory'`), false);
    return runs.map(([, what]) => what);
}

async function renewWorker() {
    const { cluster } = use;
    const before = await cluster.pids('rtd query');
    await cluster.sql(`SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE backend_type = 'rtd query';
        SELECT lo_unlink(oid) FROM pg_largeobject_metadata;
        ALTER ROLE mallory NOSUPERUSER`);
    // All of them: the hub may give a query to one that is about to end.
    await waitFor('another query worker', async () => {
        const now = await cluster.pids('rtd query');
        return now.length > 0 && now.every((pid) => !before.includes(pid));
    });
}

interface Attack {
    name: string;
    /** Of the topic; `query` alone is the most that most attacks need. */
    query: string;
    options?: string;
    /** Before, as mallory. */
    setUp?: string;
    /** Of the client. */
    params?: string[];
    /** What a client hears first; everything that is not an error, if nothing is said. */
    hears?: RegExp;
    /** What her code calls itself: it must have run, or the attack was none. */
    runs?: string;
    /** The topic is refused when it is made. */
    refused?: RegExp;
    then?: (topic: string) => Promise<unknown>;
}

const failed = /rtd_error|"code":|answered with/;
const readOnly = /25006/;
const denied = /42501/;
const restricted = /42501|25001|0A000|25006/;

const ofQueries: Attack[] = [
    { name: 'sets search_path, and has operators there', query: `SELECT set_config('search_path', 'mallory, pg_catalog', false)` },
    { name: 'sets search_path to the schema of the superuser', query: `SELECT set_config('search_path', 'postgres, pg_catalog', false)` },
    { name: 'sets TimeZone', query: `SELECT set_config('TimeZone', 'Asia/Tokyo', false)` },
    { name: 'sets DateStyle', query: `SELECT set_config('DateStyle', 'SQL, DMY', false)` },
    { name: 'turns row_security off', query: `SELECT set_config('row_security', 'off', false)` },
    { name: 'sets statement_timeout', query: `SELECT set_config('statement_timeout', '1ms', false)` },
    { name: 'sets lock_timeout', query: `SELECT set_config('lock_timeout', '1ms', false)` },
    { name: 'sets default_transaction_read_only', query: `SELECT set_config('default_transaction_read_only', 'on', false)` },
    { name: 'sets default_transaction_isolation', query: `SELECT set_config('default_transaction_isolation', 'serializable', false)` },
    { name: 'sets the encoding of the client', query: `SELECT set_config('client_encoding', 'LATIN1', false)` },
    { name: 'sets how rows are planned', query: `SELECT set_config('enable_seqscan', 'off', false), set_config('work_mem', '64kB', false) AS memory` },
    { name: 'sets a setting of its own', query: `SELECT set_config('app.evil', 'there', false)` },
    { name: 'sets the claims of others', query: `SELECT set_config('request.jwt.claims', '{"role":"postgres"}', false)` },
    { name: 'sets something for the transaction', query: `SELECT set_config('search_path', 'mallory, pg_catalog', true)` },
    { name: 'sets settings and fails', query: `SELECT mallory.leave('fails') AS left, 1 / (random() * 0)::int AS n`, hears: failed, runs: 'fails' },
    { name: 'sets settings and is refused by the limit of rows', query: `SELECT to_jsonb(mallory.leave('two rows') || n) FROM generate_series(1, 2) n`, hears: failed },
    { name: 'sets settings in a keyed topic', query: `SELECT id, mallory.leave(note) AS note FROM mallory.rows`, options: `key => '{id}'`, runs: 'one' },
    { name: 'sets settings where its parameter is evaluated', query: `SELECT mallory.leave($1::text) AS a, 1 / (random() * 0)::int AS n`, options: `parameters => '{a}'`, params: ['parameter'], hears: failed, runs: 'parameter' },
    { name: 'sets settings in the check of a parameter\'s domain', query: `SELECT $1::mallory.checked AS a`, options: `parameters => '{a}'`, params: ['x'], runs: 'domain' },
    { name: 'sets settings in a view', query: 'TABLE mallory.view', runs: 'view' },
    { name: 'sets settings in a policy', query: 'TABLE mallory.guarded', runs: 'policy' },
    { name: 'sets settings in the expression of an index', query: `SELECT id FROM mallory.indexed WHERE mallory.leave(note) = mallory.leave('index')`, runs: 'index' },
    { name: 'sets settings in a cast to json', query: `SELECT 'bad'::mallory.mood AS mood`, runs: 'cast' },
    { name: 'runs as its definer and sets settings', query: `SELECT mallory.definer('SET search_path = mallory; SET app.evil = 1')`, runs: 'definer' },
    {
        name: 'sets settings in what decides whether a state is significant', query: `SELECT id, note FROM mallory.rows`,
        options: `significant => 'mallory.always(jsonb, jsonb)', throttle => '0'`, runs: 'significant',
        then: async (topic) => {
            const client = await Subscriber.open(use.cluster.url(topic));
            await client.next();
            await mallory.query(`UPDATE mallory.rows SET note = 'changed' WHERE id = 2; SELECT rtd_refresh('${topic}')`);
            await client.next(({ data }) => JSON.stringify(data).includes('changed'));
            client.socket.close();
            await client.closed;
        },
    },
    { name: 'has an operator in the path of its topic', query: `SELECT 'a'::text = 'b'::text AS same`, setUp: 'SET search_path = mallory, pg_catalog', runs: 'operator' },

    { name: 'sets role by set_config', query: `SELECT set_config('role', 'postgres', false)`, hears: denied },
    { name: 'sets session_authorization by set_config', query: `SELECT set_config('session_authorization', 'postgres', false)`, hears: denied },
    { name: 'sets role by a statement', query: `SELECT mallory.run('SET ROLE postgres')`, hears: denied, runs: 'run' },
    { name: 'resets role by a statement', query: `SELECT mallory.run('RESET ROLE')`, hears: denied },
    { name: 'resets the session\'s user', query: `SELECT mallory.run('RESET SESSION AUTHORIZATION')`, hears: denied },
    { name: 'resets everything', query: `SELECT mallory.run('RESET ALL')`, hears: /./ },
    { name: 'discards everything', query: `SELECT mallory.run('DISCARD ALL')`, hears: failed },
    { name: 'resets role as a definer', query: `SELECT mallory.definer('RESET ROLE')`, hears: denied },
    { name: 'commits', query: `SELECT mallory.run('CALL mallory.commit()')`, hears: failed },
    { name: 'makes its transaction one that writes', query: `SELECT mallory.run('SET transaction_read_only = off')`, hears: failed },

    { name: 'inserts', query: `SELECT mallory.run('INSERT INTO mallory.rows VALUES (3)')`, hears: readOnly },
    { name: 'counts a sequence on', query: `SELECT nextval('mallory.counter')`, hears: readOnly },
    { name: 'makes a large object', query: `SELECT lo_from_bytea(0, 'evil')::text AS made`, hears: /./ },
    { name: 'opens a large object', query: `SELECT lo_open(lo_create(0), 131072) AS descriptor`, hears: /./ },
    { name: 'makes a temporary table', query: `SELECT mallory.run('CREATE TEMPORARY TABLE rows (id int)')`, hears: restricted },
    { name: 'makes a temporary view', query: `SELECT mallory.run('CREATE TEMPORARY VIEW v AS SELECT 1')`, hears: restricted },
    { name: 'makes a function in pg_temp', query: `SELECT mallory.run('CREATE FUNCTION pg_temp.f() RETURNS int LANGUAGE sql RETURN 1')`, hears: restricted },
    { name: 'selects into a temporary table', query: `SELECT mallory.run('SELECT 1 AS id INTO TEMPORARY t')`, hears: failed },
    { name: 'keeps a session\'s advisory lock', query: `SELECT pg_advisory_lock(1)::text AS locked` },
    { name: 'keeps a shared advisory lock', query: `SELECT pg_try_advisory_lock_shared(2, 3) AS locked` },
    { name: 'keeps an advisory lock and fails', query: `SELECT pg_advisory_lock(4)::text AS locked, 1 / (random() * 0)::int AS n`, hears: failed },
    { name: 'declares a cursor that lasts', query: `SELECT mallory.run('DECLARE lasting CURSOR WITH HOLD FOR SELECT 1')`, hears: restricted },
    { name: 'leaves a cursor open', query: `SELECT mallory.portal()` },
    { name: 'prepares a statement', query: `SELECT mallory.run('PREPARE evil AS SELECT 1')`, hears: restricted },
    { name: 'listens', query: `SELECT mallory.run('LISTEN secret')`, hears: restricted },
    { name: 'seeds the random numbers of others', query: `SELECT setseed(0.5)::text AS seeded` },

    { name: 'reads a file', query: `SELECT pg_read_file('postgresql.conf')`, refused: /permission denied/ },
    { name: 'reads a file where it is only found out later', query: `SELECT mallory.run('SELECT pg_read_file(''postgresql.conf'')')`, hears: denied },
    { name: 'lists a directory', query: `SELECT mallory.run('SELECT pg_ls_dir(''.'')')`, hears: denied },
    { name: 'runs a program', query: `SELECT mallory.run('COPY (SELECT 1) TO PROGRAM ''true''')`, hears: failed },
    { name: 'writes a large object to a file', query: `SELECT mallory.run('SELECT lo_export(1, ''/tmp/x'')')`, hears: denied },
    { name: 'reads the passwords', query: `SELECT mallory.run('SELECT rolpassword FROM pg_authid')`, hears: denied },
    { name: 'reads a table of others', query: `SELECT mallory.run('SELECT * FROM public.secret')`, hears: denied },
    { name: 'reads rtd\'s own tables', query: `SELECT mallory.run('SELECT * FROM public.rtd_topic')`, hears: denied },
    { name: 'ends the hub', query: `SELECT mallory.run('SELECT pg_terminate_backend(pid) FROM pg_stat_get_activity(NULL)')`, hears: /./ },
    { name: 'reloads the configuration', query: `SELECT mallory.run('SELECT pg_reload_conf()')`, hears: denied },
    { name: 'makes settings of the server', query: `SELECT mallory.run('ALTER SYSTEM SET work_mem = ''64kB''')`, hears: failed },
    { name: 'sets rtd\'s own settings', query: `SELECT set_config('rtd.statement_timeout', '0', false)`, hears: failed },
];

async function attack(topic: string, { setUp, query, options, params = [], hears, refused, then }: Attack) {
    if (setUp) await mallory.query(setUp);
    const create = mallory.query(`SELECT public.rtd_create_topic('${topic}', query => $1${options ? `, ${options}` : ''})`, [query]);
    if (refused) return assert.rejects(create, refused);
    await create;
    await mallory.query(`SELECT public.rtd_grant('${topic}', 'web_anon')`);
    const answer = await firstAnswer(topic, ...params);
    if (hears) assert.match(answer, hears);
    else assert.doesNotMatch(answer, failed);
    await then?.(topic);
}

describe('the query of a topic gains nothing and leaves nothing behind', () => {
    for (const [i, row] of ofQueries.entries())
        test(`that ${row.name}`, async () => {
            const before = await stateOfWorker();
            const since = use.cluster.logPosition();
            try {
                await attack(`attack-${i}`, row);
                assert.deepEqual(await stateOfWorker(), before);
                await runOwnStatements();
                const runs = await nobodyClimbed(since);
                if (row.runs) assert.ok(runs.includes(row.runs), `her code ran: ${runs}`);
            } catch (error) {
                await renewWorker(); // the next attack finds one that nobody has touched
                throw error;
            } finally {
                await mallory.query(`RESET ALL; SELECT rtd_drop_topic('attack-${i}', true)`);
            }
        });
});

describe('the query of a topic', () => {
    test('cannot send notifications', async () => {
        const heard: string[] = [];
        const listener = await use.cluster.connect();
        listener.on('notification', ({ payload }) => heard.push(payload ?? ''));
        await listener.query('LISTEN news');
        await mallory.query(`SELECT rtd_create_topic('notifies', query => $$SELECT pg_notify('news', 'forged')::text AS sent$$), rtd_grant('notifies', 'web_anon')`);
        assert.doesNotMatch(await firstAnswer('notifies'), failed);
        await stateOfWorker(); // the same worker: its transaction is over
        await use.cluster.sql(`SELECT pg_notify('news', 'end')`);
        await waitFor('the last notification', () => heard.includes('end'));
        assert.deepEqual(heard, ['end']);
    });

    test('cannot choose the random numbers of others', async () => {
        await use.cluster.sql(`SELECT rtd_create_topic('dice', query => 'SELECT random() AS n'), rtd_grant('dice', 'web_anon')`);
        await mallory.query(`SELECT rtd_create_topic('seeds', query => 'SELECT setseed(0.25)::text AS seeded'), rtd_grant('seeds', 'web_anon')`);
        const throws = new Set<string>();
        for (let i = 0; i < 2; i++) {
            await firstAnswer('seeds');
            throws.add(JSON.parse(await firstAnswer('dice')).data[0].n);
        }
        assert.equal(throws.size, 2, 'not the same one after the same seed');
    });

    test('cannot stay longer than rtd.statement_timeout by catching its end', async () => {
        const [before, since] = [await stateOfWorker(), use.cluster.logPosition()];
        await mallory.query(`SELECT rtd_create_topic('stays', query => 'SELECT mallory.stay()'), rtd_grant('stays', 'web_anon')`);
        const client = await Subscriber.open(use.cluster.url('stays'));
        const answer = await Promise.race([client.next(() => true, 20_000), client.closed]);
        assert.match(JSON.stringify(answer), failed);
        client.socket.close();
        await client.closed;
        assert.deepEqual(await stateOfWorker(), before);
        assert.match(use.cluster.logSince(since), /the query of topic "stays" did not end when it was canceled/);
        await mallory.query(`SELECT rtd_drop_topic('stays')`);
    });

    test('counts as a transaction that committed, not as one that failed', async () => {
        const count = async () => {
            const [row] = await use.cluster.sql(`SELECT xact_rollback AS n FROM pg_stat_database WHERE datname = 'app'`);
            return Number(row.n);
        };
        const before = await count();
        for (let i = 0; i < 5; i++) await stateOfWorker();
        await renewWorker(); // it tells its statistics at its end
        await stateOfWorker();
        assert.ok((await count()) - before < 5);
    });

    test('shows no role what planning found out as another one', async () => {
        const { cluster } = use;
        await cluster.sql('CREATE ROLE other_anon; GRANT USAGE ON SCHEMA mallory TO web_anon, other_anon');
        await mallory.query(`
            CREATE FUNCTION mallory.who() RETURNS text LANGUAGE plpgsql IMMUTABLE AS $$ BEGIN RETURN current_user; END $$;
            SELECT rtd_create_topic('of-each', query => 'SELECT mallory.who() AS name', security => 'invoker');
            SELECT rtd_grant('of-each', 'web_anon'), rtd_grant('of-each', 'other_anon')`);
        assert.match(await firstAnswer('of-each'), /"name":"web_anon"/);
        await cluster.reload({ 'rtd.anonymous_role': 'other_anon' });
        try {
            await waitFor('the other role', async () => /"name":"other_anon"/.test(await firstAnswer('of-each')));
        } finally {
            await cluster.reload({ 'rtd.anonymous_role': 'web_anon' });
            await waitFor('the first role again', async () => /"name":"web_anon"/.test(await firstAnswer('of-each')));
        }
    });

    test('fails when its owner is gone, whatever was prepared for her', async () => {
        await use.cluster.sql(`
            CREATE ROLE trent; GRANT CREATE ON DATABASE app TO trent; SET ROLE trent;
            SELECT rtd_create_topic('of-trent', query => 'SELECT current_user AS name'), rtd_grant('of-trent', 'web_anon');
            RESET ROLE`);
        assert.match(await firstAnswer('of-trent'), /"trent"/);
        await use.cluster.sql(`SELECT rtd_alter_topic('of-trent', owner => 'mallory')`);
        await waitFor('the topic of mallory', async () => (await firstAnswer('of-trent')).includes('"mallory"'));
    });
});

// The session of whoever touches her topics and tables is as it was, and her code ran as herself.
interface Visit {
    name: string;
    setUp: string;
    visit: string;
    runs: string;
}

const topicOf = (name: string, query: string, options = '') =>
    `SELECT rtd_create_topic('${name}', query => $q$${query}$q$${options})`;

const ofSessions: Visit[] = [
    {
        name: 'gives a topic a key', setUp: topicOf('keyed-visit', `SELECT id, mallory.leave('key') AS note FROM mallory.rows`),
        visit: `SELECT rtd_alter_topic('keyed-visit', key => '{id}')`, runs: 'key',
    },
    {
        name: 'gives a topic a shape', setUp: topicOf('shape-visit', `SELECT to_jsonb(mallory.leave('shape')) AS note`),
        visit: `SELECT rtd_alter_topic('shape-visit', shape => 'rows')`, runs: 'shape',
    },
    {
        name: 'names a topic\'s parameters', setUp: topicOf('parameter-visit', `SELECT mallory.leave('parameters') AS note`),
        visit: `SELECT rtd_alter_topic('parameter-visit', parameters => '{a}')`, runs: 'parameters',
    },
    {
        name: 'alters a topic whose query has a literal with a check', setUp: topicOf('literal-visit', `SELECT id FROM mallory.rows WHERE tags = '{x}'::mallory.checked[]`),
        visit: `SELECT rtd_alter_topic('literal-visit', key => '{id}')`, runs: 'domain',
    },
    {
        name: 'looks at all topics', setUp: topicOf('look-visit', `SELECT id FROM mallory.rows WHERE tags = '{y}'::mallory.checked[]`),
        visit: 'SELECT name, problem FROM rtd_topics', runs: 'domain',
    },
    {
        name: 'watches a table into a topic', setUp: topicOf('watch-visit', `SELECT id FROM mallory.rows WHERE tags = '{z}'::mallory.checked[]`, `, key => '{id}'`),
        visit: `SELECT rtd_watch_table('mallory.rows', 'watch-visit')`, runs: 'domain',
    },
    {
        name: 'alters a table that a topic reads', setUp: topicOf('ddl-visit', `SELECT id FROM mallory.rows WHERE tags = '{d}'::mallory.checked[] AND id::text = $1`, `, key => '{id}', parameters => '{a}'`),
        visit: 'ALTER TABLE mallory.rows ADD COLUMN another int', runs: 'domain',
    },
    {
        name: 'watches a table on a condition', setUp: `SELECT 1`,
        visit: `SELECT rtd_watch_table('mallory.rows', 'condition-visit', condition => 'NEW.tags = ''{c}''', operations => '{INSERT}')`, runs: 'domain',
    },
];

describe('the session of a superuser is as it was, who', () => {
    before(() => createTopic(use.cluster, 'condition-visit'));
    for (const { name, setUp, visit, runs } of ofSessions)
        test(name, async () => {
            await mallory.query('RESET ALL');
            await mallory.query(setUp);
            const session = await use.cluster.connect();
            const before = await stateOfSession(session);
            const since = use.cluster.logPosition();
            await session.query(visit);
            assert.deepEqual(await stateOfSession(session), before);
            const ran = await nobodyClimbed(since);
            if (runs) assert.ok(ran.includes(runs), `her code ran: ${ran}`);
            await use.cluster.release(session);
        });

    test('has tables of her own in pg_temp that are named as rtd\'s', async () => {
        const session = await use.cluster.connect();
        await session.query(`
            CREATE TEMPORARY TABLE rtd_topic (name text); CREATE TEMPORARY TABLE pg_class (oid oid); CREATE TEMPORARY TABLE rtd_watch (topic text);
            SELECT rtd_create_topic('beside-temporary'); SELECT rtd_drop_topic('beside-temporary')`);
        await use.cluster.release(session);
    });
});

describe('the extension in a schema where others create', () => {
    test('calls none of their functions and operators', async () => {
        const { cluster } = use;
        await cluster.sql('CREATE DATABASE shared');
        await cluster.sql('GRANT CREATE ON DATABASE shared TO mallory');
        const [owner, superuser] = [await cluster.connect({ database: 'shared', user: 'mallory' }), await cluster.connect({ database: 'shared' })];
        const since = cluster.logPosition();
        await owner.query(`
            CREATE SCHEMA hers;
            CREATE FUNCTION hers.tell() RETURNS void LANGUAGE plpgsql AS $$ BEGIN RAISE LOG 'code of mallory (schema) runs as "%"', current_user; END $$;
            CREATE FUNCTION hers.format(text, text, text) RETURNS text LANGUAGE plpgsql AS $$ BEGIN PERFORM hers.tell(); RETURN $1; END $$;
            CREATE FUNCTION hers.concat_ws(text, text, text, text, text) RETURNS text LANGUAGE plpgsql AS $$ BEGIN PERFORM hers.tell(); RETURN ''; END $$;
            CREATE FUNCTION hers.equal(oid, regclass) RETURNS boolean LANGUAGE plpgsql AS $$ BEGIN PERFORM hers.tell(); RETURN $1 OPERATOR(pg_catalog.=) $2; END $$;
            CREATE OPERATOR hers.= (LEFTARG = oid, RIGHTARG = regclass, FUNCTION = hers.equal);
            CREATE FUNCTION hers.bits(smallint, integer) RETURNS integer LANGUAGE plpgsql AS $$ BEGIN PERFORM hers.tell(); RETURN 1; END $$;
            CREATE OPERATOR hers.& (LEFTARG = smallint, RIGHTARG = integer, FUNCTION = hers.bits)`);
        await superuser.query(`
            CREATE EXTENSION rtd SCHEMA hers; CREATE TABLE watched (id int PRIMARY KEY);
            SELECT hers.rtd_watch_table('watched')`);
        const { rows } = await superuser.query('SELECT problem FROM hers.rtd_watched_tables');
        assert.deepEqual(rows, [{ problem: null }]);
        await superuser.query('TABLE hers.rtd_topics');
        assert.deepEqual(await nobodyClimbed(since), []);
        await Promise.all([cluster.release(owner), cluster.release(superuser)]);
        await cluster.sql('DROP DATABASE shared WITH (FORCE)');
    });
});

describe('a database whose transactions are serializable by default', () => {
    test('does not make topic queries take part in the failures of others', async () => {
        const { cluster } = use;
        await cluster.sql(`ALTER DATABASE app SET default_transaction_isolation = 'serializable'`);
        await renewWorker();
        await cluster.sql(`SELECT rtd_create_topic('isolation', query => $$SELECT current_setting('transaction_isolation') AS level$$), rtd_grant('isolation', 'web_anon')`);
        assert.match(await firstAnswer('isolation'), /read committed/);
        await cluster.sql('ALTER DATABASE app RESET default_transaction_isolation');
    });
});
