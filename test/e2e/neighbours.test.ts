// What else lives in the server: publications, settings of the database, its roles and the cluster, rows
// that somebody wrote by hand, other extensions' event triggers. rtd goes on whatever they are.

import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import * as path from 'node:path';
import { afterEach, describe, test } from 'node:test';
import { bindir, Cluster } from '../lib/cluster';
import { createTopic, messagesUntilNow, subscribe, subscriberCount, useCluster } from '../lib/harness';
import { closeMultiplexed, Multiplexed } from '../lib/multiplexed';
import { Subscriber } from '../lib/subscriber';
import { waitFor } from '../lib/wait';

const use = useCluster({ settings: { wal_level: 'logical', 'rtd.linger': 0 } });
afterEach(closeMultiplexed);

async function restartHub(cluster: Cluster) {
    const [hub] = await cluster.pids('rtd hub');
    await cluster.sql(`SELECT pg_terminate_backend(${hub})`);
    await waitFor('another hub', async () => {
        const [now] = await cluster.pids('rtd hub');
        return now !== undefined && now !== hub;
    });
    await cluster.ready();
}

/** The hub must be the same process before and after. */
async function withTheSameHub(body: () => Promise<void>) {
    const before = await use.cluster.pids('rtd hub');
    await body();
    assert.deepEqual(await use.cluster.pids('rtd hub'), before, 'the hub did not end');
}

/** Everything that rtd writes and reads by itself, once. */
async function wholeLife(prefix: string) {
    const { cluster } = use;
    const name = (kind: string) => `${prefix}-${kind}`;
    const table = `${prefix.replace(/-/g, '_')}_rows`;
    await cluster.sql(`CREATE TABLE ${table} (id int PRIMARY KEY, place text, n float8, at date, took interval, bytes bytea)`);
    await createTopic(cluster, name('durable'), `durable => true, parameters => '{place,room}'`);
    await createTopic(cluster, name('retained'), `parameters => '{place}'`);
    await createTopic(cluster, name('state'), `query => 'SELECT id, n, at, took, bytes, n::text AS n_text, at::text AS at_text, took::text AS took_text FROM ${table} ORDER BY id', throttle => '0'`);
    await createTopic(cluster, name('keyed'), `key => '{id}', query => 'SELECT id, n FROM ${table}'`);
    await cluster.sql(`SELECT rtd_grant('${name('durable')}', 'web_anon', 'publish'), rtd_grant('${name('retained')}', 'web_anon', 'publish')`);
    await cluster.sql(`
        SELECT rtd_watch_table('${table}', '${name('durable')}', columns => '{id}', parameters => '{place,NULL}'),
               rtd_watch_table('${table}', '${name('state')}'), rtd_watch_table('${table}', '${name('keyed')}')`);
    const [durable, retained] = [await subscribe(cluster, name('durable'), 'a', '1'), await subscribe(cluster, name('retained'), 'x')];
    const [state, keyed] = [await subscribe(cluster, name('state')), await subscribe(cluster, name('keyed'))];
    assert.deepEqual((await state.next()).data, []);
    assert.deepEqual((await keyed.next()).data, []);

    await cluster.sql(`SELECT rtd_broadcast('${name('durable')}', '1', '{a,1}'), rtd_broadcast('${name('retained')}', '2', '{x}')`);
    assert.equal((await durable.next()).data, 1);
    assert.equal((await retained.next()).data, 2);
    // A row for many instances: it is deleted, and inserted for each.
    await cluster.sql(`INSERT INTO ${table} VALUES (1, 'a', 0.1::float8 + 0.2::float8, '2026-02-01', '26 hours 5 minutes', '\\xff')`);
    assert.equal((await durable.next()).data.id, 1);
    const [row] = (await state.next()).data;
    assert.deepEqual(row, {
        id: 1, n: 0.30000000000000004, at: '2026-02-01', took: '26:05:00', bytes: '\\xff',
        n_text: '0.30000000000000004', at_text: '2026-02-01', took_text: '26:05:00',
    });
    assert.deepEqual((await keyed.next()).data.upsert, [{ id: 1, n: 0.30000000000000004 }]);
    // A client publishes.
    const client = await Multiplexed.open(cluster);
    for (const [topic, params] of [[name('durable'), ['a', '1']], [name('retained'), ['x']]] as const) {
        const answer = await client.ask({ action: 'publish', topic, params: [...params], data: { by: 'client' } });
        assert.equal(answer.type, 'rtd_published', answer.text);
    }
    assert.deepEqual((await durable.next()).data, { by: 'client' });
    assert.deepEqual((await retained.next()).data, { by: 'client' });
    // The retained message is stored behind; an instance that starts anew reads it.
    await waitFor('the retained message to be stored', async () =>
        (await cluster.value(`SELECT message FROM rtd_retained WHERE topic = '${name('retained')}'`))?.includes('client'));
    retained.socket.close();
    await retained.closed;
    const again = await Subscriber.open(cluster.url(name('retained'), 'x'));
    assert.deepEqual((await again.next()).data, { by: 'client' });
    const [first] = durable.messages;
    const resumed = await Subscriber.open(`${cluster.url(name('durable'), 'a', '1')}?since=${first.id}`);
    assert.equal((await resumed.next()).data.id, 1);
    // A watched row that is removed from its topic's table, and a topic that goes with all it has.
    await cluster.sql(`SELECT rtd_revoke('${name('state')}', 'web_anon')`);
    assert.equal((await state.closed).code, 4403);
}

