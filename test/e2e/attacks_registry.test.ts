// What others try on rtd's own tables and statements: what they lay in the way of CREATE EXTENSION, the
// settings and locks that they hold while rtd reads and writes, and code of theirs that the session of
// somebody else runs. Beside attacks.test.ts, which is about the query of a topic.

import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { Cluster, Connection } from '../lib/cluster';
import { createTopic, useCluster } from '../lib/harness';
import { Subscriber } from '../lib/subscriber';
import { waitFor } from '../lib/wait';

const use = useCluster({ settings: { 'rtd.query_workers': 1, 'rtd.linger': 0, log_min_messages: 'warning' } }, prepare);

let mallory: Connection;

async function prepare(cluster: Cluster) {
    await cluster.sql(`
        CREATE ROLE mallory LOGIN;
        CREATE ROLE trent LOGIN;
        GRANT CREATE ON DATABASE app TO mallory, trent;
        CREATE SCHEMA mallory AUTHORIZATION mallory;
        CREATE SCHEMA trent AUTHORIZATION trent;
        GRANT USAGE ON SCHEMA trent TO mallory`);
    await createTopic(cluster, 'retained', `parameters => '{n}'`);
    await createTopic(cluster, 'durable', `durable => true, parameters => '{n}'`);
    mallory = await cluster.connect({ user: 'mallory' });
    await mallory.query(`
        GRANT USAGE ON SCHEMA mallory TO trent;
        CREATE TABLE mallory.loot (who text);
        CREATE FUNCTION mallory.put() RETURNS void LANGUAGE plpgsql VOLATILE SECURITY DEFINER AS $$
        BEGIN INSERT INTO mallory.loot VALUES (session_user); END $$;
        CREATE FUNCTION mallory.take(text) RETURNS boolean LANGUAGE plpgsql IMMUTABLE AS $$
        BEGIN RAISE LOG 'code of mallory (take) runs as "%"', current_user; IF session_user <> 'mallory' THEN PERFORM mallory.put(); END IF; RETURN true; END $$;
        CREATE FUNCTION mallory.tell(text) RETURNS boolean LANGUAGE plpgsql IMMUTABLE AS $$
        BEGIN RAISE LOG 'code of mallory (tell) runs as "%"', current_user; RETURN true; END $$;
        CREATE DOMAIN mallory.taking AS text CHECK (mallory.take(VALUE));
        CREATE DOMAIN mallory.telling AS text CHECK (mallory.tell(VALUE));
        CREATE TABLE mallory.rows (id int PRIMARY KEY, note text, tags mallory.taking[])`);
}

/** In a database of its own, whose extension is made by the superuser after `before`. */
async function inDatabase(name: string, before: string, body: (session: Connection) => Promise<unknown>, create = 'CREATE EXTENSION rtd') {
    await use.cluster.sql(`CREATE DATABASE ${name}`);
    const session = await use.cluster.connect({ database: name });
    try {
        await session.query(before);
        await session.query(create);
        await body(session);
    } finally {
        await use.cluster.release(session);
        await use.cluster.sql(`DROP DATABASE ${name} WITH (FORCE)`);
    }
}

const codeOf = (since: number) =>
    [...use.cluster.logSince(since).matchAll(/code of mallory \((.*?)\) runs as "(.*?)"/g)].map(([, what, role]) => `${what} as ${role}`);

