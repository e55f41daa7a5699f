// What is left of a topic query's session in the query worker, and whose session it is: a worker runs
// the queries of all owners, one after another, and rtd's own statements between them. Beside
// attacks.test.ts, which has what a query can set; here is what libraries, roles, statements and
// settings of the database bring along, and whether a worker forgets what was dropped.

import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { Cluster, Connection } from '../lib/cluster';
import { firstHeard } from '../lib/first_answer';
import { createTopic, useCluster } from '../lib/harness';
import { Subscriber } from '../lib/subscriber';
import { waitFor } from '../lib/wait';

const use = useCluster({ settings: { 'rtd.query_workers': 1, 'rtd.linger': 0, log_min_messages: 'warning', max_prepared_transactions: 5 } }, prepare);

let mallory: Connection;
let number = 0;

async function prepare(cluster: Cluster) {
    await cluster.sql(`
        CREATE ROLE mallory LOGIN; CREATE ROLE trent LOGIN;
        GRANT CREATE ON DATABASE app TO mallory, trent;
        CREATE SCHEMA mallory AUTHORIZATION mallory;
        CREATE EXTENSION dblink; CREATE EXTENSION postgres_fdw;
        CREATE TABLE secret (id int PRIMARY KEY, text text); INSERT INTO secret VALUES (1, 'of the administrator');
        GRANT SELECT ON secret TO mallory, web_anon;
        ALTER TABLE secret ENABLE ROW LEVEL SECURITY;
        CREATE POLICY administrators ON secret USING (session_user IN ('postgres', 'trent'));
        GRANT USAGE ON FOREIGN DATA WRAPPER postgres_fdw TO mallory`);
    await createTopic(cluster, 'retained', `parameters => '{n}'`);
    await createTopic(cluster, 'durable', `durable => true, parameters => '{n}'`);
    mallory = await cluster.connect({ user: 'mallory' });
    await mallory.query(`
        CREATE FUNCTION mallory.run(command text) RETURNS text LANGUAGE plpgsql AS $$ BEGIN EXECUTE command; RETURN 'done'; END $$;
        CREATE FUNCTION mallory.value(command text) RETURNS text LANGUAGE plpgsql AS $$ DECLARE v text; BEGIN EXECUTE command INTO v; RETURN v; END $$;
        CREATE SERVER loopback FOREIGN DATA WRAPPER postgres_fdw OPTIONS (host '${cluster.dir}', port '5432', dbname 'app');
        CREATE USER MAPPING FOR mallory SERVER loopback OPTIONS (user 'postgres', password 'guess');
        CREATE FOREIGN TABLE mallory.far (rolname name, rolpassword text) SERVER loopback OPTIONS (schema_name 'pg_catalog', table_name 'pg_authid');
        CREATE TABLE mallory.parents (id int PRIMARY KEY);
        CREATE TABLE mallory.children (id int REFERENCES mallory.parents DEFERRABLE);
        INSERT INTO mallory.parents VALUES (1)`);
}

/** The first thing that a client of an instance hears. */
const firstAnswer = (topic: string, ...params: string[]) => firstHeard(use.cluster, topic, ...params);

/** Of a topic that is made, asked once and dropped. */
async function answerOf(owner: Connection, query: string, options = ''): Promise<string> {
    const topic = `once-${++number}`;
    await owner.query(`SELECT public.rtd_create_topic('${topic}', query => $1${options}), public.rtd_grant('${topic}', 'web_anon')`, [query]);
    try {
        return await firstAnswer(topic);
    } finally {
        await owner.query(`SELECT public.rtd_drop_topic('${topic}')`);
    }
}

async function ownStatementsWork() {
    const place = `${++number}`;
    await use.cluster.sql(`SELECT rtd_broadcast('retained', '"kept"', ARRAY['${place}']), rtd_broadcast('durable', '"kept"', ARRAY['${place}'])`);
    await waitFor('the retained message', () => use.cluster.value(`SELECT true FROM rtd_retained WHERE topic = 'retained' AND params = ARRAY['${place}']`));
    await waitFor('the durable message', () => use.cluster.value(`SELECT true FROM rtd_message WHERE topic = 'durable' AND params = ARRAY['${place}'] AND sequence = 1`));
}

const failed = /rtd_error|"code":|answered with/;