describe('publications', () => {
    test('FOR ALL TABLES, and of a schema, stop nothing that rtd updates or deletes', async () => {
        await use.cluster.sql('CREATE PUBLICATION everything FOR ALL TABLES; CREATE PUBLICATION of_schema FOR TABLES IN SCHEMA public');
        try {
            await wholeLife('published');
            const without = await use.cluster.sql(`
                SELECT c.relname FROM pg_class c JOIN pg_depend d ON d.classid = 'pg_class'::regclass AND d.objid = c.oid AND d.deptype = 'e'
                  JOIN pg_extension e ON e.oid = d.refobjid AND e.extname = 'rtd'
                 WHERE c.relkind = 'r' AND c.relreplident = 'd' AND NOT EXISTS (SELECT FROM pg_index i WHERE i.indrelid = c.oid AND i.indisprimary)`);
            assert.deepEqual(without, [], 'every table has an identity');
        } finally {
            await use.cluster.sql('DROP PUBLICATION everything, of_schema');
        }
    });

    test('and a subscriber that has rtd too takes the rows in', async () => {
        await use.cluster.sql('CREATE DATABASE copy');
        const copy = await use.cluster.connect({ database: 'copy' });
        await copy.query('CREATE EXTENSION rtd');
        await use.cluster.sql('CREATE PUBLICATION of_rtd FOR TABLE rtd_topic, rtd_topic_grant, rtd_message, rtd_durable_instance, rtd_retained');
        await use.cluster.sql(`SELECT pg_create_logical_replication_slot('to_copy', 'pgoutput')`);
        await copy.query(`
            CREATE SUBSCRIPTION from_app CONNECTION 'host=${use.cluster.dir} port=5432 user=postgres dbname=app'
            PUBLICATION of_rtd WITH (create_slot = false, slot_name = 'to_copy', copy_data = false)`);
        try {
            await createTopic(use.cluster, 'copied', 'durable => true');
            await use.cluster.sql(`SELECT rtd_broadcast('copied', to_jsonb(n)) FROM generate_series(1, 3) n`);
            await waitFor('the numbered messages to arrive', async () => {
                const { rows } = await copy.query(`SELECT sequence::int AS n FROM rtd_message WHERE topic = 'copied' ORDER BY 1`);
                return JSON.stringify(rows.map(({ n }) => n)) === '[1,2,3]';
            });
        } finally {
            await copy.query('ALTER SUBSCRIPTION from_app DISABLE; ALTER SUBSCRIPTION from_app SET (slot_name = NONE)');
            await copy.query('DROP SUBSCRIPTION from_app');
            await use.cluster.release(copy);
            await waitFor('the slot to be free', () => use.cluster.value(`SELECT NOT active FROM pg_replication_slots WHERE slot_name = 'to_copy'`));
            await use.cluster.sql(`SELECT pg_drop_replication_slot('to_copy'); `);
            await use.cluster.sql('DROP PUBLICATION of_rtd');
        }
    });
});