describe('CREATE EXTENSION', () => {
    // Hosted servers have such defaults for the schema public: everybody was the owner of every topic.
    for (const scope of ['', 'IN SCHEMA public '])
        test(`keeps its tables to itself, whatever ALTER DEFAULT PRIVILEGES ${scope}has granted`, () =>
            inDatabase(
                'defaults',
                `ALTER DEFAULT PRIVILEGES ${scope}GRANT ALL ON TABLES TO mallory, PUBLIC;
                 ALTER DEFAULT PRIVILEGES ${scope}GRANT ALL ON SEQUENCES TO mallory;
                 ALTER DEFAULT PRIVILEGES ${scope}GRANT ALL ON FUNCTIONS TO mallory WITH GRANT OPTION`,
                async (session) => {
                    const { rows } = await session.query(`
                        SELECT c.relname || ': ' || a.privilege_type AS granted
                          FROM pg_depend d JOIN pg_class c ON c.oid = d.objid, aclexplode(c.relacl) a
                         WHERE d.refclassid = 'pg_extension'::regclass AND d.classid = 'pg_class'::regclass AND d.deptype = 'e'
                           AND d.refobjid = (SELECT oid FROM pg_extension WHERE extname = 'rtd') AND a.grantee <> c.relowner
                           AND NOT (c.relkind = 'v' AND a.privilege_type = 'SELECT' AND a.grantee = 0)
                        UNION ALL
                        SELECT p.proname || ': EXECUTE' FROM pg_proc p, aclexplode(p.proacl) a
                         WHERE p.proname IN ('rtd_catalog_changed', 'rtd_catalog_trigger', 'rtd_restore_trigger') AND a.grantee <> p.proowner
                        UNION ALL
                        SELECT 'sequence of the audit log' WHERE has_sequence_privilege('mallory', 'rtd_audit_log_id_seq', 'USAGE, SELECT, UPDATE')
                        ORDER BY 1`);
                    assert.deepEqual(rows, []);
                    const { rows: open } = await session.query(`SELECT count(*)::int AS n FROM rtd_topics`);
                    assert.deepEqual(open, [{ n: 0 }]);
                },
            ));

    // One of pg_catalog that takes any array is passed over for one that takes just text[].
    test('compares with the operators of pg_catalog in a schema where others made some', () =>
        inDatabase(
            'operators',
            `GRANT CREATE ON DATABASE operators TO mallory; SET ROLE mallory; CREATE SCHEMA hers;
             CREATE FUNCTION hers.tell(text) RETURNS boolean LANGUAGE plpgsql IMMUTABLE AS $$ BEGIN RAISE LOG 'code of mallory (%) runs as "%"', $1, current_user; RETURN true; END $$;
             CREATE FUNCTION hers.same(text[], text[]) RETURNS boolean LANGUAGE plpgsql IMMUTABLE AS $$ BEGIN PERFORM hers.tell('arrays'); RETURN true; END $$;
             CREATE FUNCTION hers.hashed(text[]) RETURNS integer LANGUAGE plpgsql IMMUTABLE AS $$ BEGIN PERFORM hers.tell('hash'); RETURN 1; END $$;
             CREATE OPERATOR hers.= (LEFTARG = text[], RIGHTARG = text[], FUNCTION = hers.same, COMMUTATOR = OPERATOR(hers.=), HASHES);
             CREATE FUNCTION hers.same(regrole, oid) RETURNS boolean LANGUAGE plpgsql AS $$ BEGIN PERFORM hers.tell('role'); RETURN true; END $$;
             CREATE OPERATOR hers.= (LEFTARG = regrole, RIGHTARG = oid, FUNCTION = hers.same);
             RESET ROLE`,
            async (session) => {
                const since = use.cluster.logPosition();
                const { rows } = await session.query(`
                    SELECT DISTINCT o.oprnamespace::regnamespace::text AS schema FROM pg_constraint c, unnest(c.conexclop) e JOIN pg_operator o ON o.oid = e
                     WHERE c.conrelid = 'hers.rtd_durable_instance'::regclass`);
                assert.deepEqual(rows, [{ schema: 'pg_catalog' }]);
                await session.query(`SELECT hers.rtd_create_topic('a', durable => true), hers.rtd_broadcast('a', '1'), hers.rtd_grant('a', 'web_anon'); TABLE hers.rtd_topics; SELECT hers.rtd_drop_topic('a')`);
                assert.deepEqual(codeOf(since), []);
            },
            'CREATE EXTENSION rtd SCHEMA hers',
        ));
});