describe('a topic query has the session of its role', () => {
    test('so session_user is the owner, and is no superuser', async () => {
        const answer = await answerOf(mallory, `SELECT session_user AS session, current_user AS now, current_setting('is_superuser') AS super`);
        assert.match(answer, /"session":\s*"mallory"/);
        assert.match(answer, /"now":\s*"mallory"/);
        assert.match(answer, /"super":\s*"off"/);
        const superuser = await use.cluster.connect();
        const his = await answerOf(superuser, `SELECT session_user AS session, current_setting('is_superuser') AS super`);
        assert.match(his, /"session":\s*"postgres"/);
        assert.match(his, /"super":\s*"on"/);
        await use.cluster.release(superuser);
    });

    test('so a policy that lets administrators see all by session_user hides from her what it should', async () => {
        assert.match(await answerOf(mallory, 'TABLE public.secret'), /"data":\s*\[\]/);
        assert.match(await answerOf(mallory, 'TABLE public.secret', `, security => 'invoker'`), /"data":\s*\[\]/);
        await use.cluster.sql('GRANT SELECT ON secret TO trent');
        const trent = await use.cluster.connect({ user: 'trent' });
        assert.match(await answerOf(trent, 'TABLE public.secret'), /of the administrator/);
        await use.cluster.release(trent);
    });

    test('so session_user is the subscriber where the query runs as such', async () => {
        assert.match(await answerOf(mallory, 'SELECT session_user AS session', `, security => 'invoker'`), /"session":\s*"web_anon"/);
    });

    test('which is given back by a query that fails, too', async () => {
        assert.match(await answerOf(mallory, 'SELECT 1 / (random() * 0)::int AS n'), failed);
        assert.match(await answerOf(mallory, `SELECT mallory.run('SET SESSION AUTHORIZATION DEFAULT')`), failed);
        await ownStatementsWork();
        const superuser = await use.cluster.connect();
        assert.match(await answerOf(superuser, 'SELECT session_user AS session, current_user AS now'), /"session":\s*"postgres".*"now":\s*"postgres"|"now":\s*"postgres".*"session":\s*"postgres"/);
        await use.cluster.release(superuser);
    });
});

describe('connections back to the server', () => {
    const loopback = () => `host=${use.cluster.dir} port=5432 dbname=app user=postgres`;

    test('are not made by dblink without a password that was asked for', async () => {
        for (const more of ['', ' password=guess'])
            assert.match(await answerOf(mallory, `SELECT * FROM public.dblink('${loopback()}${more}', 'SELECT current_user::text') AS t (name text)`), /2F003/);
    });

    test('are not made by postgres_fdw without a password that was asked for', async () => {
        await assert.rejects(answerOf(mallory, 'TABLE mallory.far'), { code: '2F003' }); // the check of the query connects
        assert.match(await answerOf(mallory, `SELECT mallory.value('SELECT rolpassword FROM mallory.far')`), /2F003/);
    });

    // dblink keeps connections by name for the session, and asks nobody who uses them.
    for (const name of ['', 'kept'])
        test(`that a query made ${name ? 'under a name' : 'without a name'} are not there for the query of another owner`, async () => {
            const superuser = await use.cluster.connect();
            const connection = name && `'${name}', `;
            assert.match(await answerOf(superuser, `SELECT dblink_connect(${connection}'${loopback()}') AS made`), /"made":\s*"OK"/);
            await use.cluster.release(superuser);
            const answer = await answerOf(mallory, `SELECT * FROM public.dblink(${connection}'SELECT current_user::text') AS t (name text)`);
            assert.match(answer, failed);
            assert.doesNotMatch(answer, /"name":\s*"postgres"/);
        });
});