describe('settings', () => {
    /** A hostile value of a setting, and one for the test's own sessions. */
    type Setting = [name: string, hostile: string, sane: string];

    /** Settings that are in force from the start of hub and workers, and gone afterwards. */
    async function under(where: string, settings: Setting[], body: () => Promise<void>) {
        const { rows } = await use.cluster.query('SELECT name FROM pg_settings');
        const known = new Set(rows.map(({ name }) => name.toLowerCase()).concat('role'));
        const apply = settings.filter(([name]) => known.has(name.toLowerCase()));
        await use.cluster.closeConnections();
        process.env.PGOPTIONS = apply.map(([name, , sane]) => `-c ${name}=${sane.replace(/ /g, '\\ ')}`).join(' ');
        try {
            for (const [name, hostile] of apply) await use.cluster.sql(`ALTER ${where} SET ${name} = ${hostile}`);
            if (where === 'SYSTEM') await use.cluster.sql('SELECT pg_reload_conf()');
            await restartHub(use.cluster);
            await body();
        } finally {
            for (const [name] of apply) await use.cluster.sql(`ALTER ${where} RESET ${name}`);
            if (where === 'SYSTEM') await use.cluster.sql('SELECT pg_reload_conf()');
            delete process.env.PGOPTIONS;
            await use.cluster.closeConnections();
            await restartHub(use.cluster);
        }
    }

    test('client_encoding of the database: notifications are UTF-8, and one that LATIN1 cannot hold ends nothing', async () => {
        await under('DATABASE app', [['client_encoding', `'LATIN1'`, 'UTF8']], async () => {
            const session = await use.cluster.connect();
            await session.query(`SET client_encoding = 'UTF8'`);
            await createTopic(use.cluster, 'latin');
            await createTopic(use.cluster, 'latin-durable', 'durable => true');
            await use.cluster.sql(`SELECT rtd_listen('latin_channel', 'latin'), rtd_listen('latin_channel', 'latin-durable')`);
            const clients = [await subscribe(use.cluster, 'latin'), await subscribe(use.cluster, 'latin-durable')];
            await use.cluster.ready();
            await withTheSameHub(async () => {
                await session.query(`SELECT pg_notify('latin_channel', '{"text": "caf\u00e9"}')`);
                for (const client of clients) assert.deepEqual((await client.next()).data, { text: 'caf\u00e9' });
                await session.query(`SELECT pg_notify('latin_channel', '{"text": "\u043f\u0440\u0438\u0432\u0435\u0442"}')`);
                for (const client of clients) assert.deepEqual((await client.next()).data, { text: '\u043f\u0440\u0438\u0432\u0435\u0442' });
                // What they publish is UTF-8 too.
                await use.cluster.sql(`SELECT rtd_grant('latin', 'web_anon', 'publish')`);
                const publisher = await Multiplexed.open(use.cluster);
                assert.equal((await publisher.ask({ action: 'publish', topic: 'latin', data: '\u043f' })).type, 'rtd_published');
                assert.equal((await clients[0].next()).data, '\u043f');
            });
            const stored = await session.query(`SELECT data ->> 'text' AS text FROM rtd_message WHERE topic = 'latin-durable' ORDER BY id`);
            assert.deepEqual(stored.rows.map(({ text }) => text), ['caf\u00e9', '\u043f\u0440\u0438\u0432\u0435\u0442']);
        });
    });

    test('default_transaction_read_only: of the database, of a role, of the cluster', async () => {
        for (const where of ['DATABASE app', 'ROLE postgres', 'SYSTEM'])
            await under(where, [['default_transaction_read_only', 'on', 'off']], () => wholeLife(`read-only-${where.split(' ')[0].toLowerCase()}`));
    });

    test('everything else that a database can set', async () => {
        await use.cluster.sql(`
            CREATE SCHEMA hijack;
            CREATE ROLE nobody_at_all;
            CREATE FUNCTION hijack.equal(text, text) RETURNS boolean LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'hijacked by %', current_user; END $$;
            CREATE FUNCTION hijack.equal(bigint, bigint) RETURNS boolean LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'hijacked by %', current_user; END $$;
            CREATE OPERATOR hijack.= (LEFTARG = text, RIGHTARG = text, FUNCTION = hijack.equal);
            CREATE OPERATOR hijack.= (LEFTARG = bigint, RIGHTARG = bigint, FUNCTION = hijack.equal)`);
        const settings: Setting[] = [
            ['array_nulls', 'off', 'on'],
            ['backslash_quote', 'off', 'safe_encoding'],
            ['bytea_output', 'escape', 'hex'],
            ['datestyle', 'German, DMY', 'ISO,DMY'],
            ['debug_parallel_query', 'on', 'off'],
            ['default_transaction_deferrable', 'on', 'off'],
            ['default_transaction_isolation', 'serializable', 'read committed'],
            ['exit_on_error', 'on', 'off'],
            ['extra_float_digits', '-15', '1'],
            ['force_parallel_mode', 'on', 'off'],
            ['idle_in_transaction_session_timeout', '1', '0'],
            ['idle_session_timeout', '1', '0'],
            ['intervalstyle', 'sql_standard', 'postgres'],
            ['lock_timeout', '1', '0'],
            ['quote_all_identifiers', 'on', 'off'],
            ['role', 'nobody_at_all', 'none'],
            ['row_security', 'off', 'on'],
            ['search_path', 'hijack, pg_catalog, public', 'public'],
            ['session_replication_role', 'replica', 'origin'],
            ['standard_conforming_strings', 'off', 'on'],
            ['statement_timeout', '1', '0'],
            ['transaction_timeout', '1', '0'],
            ['transform_null_equals', 'on', 'off'],
            ['xmloption', 'document', 'content'],
        ];
        await under('DATABASE app', settings, async () => {
            const position = use.cluster.logPosition();
            await withTheSameHub(() => wholeLife('all-settings'));
            assert.doesNotMatch(use.cluster.logSince(position), /hijacked/);
        });
    });
});