// Parse analysis and planning run functions that call themselves IMMUTABLE.
const visits: { name: string; setUp: string; visit: string }[] = [
    {
        name: 'alters her topic',
        setUp: `SELECT public.rtd_create_topic('t', query => $$SELECT id FROM mallory.rows WHERE tags = '{x}'::mallory.taking[]$$)`,
        visit: `SELECT rtd_alter_topic('t', query => $$SELECT id FROM mallory.rows WHERE tags = '{y}'::mallory.taking[]$$)`,
    },
    {
        name: 'gives her topic a key',
        setUp: `SELECT public.rtd_create_topic('t', query => $$SELECT id FROM mallory.rows WHERE mallory.take('plan')$$)`,
        visit: `SELECT rtd_alter_topic('t', key => '{id}')`,
    },
    {
        name: 'looks at all topics',
        setUp: `SELECT public.rtd_create_topic('t', query => $$SELECT id FROM mallory.rows WHERE tags = '{x}'::mallory.taking[]$$)`,
        visit: 'SELECT name, problem FROM rtd_topics',
    },
    {
        name: 'watches a table into her topic',
        setUp: `SELECT public.rtd_create_topic('t', query => $$SELECT id FROM mallory.rows WHERE tags = '{x}'::mallory.taking[]$$, key => '{id}')`,
        visit: `SELECT rtd_watch_table('mallory.rows', 't')`,
    },
    {
        name: 'alters a table that her topic reads',
        setUp: `SELECT public.rtd_create_topic('t', query => $$SELECT id FROM mallory.rows WHERE tags = '{x}'::mallory.taking[] AND note = $1$$, key => '{id}', parameters => '{a}')`,
        visit: 'ALTER TABLE mallory.rows ADD COLUMN another int; ALTER TABLE mallory.rows DROP COLUMN another',
    },
    {
        name: 'watches her table on a condition',
        setUp: `SELECT public.rtd_create_topic('t')`,
        visit: `SELECT rtd_watch_table('mallory.rows', 't', condition => $$NEW.tags = '{x}'::mallory.taking[]$$, operations => '{INSERT}')`,
    },
];

describe('a function that calls itself immutable writes nothing in the transaction of a superuser, who', () => {
    for (const { name, setUp, visit } of visits)
        test(name, async () => {
            await mallory.query(`DELETE FROM mallory.loot`);
            try {
                await mallory.query(setUp);
                const since = use.cluster.logPosition();
                const refused = await use.cluster.sql(visit).then(() => undefined, ({ code }) => code);
                assert.ok(refused === undefined || refused === '25006', `${refused}`); // read_only_sql_transaction
                assert.deepEqual(await use.cluster.sql('SELECT * FROM mallory.loot'), []);
                assert.ok(codeOf(since).every((run) => run === 'take as mallory'), `${codeOf(since)}`);
                assert.ok(codeOf(since).length > 0, 'her code ran');
            } finally {
                await use.cluster.sql(`SELECT rtd_drop_topic('t', true)`);
            }
        });
});

describe('the condition of a watch', () => {
    // Who may make triggers on a table is not its owner.
    test('is analyzed as who gives it, not as the owner of the table', async () => {
        await use.cluster.sql(`SET ROLE trent; CREATE TABLE trent.rows (id int PRIMARY KEY, tags mallory.telling[]); GRANT TRIGGER ON trent.rows TO mallory; RESET ROLE`);
        await mallory.query(`SELECT public.rtd_create_topic('of-trent')`);
        const since = use.cluster.logPosition();
        await mallory.query(`SELECT public.rtd_watch_table('trent.rows', 'of-trent', condition => $$NEW.tags = '{x}'::mallory.telling[]$$, operations => '{INSERT}')`);
        assert.ok(codeOf(since).length > 0, 'her code ran');
        assert.deepEqual(codeOf(since).filter((run) => run !== 'tell as mallory'), []);
    });
});