// Each hears an error, or an answer that says nothing of others; the worker is the same process after it.
const statements: [name: string, query: string, hears: RegExp][] = [
    ['discards everything', `SELECT mallory.run('DISCARD ALL')`, failed],
    ['discards plans', `SELECT mallory.run('DISCARD PLANS')`, /42501/],
    ['discards sequences', `SELECT mallory.run('DISCARD SEQUENCES')`, /42501/],
    ['resets everything', `SELECT mallory.run('RESET ALL') AS done`, /done/],
    ['defers constraints', `SELECT mallory.run('SET CONSTRAINTS ALL DEFERRED') AS done`, /done/],
    ['writes in a deferred constraint\'s table', `SELECT mallory.run('INSERT INTO mallory.children VALUES (7)')`, /25006/],
    ['loads a library', `SELECT mallory.run('LOAD ''dblink''')`, /42501/],
    ['copies from a program', `SELECT mallory.run('COPY mallory.parents FROM PROGRAM ''id''')`, failed],
    ['copies to a file', `SELECT mallory.run('COPY mallory.parents TO ''/tmp/rtd-evil''')`, /42501/],
    ['reads a file as bytes', `SELECT mallory.value('SELECT pg_read_binary_file(''PG_VERSION'')')`, /42501/],
    ['exports its snapshot', `SELECT mallory.value('SELECT pg_export_snapshot()')`, failed],
    ['prepares its transaction', `SELECT mallory.run('PREPARE TRANSACTION ''evil''')`, failed],
    ['counts a sequence of her own', `SELECT mallory.run('CREATE SEQUENCE mallory.s')`, /25006/],
    ['analyzes a table of hers', `SELECT mallory.run('ANALYZE mallory.parents')`, /done/], // as in every read-only transaction; undone
    ['analyzes a table of others', `SELECT mallory.run('ANALYZE public.rtd_topic')`, /done/], // a warning, and nothing else
    ['refreshes', `SELECT mallory.run('REFRESH MATERIALIZED VIEW mallory.none')`, failed],
    ['sets what other sessions begin with', `SELECT mallory.run('ALTER ROLE mallory SET search_path = mallory')`, /25006/],
    ['ends its own process', `SELECT mallory.value('SELECT pg_terminate_backend(pg_backend_pid())')`, /42501/],
    ['cancels its own process', `SELECT mallory.value('SELECT pg_cancel_backend(pg_backend_pid())')`, /42501/],
    ['ends all processes that it can see', `SELECT mallory.value('SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE backend_type LIKE ''rtd%''')`, /"value":\s*"0"/], // none
    ['changes triggers and rules', `SELECT set_config('session_replication_role', 'replica', false)`, /42501/],
    ['asks who the session is', `SELECT mallory.value('SELECT current_setting(''session_authorization'')') AS done`, /done/],
];

describe('the process of a query stays, and serves others, after one that', () => {
    for (const [name, query, hears] of statements)
        test(name, async () => {
            await answerOf(mallory, 'SELECT 1 AS n');
            const before = await use.cluster.pids('rtd query');
            assert.match(await answerOf(mallory, query), hears);
            await ownStatementsWork();
            assert.deepEqual((await use.cluster.pids('rtd query')).slice(0, 1), before.slice(0, 1));
            assert.equal(await use.cluster.value(`SELECT count(*)::int FROM pg_prepared_xacts`), 0);
        });

    // What a read-only transaction may do, a topic query may: PostgreSQL lets both write messages into WAL.
    test('writes a logical message, as every read-only transaction may', async () => {
        await mallory.query('BEGIN READ ONLY');
        await mallory.query(`SELECT pg_logical_emit_message(false, 'rtd', 'x'), pg_logical_emit_message(true, 'rtd', 'x')`);
        await mallory.query('COMMIT');
        assert.doesNotMatch(await answerOf(mallory, `SELECT pg_logical_emit_message(false, 'rtd', 'x')::text AS at`), failed);
        await ownStatementsWork();
    });
});

describe('settings of the database and of the role that workers run as', () => {
    const settings = [
        `default_transaction_read_only = on`, `default_transaction_isolation = 'serializable'`, `default_transaction_deferrable = on`,
        `statement_timeout = '1ms'`, `lock_timeout = '1ms'`, `idle_in_transaction_session_timeout = '1ms'`, `row_security = off`,
        `session_replication_role = replica`, `search_path = mallory, pg_catalog`, `default_toast_compression = pglz`, `jit_above_cost = 0`,
        `plan_cache_mode = force_generic_plan`, `enable_indexscan = off`, `array_nulls = off`, `IntervalStyle = sql_standard`, `DateStyle = 'German, DMY'`,
        `bytea_output = escape`, `quote_all_identifiers = on`, `standard_conforming_strings = off`, `transform_null_equals = on`,
        `temp_file_limit = 0`, `default_table_access_method = heap`, `synchronous_commit = off`, `exit_on_error = on`,
    ];
    for (const scope of ['DATABASE app', 'ROLE postgres'])
        test(`do not keep rtd from working, set by ALTER ${scope}`, async () => {
            const { cluster } = use;
            const session = await cluster.connect(); // begins before them
            await session.query(settings.map((setting) => `ALTER ${scope} SET ${setting}`).join(';'));
            try {
                const old = await cluster.pids('rtd query');
                await session.query(`SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE backend_type IN ('rtd query', 'rtd hub')`);
                await waitFor('other workers', async () => {
                    const { rows } = await session.query(`SELECT pid FROM pg_stat_activity WHERE backend_type = 'rtd query'`);
                    return rows.length > 0 && rows.every(({ pid }) => !old.includes(pid));
                });
                const place = `settings-${++number}`;
                await session.query(`SELECT rtd_broadcast('retained', '"kept"', ARRAY['${place}']), rtd_broadcast('durable', '"kept"', ARRAY['${place}'])`);
                const has = async (query: string) => (await session.query(query)).rows.length > 0;
                await waitFor('the retained message', () => has(`SELECT FROM rtd_retained WHERE params = ARRAY['${place}']`));
                await waitFor('the durable message', () => has(`SELECT FROM rtd_message WHERE params = ARRAY['${place}'] AND sequence = 1`));
                assert.match(await answerOf(session, `SELECT 'a' AS a, interval '1 day' AS i, current_setting('transaction_isolation') AS level`), /"a":\s*"a".*"i":\s*"1 day".*read committed/);
            } finally {
                await session.query(settings.map((setting) => `ALTER ${scope} RESET ${setting.split(' ')[0]}`).join(';'));
                await session.query(`SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE backend_type = 'rtd query'`);
                await cluster.release(session);
            }
            await waitFor('a worker that has none of them', async () => !failed.test(await answerOf(mallory, 'SELECT 1 AS n')));
        });
});