describe('rows written by hand', () => {
    test('a topic that makes no sense is left out, with a line in the log, and the others are served', async () => {
        await createTopic(use.cluster, 'sane');
        for (const [name, damage] of [
            ['odd-parameters', `parameters = '{NULL}'`],
            ['odd-nesting', `parameters = '{{a,b},{c,NULL}}'`],
            ['odd-time', `created_at = 'infinity'`],
            ['odd-throttle', `throttle = '-1 day'`],
            ['odd-history', `history = -5`],
            ['odd-refresh', `refresh = '290000 years'`],
            ['odd-type', `type = ''`],
        ]) {
            await createTopic(use.cluster, name);
            const client = await subscribe(use.cluster, 'sane');
            const position = use.cluster.logPosition();
            await withTheSameHub(async () => {
                await use.cluster.sql(`UPDATE rtd_topic SET ${damage} WHERE name = '${name}'`);
                await use.cluster.waitForLog(new RegExp(`topic "${name}" is not served`), position);
                await use.cluster.sql(`SELECT rtd_broadcast('sane', to_jsonb($1::text))`, [name]);
                await client.next(({ data }) => data === name);
                const refused = await Subscriber.open(use.cluster.url(name));
                assert.equal((await refused.closed).code, 4404);
            });
            await use.cluster.sql(`DELETE FROM rtd_topic WHERE name = '${name}'`);
        }
    });

    test('channels and grants that make no sense', async () => {
        await createTopic(use.cluster, 'sane-channel');
        const client = await subscribe(use.cluster, 'sane-channel');
        await withTheSameHub(async () => {
            const position = use.cluster.logPosition();
            await use.cluster.sql(`
                INSERT INTO rtd_channel VALUES ('', 'sane-channel', '{}'), (repeat('x', 100000), 'sane-channel', '{}'), ('null_field', 'sane-channel', '{NULL}');
                INSERT INTO rtd_topic_grant VALUES ('sane-channel', 4000000000::oid::regrole, 'subscribe');
                SELECT rtd_listen('good_channel', 'sane-channel')`);
            await use.cluster.waitForLog(/channel .* is not listened to/, position);
            await use.cluster.ready();
            await use.cluster.sql(`NOTIFY good_channel, '{"n": 1}'`);
            await client.next(({ data }) => data.n === 1);
        });
        await use.cluster.sql(`DELETE FROM rtd_channel WHERE topic = 'sane-channel'; DELETE FROM rtd_topic_grant WHERE role::oid = 4000000000`);
    });

    test('a retained message that is no message counts as none', async () => {
        await createTopic(use.cluster, 'odd-retained', `parameters => '{n}'`);
        const garbage = ['garbage', '', '{"id": 1}', '[]', '{"id":"1-1","data":', 'null', '{"type":"t","data":1,"timestamp":"x","source":"event","topic":"other","params":[],"id":"1-1","kind":"event"}'];
        for (const [n, message] of garbage.entries())
            await use.cluster.sql(`INSERT INTO rtd_retained VALUES ('odd-retained', ARRAY[$1], $2)`, [String(n), message]);
        await withTheSameHub(async () => {
            for (const n of garbage.keys()) {
                const position = use.cluster.logPosition();
                const client = await subscribe(use.cluster, 'odd-retained', String(n));
                await use.cluster.sql(`SELECT rtd_broadcast('odd-retained', '"fine"', ARRAY[$1])`, [String(n)]);
                assert.equal((await client.next()).data, 'fine');
                await use.cluster.waitForLog(/retained message of topic "odd-retained" is not valid/, position);
            }
        });
    });

    test('a retained message with numbers that only PostgreSQL has is kept', async () => {
        await createTopic(use.cluster, 'big-retained');
        await use.cluster.sql(`SELECT rtd_broadcast('big-retained', '[123456789012345678901234567890, 1e400]')`);
        const stored = await waitFor('the message to be stored', () => use.cluster.value(`SELECT message FROM rtd_retained WHERE topic = 'big-retained'`));
        const client = await waitFor('an instance that starts anew', async () => {
            const one = await Subscriber.open(use.cluster.url('big-retained'));
            return (await one.next()).id === JSON.parse(stored).id ? (one.socket.close(), undefined) : one;
        });
        assert.match(client.texts[0], /\[123456789012345678901234567890, 1000000/);
    });

    test('a retained message that cannot be stored does not keep the others from it', async () => {
        await createTopic(use.cluster, 'long-params', `parameters => '{n}'`);
        // Longer than an index can hold, and not to be compressed.
        const long = Array.from({ length: 2000 }, (_, i) => `${i * 7919}`).join('-');
        await use.cluster.sql(`SELECT rtd_broadcast('long-params', '1', ARRAY[$1]), rtd_broadcast('long-params', '2', '{short}')`, [long]);
        await waitFor('the other message to be stored', async () =>
            (await use.cluster.value(`SELECT count(*)::int FROM rtd_retained WHERE topic = 'long-params' AND params = '{short}'`)) === 1);
    });

    test('a durable message that makes no sense is a gap, and the ones after it are sent', async () => {
        await createTopic(use.cluster, 'odd-messages', 'durable => true');
        const client = await subscribe(use.cluster, 'odd-messages');
        await use.cluster.sql(`SELECT rtd_broadcast('odd-messages', to_jsonb(n)) FROM generate_series(1, 4) n`);
        const first = await client.next();
        for (let n = 2; n <= 4; n++) await client.next();
        await withTheSameHub(async () => {
            await use.cluster.sql(`
                UPDATE rtd_message SET type = NULL WHERE topic = 'odd-messages' AND sequence = 2;
                UPDATE rtd_message SET created_at = 'infinity' WHERE topic = 'odd-messages' AND sequence = 3;
                INSERT INTO rtd_message (slot, topic, params, source, data) SELECT slot, topic, '{{a,b},{c,d}}', 'event', '6' FROM rtd_message WHERE topic = 'odd-messages' LIMIT 1`);
            await use.cluster.sql(`SELECT rtd_broadcast('odd-messages', '7')`);
            await client.next(({ data }) => data === 7);
        });
        await restartHub(use.cluster);
        const again = await Subscriber.open(`${use.cluster.url('odd-messages')}?since=${first.id}`);
        const got: any[] = [];
        await again.next((message) => (got.push(message.kind === 'gap' ? 'gap' : message.data), message.data === 7));
        assert.deepEqual(got, ['gap', 4, 7]);
        // One that has no time gets a number at the next start, and is a gap too.
        await use.cluster.sql(`
            INSERT INTO rtd_message (slot, topic, params, source, data, created_at)
            SELECT slot, topic, '{}', 'event', '8', 'infinity' FROM rtd_message WHERE topic = 'odd-messages' LIMIT 1`);
        await restartHub(use.cluster);
        const last = await Subscriber.open(`${use.cluster.url('odd-messages')}?since=${again.messages.at(-1)!.id}`);
        await use.cluster.sql(`SELECT rtd_broadcast('odd-messages', '9')`);
        assert.equal((await last.next()).kind, 'gap');
        assert.equal((await last.next()).data, 9);
    });
});

describe('pg_restore --data-only', () => {
    test('--disable-triggers: the hub notices the topics that come', async () => {
        await use.cluster.sql('CREATE DATABASE dumped');
        const dumped = await use.cluster.connect({ database: 'dumped' });
        await dumped.query(`SET client_min_messages = error; CREATE EXTENSION rtd; SELECT rtd_create_topic('came-by-restore'), rtd_grant('came-by-restore', 'web_anon')`);
        await use.cluster.release(dumped);
        await use.cluster.sql('DELETE FROM rtd_topic');
        const missing = await Subscriber.open(use.cluster.url('came-by-restore'));
        assert.equal((await missing.closed).code, 4404);
        await withTheSameHub(async () => {
            const server = ['-h', use.cluster.dir, '-p', '5432', '-U', 'postgres'];
            const dump = execFileSync(path.join(bindir, 'pg_dump'), [...server, '--data-only', '--disable-triggers', '-t', 'rtd_topic', '-t', 'rtd_topic_grant', '--extension=rtd', 'dumped'], { encoding: 'utf8' });
            assert.match(dump, /DISABLE TRIGGER ALL/);
            execFileSync(path.join(bindir, 'psql'), [...server, '-X', '-q', '-v', 'ON_ERROR_STOP=1', '-d', 'app'], { input: dump });
            const client = await waitFor('the topic to be served', async () => {
                const one = await Subscriber.open(use.cluster.url('came-by-restore'));
                let isRefused = false;
                void one.closed.then(() => (isRefused = true));
                await waitFor('a subscription or a refusal', async () => isRefused || (await subscriberCount(use.cluster, 'came-by-restore')) > 0);
                return isRefused ? undefined : one;
            });
            await use.cluster.sql(`SELECT rtd_broadcast('came-by-restore', '1')`);
            assert.equal((await client.next()).data, 1);
        });
    });
});

describe('event triggers', () => {
    test('of others that raise stop rtd_watch_table, rtd_unwatch_table and CREATE EXTENSION with their error, and neither hub, workers nor what is watched', async () => {
        await use.cluster.sql('CREATE TABLE guarded (id int PRIMARY KEY); CREATE TABLE refused (id int PRIMARY KEY)');
        await use.cluster.sql('CREATE DATABASE guarded');
        await createTopic(use.cluster, 'guarded');
        await use.cluster.sql(`SELECT rtd_watch_table('guarded')`);
        const guard = `
            CREATE FUNCTION no_ddl() RETURNS event_trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'no DDL today'; END $$;
            CREATE EVENT TRIGGER no_ddl ON ddl_command_start EXECUTE FUNCTION no_ddl();
            CREATE EVENT TRIGGER no_drop ON sql_drop EXECUTE FUNCTION no_ddl()`;
        await use.cluster.sql(guard);
        const other = await use.cluster.connect({ database: 'guarded' });
        await other.query(guard);
        try {
            await assert.rejects(other.query('CREATE EXTENSION rtd'), /no DDL today/);
            await withTheSameHub(async () => {
                await assert.rejects(use.cluster.sql(`SELECT rtd_watch_table('refused', 'guarded')`), /no DDL today/);
                await assert.rejects(use.cluster.sql(`SELECT rtd_unwatch_table('guarded')`), /no DDL today/);
                assert.deepEqual(await use.cluster.sql(`SELECT relation::text FROM rtd_watched_tables WHERE topic = 'guarded'`), [{ relation: 'guarded' }]);
                const client = await subscribe(use.cluster, 'guarded');
                await use.cluster.sql(`SELECT rtd_create_topic('while-guarded', durable => true), rtd_grant('while-guarded', 'web_anon')`);
                const durable = await subscribe(use.cluster, 'while-guarded');
                await use.cluster.sql(`SELECT rtd_broadcast('while-guarded', '1')`);
                await use.cluster.sql('INSERT INTO guarded VALUES (2)');
                assert.equal((await durable.next()).data, 1);
                assert.equal((await client.next()).data.id, 2);
                await use.cluster.sql(`SELECT rtd_drop_topic('while-guarded')`);
                assert.equal((await durable.closed).code, 4410);
            });
        } finally {
            await use.cluster.sql('DROP EVENT TRIGGER no_ddl; DROP EVENT TRIGGER no_drop');
            await use.cluster.release(other);
        }
    });

    test('that write a watched table make events of it, and DDL on watched tables goes on', async () => {
        await use.cluster.sql('CREATE TABLE ddl_log (id int GENERATED ALWAYS AS IDENTITY PRIMARY KEY, command text); CREATE TABLE logged (id int PRIMARY KEY)');
        await createTopic(use.cluster, 'ddl-log');
        await createTopic(use.cluster, 'logged', `query => 'SELECT * FROM logged', throttle => '0'`);
        await use.cluster.sql(`
            SELECT rtd_watch_table('ddl_log', columns => '{id,command}'), rtd_watch_table('logged');
            CREATE FUNCTION log_ddl() RETURNS event_trigger LANGUAGE plpgsql AS $$ BEGIN
                INSERT INTO public.ddl_log (command) SELECT command_tag || ' ' || object_identity FROM pg_event_trigger_ddl_commands(); END $$;
            CREATE EVENT TRIGGER log_ddl ON ddl_command_end EXECUTE FUNCTION log_ddl()`);
        try {
            const [client, state] = [await subscribe(use.cluster, 'ddl-log'), await subscribe(use.cluster, 'logged')];
            await state.next();
            await use.cluster.sql('ALTER TABLE logged ADD COLUMN note text');
            await use.cluster.sql(`INSERT INTO logged VALUES (1, 'x')`);
            await state.next(({ data }) => data[0]?.note === 'x');
            const commands = (await messagesUntilNow(use.cluster, client, 'ddl-log')).map(({ data }) => data.command);
            assert.deepEqual(commands, ['ALTER TABLE public.logged']);
        } finally {
            await use.cluster.sql('DROP EVENT TRIGGER log_ddl');
        }
    });
});