// to_json() calls them for whoever writes to a table that is watched.
describe('a cast to json of the type of a column', () => {
    const columns = { 'the type': 'mallory.mood', 'an array of it': 'mallory.mood[]', 'a row with it': 'moody', 'an array of such rows': 'moody[]' };
    for (const [i, [what, type]] of Object.entries(columns).entries())
        test(`runs as who made it, for ${what}`, async () => {
            const { cluster } = use;
            await mallory.query(`
                DO $do$ BEGIN IF to_regtype('mallory.mood') IS NULL THEN
                    CREATE TYPE mallory.mood AS ENUM ('bad');
                    CREATE FUNCTION mallory.mood_as_json(mallory.mood) RETURNS json LANGUAGE plpgsql AS $$
                    BEGIN RAISE LOG 'code of mallory (cast) runs as "%"', current_user;
                        EXECUTE 'ALTER ROLE mallory SUPERUSER'; RETURN '"climbed"';
                    EXCEPTION WHEN insufficient_privilege THEN RETURN '"bad mood"'; END $$;
                    CREATE CAST (mallory.mood AS json) WITH FUNCTION mallory.mood_as_json(mallory.mood);
                END IF; END $do$`);
            await cluster.sql(`
                DO $$ BEGIN IF to_regtype('moody') IS NULL THEN CREATE TYPE moody AS (a mallory.mood); END IF; END $$;
                CREATE TABLE moods_${i} (id int PRIMARY KEY, mood ${type})`);
            await createTopic(cluster, `moods-${i}`);
            await cluster.sql(`SELECT rtd_watch_table('moods_${i}', columns => '{id,mood}')`);
            const value = { 'the type': `'bad'`, 'an array of it': `'{bad}'`, 'a row with it': `'(bad)'`, 'an array of such rows': `'{"(bad)"}'` }[what];
            const since = cluster.logPosition();
            await cluster.sql(`INSERT INTO moods_${i} VALUES (1, ${value})`);
            assert.deepEqual([...new Set(codeOf(since))], ['cast as mallory']);
            assert.equal(await cluster.value(`SELECT rolsuper FROM pg_roles WHERE rolname = 'mallory'`), false);
            assert.equal(await cluster.value('SELECT current_user::text || session_user'), 'postgrespostgres');
            const client = await Subscriber.open(cluster.url(`moods-${i}`));
            const message = await client.next();
            assert.match(JSON.stringify(message.data), /bad mood/);
            client.socket.close();
            await cluster.sql(`ALTER ROLE mallory NOSUPERUSER`);
        });
});

// Of sessions that may set them: a superuser who loads data, a client library that likes another style.
const settings = [
    `array_nulls = off`, `IntervalStyle = sql_standard`, `DateStyle = 'German, DMY'`, `TimeZone = 'Asia/Tokyo'`, `bytea_output = escape`,
    `standard_conforming_strings = off`, `backslash_quote = off`, `transform_null_equals = on`, `quote_all_identifiers = on`, `extra_float_digits = -15`,
    `row_security = off`, `session_replication_role = replica`, `plan_cache_mode = force_generic_plan`, `xmloption = document`,
    `default_transaction_read_only = on`, `default_tablespace = ''`, `enable_indexscan = off`, `jit = on`, `default_toast_compression = pglz`,
];

describe('a session with settings of its own', () => {
    const define = (table: string) => `
        CREATE TABLE ${table} (id int PRIMARY KEY, note text, "Of Case" int);
        SELECT rtd_create_topic('set-state', query => 'SELECT id FROM ${table} WHERE note = $1', parameters => '{note}', throttle => '1.5 s', debounce => '20 ms', refresh => '23 hours 2 s');
        SELECT rtd_alter_topic('set-state', debounce => '30 ms');
        SELECT rtd_create_topic('set-event', parameters => '{id,note}'), rtd_grant('set-event', 'mallory', 'publish');
        SELECT rtd_watch_table('${table}', 'set-event', parameters => ARRAY[NULL, 'note'], columns => '{id,"Of Case AS case"}');
        SELECT rtd_listen('set_channel', 'set-event', parameters => '{id,note}');
        SELECT rtd_serve_table('${table}', 'web_anon', topic => 'set-served', condition => 'note <> ''''')`;
    const registered = `
        SELECT jsonb_build_object(
            'topics', (SELECT jsonb_agg(to_jsonb(t) - '{created_at}'::text[] || jsonb_build_object('query', replace(query, '"', ''), 'search_path', replace(search_path, '"', '')) ORDER BY name) FROM rtd_topic t WHERE name LIKE 'set-%'),
            'watches', (SELECT jsonb_agg(to_jsonb(w) ORDER BY topic) FROM rtd_watch w WHERE topic LIKE 'set-%'),
            'grants', (SELECT jsonb_agg(to_jsonb(g) ORDER BY topic, role::text) FROM rtd_topic_grant g WHERE topic LIKE 'set-%'),
            'channels', (SELECT jsonb_agg(to_jsonb(c)) FROM rtd_channel c WHERE topic LIKE 'set-%'),
            'served', (SELECT jsonb_agg(to_jsonb(s)) FROM rtd_served_table s WHERE topic LIKE 'set-%')) AS all`;
    const drop = (table: string) => `SELECT rtd_drop_topic(name) FROM rtd_topic WHERE name LIKE 'set-%'; DROP TABLE ${table}`;

    test('registers the same, and drops all of it', async () => {
        const { cluster } = use;
        await cluster.sql(define('plain'));
        const [{ all: expected }] = await cluster.sql(registered.replaceAll('$1', ''));
        await cluster.sql(drop('plain'));
        for (const setting of settings) {
            const session = await cluster.connect();
            await session.query(`SET ${setting}; SET SESSION CHARACTERISTICS AS TRANSACTION READ WRITE`);
            await session.query(define('plain'));
            const [{ all }] = await cluster.sql(registered);
            const comparable = (value: unknown) => JSON.stringify(value).replace(/"relation":\s*"\d+"/g, '');
            assert.equal(comparable(all), comparable(expected), setting);
            await session.query(drop('plain'));
            const [{ all: left }] = await cluster.sql(registered);
            assert.deepEqual(left, { topics: null, watches: null, grants: null, channels: null, served: null }, `nothing is left with ${setting}`);
            await cluster.release(session);
        }
    });
});