describe('a query worker forgets', () => {
    /** Plans in the worker whose statement has this in it: the topic of a superuser asks its own process. */
    async function plansOf(mark: string): Promise<number> {
        const superuser = await use.cluster.connect();
        try {
            const answer = JSON.parse(await answerOf(superuser, `SELECT count(*)::int AS n FROM pg_backend_memory_contexts WHERE name = 'CachedPlanSource' AND ident LIKE '%' || '${mark}' || 'mark%'`));
            return answer.data[0].n;
        } finally {
            await use.cluster.release(superuser);
        }
    }
    const kinds = { state: '', keyed: `, key => '{id}'` };

    for (const [kind, options] of Object.entries(kinds)) {
        test(`the plans of ${kind} topics that were dropped`, async () => {
            for (let i = 0; i < 5; i++) {
                await mallory.query(`SELECT public.rtd_create_topic('plan-${i}', query => 'SELECT ${i} AS id, ''droppedmark'' AS mark'${options}), public.rtd_grant('plan-${i}', 'web_anon')`);
                assert.doesNotMatch(await firstAnswer(`plan-${i}`), failed);
            }
            assert.ok((await plansOf('dropped')) >= 5);
            await mallory.query(`SELECT public.rtd_drop_topic('plan-' || i) FROM generate_series(0, 4) i`);
            assert.equal(await plansOf('dropped'), 0);
        });

        test(`the plans of ${kind} topics that were altered`, async () => {
            await mallory.query(`SELECT public.rtd_create_topic('plan-altered', query => 'SELECT 1 AS id, ''alteredmark'' AS mark'${options}), public.rtd_grant('plan-altered', 'web_anon')`);
            assert.doesNotMatch(await firstAnswer('plan-altered'), failed);
            assert.ok((await plansOf('altered')) >= 1);
            await mallory.query(`SELECT public.rtd_alter_topic('plan-altered', query => 'SELECT 1 AS id, ''another'' AS mark')`);
            assert.equal(await plansOf('altered'), 0);
            await mallory.query(`SELECT public.rtd_drop_topic('plan-altered')`);
        });

        test(`the plans of ${kind} topics of a role that was dropped`, async () => {
            const { cluster } = use;
            await cluster.sql(`
                CREATE ROLE leaves; GRANT CREATE ON DATABASE app TO leaves; SET ROLE leaves;
                SELECT rtd_create_topic('of-leaves', query => 'SELECT 1 AS id, ''rolemark'' AS mark'${options}), rtd_grant('of-leaves', 'web_anon');
                RESET ROLE`);
            assert.doesNotMatch(await firstAnswer('of-leaves'), failed);
            assert.ok((await plansOf('role')) >= 1);
            await cluster.sql('REVOKE CREATE ON DATABASE app FROM leaves; DROP ROLE leaves');
            assert.equal(await plansOf('role'), 0);
            await cluster.sql(`SELECT rtd_drop_topic('of-leaves')`);
        });
    }
});