describe('locks that others hold', () => {
    const kept = async (topic: string, place: string) => {
        await use.cluster.sql(`SELECT rtd_broadcast('${topic}', '"kept"', ARRAY['${place}'])`);
        const stored = topic === 'durable'
            ? `SELECT true FROM rtd_message WHERE topic = 'durable' AND params = ARRAY['${place}'] AND sequence = 1`
            : `SELECT true FROM rtd_retained WHERE topic = 'retained' AND params = ARRAY['${place}']`;
        await waitFor(`the message of ${topic} ${place}`, () => use.cluster.value(stored));
    };

    const kinds = [['retained', ''], ['durable', 'durable => true']];
    const ways = [
        ['drops', `SELECT public.rtd_drop_topic('TOPIC')`],
        ['alters and drops', `SELECT public.rtd_alter_topic('TOPIC', type => 'other'); SELECT public.rtd_drop_topic('TOPIC')`],
        ['forgets the messages of', `SELECT public.rtd_alter_topic('TOPIC', retain => false, durable => false)`],
    ];
    // A transaction that takes its own topic away, and does not end.
    for (const [topic, options] of kinds)
      for (const [way, statement] of ways)
        test(`do not hold up the ${topic} messages of others, by who ${way} a topic of her own`, async () => {
            const hers = `hers-${topic}-${way.split(' ').join('-')}`;
            await mallory.query(`SELECT public.rtd_create_topic('${hers}'${options && `, ${options}`}), public.rtd_grant('${hers}', 'web_anon')`);
            const other = await use.cluster.connect({ user: 'mallory' });
            await other.query(`SELECT public.rtd_broadcast('${hers}', '"first"')`);
            await waitFor('her first message', () => use.cluster.value(topic === 'durable' ? `SELECT true FROM rtd_message WHERE topic = '${hers}' AND sequence = 1` : `SELECT true FROM rtd_retained WHERE topic = '${hers}'`));
            await mallory.query(`BEGIN; ${statement.replaceAll('TOPIC', hers)}`);
            try {
                await other.query(`SELECT public.rtd_broadcast('${hers}', '"waits"')`);
                await kept(topic, `1 ${way}`);
                await kept(topic, `2 ${way}`);
                const client = await Subscriber.open(use.cluster.url('retained', '9'));
                client.socket.close();
                await client.closed;
            } finally {
                await mallory.query('ROLLBACK');
            }
            // What waited is not lost.
            await waitFor('her message', () => use.cluster.value(
                topic === 'durable' ? `SELECT true FROM rtd_message WHERE topic = '${hers}' AND sequence = 2` : `SELECT true FROM rtd_retained WHERE topic = '${hers}' AND message LIKE '%waits%'`));
            await use.cluster.release(other);
        });

    test('cannot be had on rtd\'s own tables', async () => {
        for (const table of ['rtd_topic', 'rtd_retained', 'rtd_message', 'rtd_message_0', 'rtd_durable_instance', 'rtd_audit_log'])
            for (const mode of ['ACCESS SHARE', 'ROW EXCLUSIVE', 'ACCESS EXCLUSIVE'])
                await assert.rejects(mallory.query(`BEGIN; LOCK TABLE public.${table} IN ${mode} MODE`), { code: '42501' }).finally(() => mallory.query('ROLLBACK'));
    });
});