describe('advisory locks of the session that analyzes a topic of hers', () => {
    const advisory = (session: Connection) => session.query(`
        SELECT classid, objid, objsubid, mode, granted FROM pg_locks WHERE locktype = 'advisory' AND pid = pg_backend_pid() ORDER BY 1, 2, 3, 4`).then(({ rows }) => rows);
    /** How often the session has the lock; it is given back. */
    async function holds(session: Connection, call: string): Promise<number> {
        for (let count = 0; ; count++) if (!(await session.query(`SELECT ${call} AS had`)).rows[0].had) return count;
    }
    const codes: [name: string, code: string][] = [
        ['takes more', 'PERFORM pg_advisory_lock(1), pg_advisory_lock(101), pg_advisory_lock(101), pg_try_advisory_lock_shared(102), pg_advisory_lock(3, 4), pg_advisory_xact_lock(103)'],
        ['gives back what the caller has', 'PERFORM pg_advisory_unlock(1), pg_advisory_unlock_shared(2)'],
        ['gives back everything', 'PERFORM pg_advisory_unlock_all()'],
        ['takes some and fails', `PERFORM pg_advisory_lock(1), pg_advisory_lock(104), pg_advisory_unlock_shared(2); RAISE EXCEPTION 'fails'`],
    ];
    for (const [n, [name, code]] of codes.entries())
        for (const [kind, options] of [['a state', ''], ['a keyed', `, key => '{n}'`]] as const)
            test(`are as they were after code of ${kind} topic that ${name}`, async () => {
                const topic = `locks-${n}-${kind.slice(2)}`;
                const changed = `locks_${n}_${kind.slice(2)}`;
                await mallory.query(`
                    CREATE FUNCTION mallory.${changed}() RETURNS int IMMUTABLE LANGUAGE plpgsql AS $$
                    BEGIN IF session_user <> 'mallory' THEN ${code}; END IF; RETURN 1; END $$;
                    SELECT public.rtd_create_topic('${topic}', query => 'SELECT 1 AS n'${options})`);
                const caller = await use.cluster.connect();
                await caller.query(`SELECT pg_advisory_lock(1), pg_advisory_lock(1), pg_advisory_lock_shared(2)`);
                await caller.query('BEGIN');
                await caller.query(`SELECT pg_advisory_xact_lock(5), pg_advisory_xact_lock(1)`);
                const before = await advisory(caller);
                const notices: string[] = [];
                caller.on('notice', ({ message }) => notices.push(message ?? ''));
                await caller.query('SAVEPOINT s');
                const failure = await caller.query(`SELECT rtd_alter_topic('${topic}', query => 'SELECT mallory.${changed}() AS n')`).then(() => '', (error) => error.message);
                assert.equal(failure, name.includes('fails') ? 'fails' : '', 'the code ran, and so did the analysis');
                if (failure) await caller.query('ROLLBACK TO s');
                assert.deepEqual(await advisory(caller), before);
                if (!name.startsWith('gives')) assert.deepEqual(notices.filter((text) => /own a lock/.test(text)), []);
                await caller.query('COMMIT');
                assert.equal(await holds(caller, 'pg_advisory_unlock(1)'), 2);
                assert.equal(await holds(caller, 'pg_advisory_unlock_shared(2)'), 1);
                assert.deepEqual(await advisory(caller), []);
                await use.cluster.release(caller);
                await mallory.query(`SELECT public.rtd_drop_topic('${topic}')`);
            });
});

describe('the extension of a role that is no superuser any more', () => {
    test('is worked for as that role', async () => {
        const { cluster } = use;
        // The server's superuser observes who writes.
        await cluster.sql(`
            CREATE ROLE keeper SUPERUSER LOGIN;
            DROP EXTENSION rtd CASCADE`);
        const keeper = await cluster.connect({ user: 'keeper' });
        await keeper.query(`CREATE EXTENSION rtd`);
        await keeper.query(`
            CREATE FUNCTION observed() RETURNS trigger LANGUAGE plpgsql AS $$
            BEGIN RAISE LOG 'rtd writes % as "%"', TG_TABLE_NAME, current_user; RETURN NULL; END $$;
            CREATE TRIGGER observed AFTER INSERT OR UPDATE ON rtd_retained EXECUTE FUNCTION observed();
            CREATE TRIGGER observed AFTER INSERT OR UPDATE ON rtd_durable_instance EXECUTE FUNCTION observed()`);
        await cluster.sql('ALTER ROLE keeper NOSUPERUSER');
        await cluster.ready();
        const since = cluster.logPosition();
        await createTopic(cluster, 'retained', `parameters => '{n}'`);
        await createTopic(cluster, 'durable', `durable => true, parameters => '{n}'`);
        await ownStatementsWork();
        const resumed = await Subscriber.open(`${cluster.url('durable', `${number}`)}?since=0-0`);
        await resumed.next(({ data }) => data === 'kept');
        resumed.socket.close();
        const writes = [...cluster.logSince(since).matchAll(/rtd writes (\w+) as "(\w+)"/g)].map(([, table, role]) => `${table} as ${role}`);
        assert.deepEqual([...new Set(writes)].sort(), ['rtd_durable_instance as keeper', 'rtd_retained as keeper']);
        await cluster.release(keeper);
    });
});
