// rtd_serve_table(): one call, and a page sees the table, whatever the table is like. What is said in
// NOTICEs and WARNINGs is compared with what is really so: its addresses are used, its hints are run.

import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { Connection } from '../lib/cluster';
import { EventStream } from '../lib/event_stream';
import { useCluster } from '../lib/harness';
import { KeyedRows, Row } from '../lib/keyed_client';
import { Subscriber } from '../lib/subscriber';
import { waitFor } from '../lib/wait';

const use = useCluster({ settings: { 'rtd.resync_interval': '1h' } }, (cluster) =>
    cluster.sql('CREATE ROLE alice; CREATE ROLE bob'),
);
const sql = (text: string, values?: unknown[]) => use.cluster.sql(text, values);

interface Said {
    severity: string;
    message: string;
    detail: string;
    hint: string;
}

/** Calls rtd_serve_table() in a session of its own, and returns what the session was told. */
async function serve(call: string, connection?: Connection): Promise<Said[]> {
    const session = connection ?? (await use.cluster.connect());
    const said: Said[] = [];
    session.on('notice', ({ severity, message, detail, hint }) =>
        said.push({ severity: severity!, message: message!, detail: detail ?? '', hint: hint ?? '' }),
    );
    await session.query(`SELECT rtd_serve_table(${call})`);
    if (!connection) await use.cluster.release(session);
    return said;
}

/** A client that keeps the rows. */
async function follow(url: string, key: string[]) {
    const rows = new KeyedRows(key);
    const client = await Subscriber.open(url, {}, (message) => rows.take(message));
    await client.next(({ kind }) => kind === 'snapshot');
    const expectRows = async (query: string) => {
        const wanted = (await sql(`SELECT to_jsonb(q) AS row FROM (${query}) q`)).map(({ row }) => row as Row);
        await waitFor('the rows of the table', () => rows.difference(wanted) === undefined).catch((error) => {
            throw new Error(`${error.message}: ${rows.difference(wanted)}`);
        });
    };
    return { client, rows, expectRows };
}

test('the addresses in the NOTICE are where INSERT, UPDATE, DELETE and TRUNCATE arrive', async () => {
    await sql(`CREATE TABLE todo (id int PRIMARY KEY, title text); INSERT INTO todo VALUES (1, 'first')`);
    const [notice, ...more] = await serve(`'todo', 'web_anon'`);
    assert.deepEqual(more, [], 'nothing else is to be done');
    assert.equal(notice.severity, 'NOTICE');
    assert.equal(notice.message, 'table "todo" is served as keyed topic "todo"');
    assert.match(notice.detail, /primary key \(id\).*"web_anon" may subscribe.*owner of the topic, "postgres".*FROM ONLY public\.todo/);
    const url = notice.hint.match(/ws:\/\/\S+/)![0];
    const { client, expectRows } = await follow(url, ['id']);
    assert.deepEqual(client.messages[0].data, [{ id: 1, title: 'first' }]);
    const stream = await EventStream.open(notice.hint.match(/curl -N (\S+)/)![1]);
    assert.equal(stream.status, 200);

    for (const change of [
        `INSERT INTO todo SELECT n, 'more' FROM generate_series(2, 5) n`,
        `UPDATE todo SET title = 'changed' WHERE id IN (1, 3)`,
        'UPDATE todo SET id = 50 WHERE id = 5',
        'DELETE FROM todo WHERE id = 2',
        'TRUNCATE todo',
        `INSERT INTO todo VALUES (7, 'after all')`,
    ]) {
        const seen = client.messages.length;
        await sql(change);
        await waitFor('a message', () => client.messages.length > seen);
        await expectRows('SELECT * FROM todo');
    }
    await waitFor('the event stream to be as far', () => stream.body.includes('after all'));
});

test('a second call changes what connected clients get: columns, condition, and a role that may come too', async () => {
    await sql(`CREATE TABLE changed (id int PRIMARY KEY, title text, done boolean DEFAULT false);
        INSERT INTO changed VALUES (1, 'open', false), (2, 'done', true)`);
    await serve(`'changed', 'web_anon'`);
    const { client, expectRows } = await follow(use.cluster.url('changed'), ['id']);
    const [notice] = await serve(`'changed', 'alice', columns => '{title}', condition => 'NOT done'`);
    assert.match(notice.message, /keyed topic "changed" of table "changed" was changed/);
    assert.match(notice.detail, /Added to its columns, because of the key: id\..*"alice" may subscribe/);
    assert.match(notice.detail, /\nBefore: SELECT \* FROM/);
    await expectRows('SELECT id, title FROM changed WHERE NOT done');
    // A row that leaves the condition is removed, one that comes back is there again.
    await sql('UPDATE changed SET done = NOT done');
    await expectRows('SELECT id, title FROM changed WHERE NOT done');
    await serve(`'changed', 'web_anon'`);
    await expectRows('SELECT * FROM changed');
    assert.equal(client.socket.readyState, client.socket.OPEN, 'it stayed connected all the time');

    // The same again does nothing.
    const [{ version }] = await sql(`SELECT version FROM rtd_topics WHERE name = 'changed'`);
    const [again] = await serve(`'changed', 'web_anon'`);
    assert.match(again.message, /is served as keyed topic "changed" already/);
    assert.equal(await use.cluster.value(`SELECT version FROM rtd_topics WHERE name = 'changed'`), version);
});

test('the event topic that rtd_watch_table() alone makes becomes the served one, and its clients come back to it', async () => {
    await sql(`CREATE TABLE newcomer (id int PRIMARY KEY); SELECT rtd_watch_table('newcomer'), rtd_grant('newcomer', 'web_anon')`);
    const early = await Subscriber.open(use.cluster.url('newcomer'));
    await sql('INSERT INTO newcomer VALUES (1)');
    assert.equal((await early.next()).kind, 'event');
    await serve(`'newcomer', 'web_anon'`);
    assert.equal((await early.closed).code, 4502);
    const { expectRows } = await follow(use.cluster.url('newcomer'), ['id']);
    await sql('INSERT INTO newcomer VALUES (2)');
    await expectRows('SELECT * FROM newcomer');
});

describe('tables of all kinds', () => {
    const kinds: Record<string, { create: string; topic: string; table: string; key: string[]; changes: string[] }> = {
        'names that need quotes, generated and dropped columns, a key of two columns': {
            create: `CREATE SCHEMA "Odd ""one"; CREATE TABLE "Odd ""one"."Größe" (gone int, "Ort" text,
                "select" int GENERATED ALWAYS AS IDENTITY, n int, twice int GENERATED ALWAYS AS (n * 2) STORED,
                PRIMARY KEY ("select", "Ort")); ALTER TABLE "Odd ""one"."Größe" DROP COLUMN gone`,
            table: `"Odd ""one"."Größe"`,
            topic: 'odd-one',
            key: ['select', 'Ort'],
            changes: [
                `INSERT INTO TABLE_ ("Ort", n) VALUES ('Köln', 1), ('O''Neill', 2), (E'\\\\\\n"', 3)`,
                `UPDATE TABLE_ SET n = n + 1`,
                `UPDATE TABLE_ SET "Ort" = 'Ulm' WHERE n = 2`,
                `DELETE FROM TABLE_ WHERE n = 3`,
            ],
        },
        'a partitioned table, whose rows move and come by their partition': {
            create: `CREATE TABLE parted (id int, region text, PRIMARY KEY (id, region)) PARTITION BY LIST (region);
                CREATE TABLE parted_a PARTITION OF parted FOR VALUES IN ('a');
                CREATE TABLE parted_b PARTITION OF parted FOR VALUES IN ('b')`,
            table: 'parted',
            topic: 'parted',
            key: ['id', 'region'],
            changes: [
                `INSERT INTO parted VALUES (1, 'a'), (2, 'b')`,
                `UPDATE parted SET region = 'b' WHERE id = 1`,
                `INSERT INTO parted_a VALUES (3, 'a')`,
                `DELETE FROM parted_b`,
            ],
        },
        'a key named as the members of every event are': {
            create: `CREATE TABLE series ("timestamp" timestamptz, operation text, n numeric, PRIMARY KEY ("timestamp", operation))`,
            table: 'series',
            topic: 'series',
            key: ['timestamp', 'operation'],
            changes: [
                `INSERT INTO series VALUES ('2026-01-02 03:04:05.678901+00', 'a', 1), ('infinity', 'b', 2)`,
                `UPDATE series SET n = n + 1 WHERE operation = 'b'`,
                `DELETE FROM series WHERE operation = 'a'`,
            ],
        },
        'a key of one text column, which is all there is': {
            create: 'CREATE TABLE tag (name text PRIMARY KEY)',
            table: 'tag',
            topic: 'tag',
            key: ['name'],
            changes: [`INSERT INTO tag VALUES ('red'), ('{"not": "JSON')`, `UPDATE tag SET name = 'blue' WHERE name = 'red'`, 'DELETE FROM tag'],
        },
        'a key type by which nothing is looked up': {
            create: 'CREATE TABLE measure (x float8 PRIMARY KEY, note text)',
            table: 'measure',
            topic: 'measure',
            key: ['x'],
            changes: [`INSERT INTO measure VALUES (0.1, 'a'), (1e300, 'b')`, `UPDATE measure SET x = 0.2 WHERE x = 0.1`, 'DELETE FROM measure'],
        },
        'a table with a table that inherits from it, whose rows are left out': {
            create: `CREATE TABLE parent (id int PRIMARY KEY); CREATE TABLE heir () INHERITS (parent); INSERT INTO heir VALUES (1)`,
            table: 'parent',
            topic: 'parent',
            key: ['id'],
            changes: ['INSERT INTO parent VALUES (1), (2)', 'DELETE FROM parent WHERE id = 2'],
        },
    };
    for (const [name, { create, table, topic, key, changes }] of Object.entries(kinds))
        test(name, async () => {
            await sql(create);
            await serve(`'${table}', 'web_anon', '${topic}'`);
            const { client, expectRows } = await follow(use.cluster.url(topic), key);
            for (const change of changes) {
                const seen = client.messages.length;
                await sql(change.replace('TABLE_', table));
                await waitFor(`a message after ${change}`, () => client.messages.length > seen);
                await expectRows(`SELECT * FROM ${name.includes('inherits') ? 'ONLY ' : ''}${table}`);
            }
        });

    test('without a primary key, rows of one text column are objects, as all rows are', async () => {
        await sql('CREATE TABLE line (text text)');
        const said = await serve(`'line', 'web_anon'`);
        const advice = said.find(({ message }) => message === 'every change of table "line" sends all its rows again');
        assert.match(advice!.detail, /no primary key/);
        const client = await Subscriber.open(use.cluster.url('line'));
        assert.deepEqual((await client.next()).data, []);
        await sql(`INSERT INTO line VALUES ('not JSON')`);
        assert.deepEqual((await client.next()).data, [{ text: 'not JSON' }]);
        await sql(`INSERT INTO line VALUES ('12345678901234567890.10')`);
        assert.deepEqual((await client.next()).data, [{ text: 'not JSON' }, { text: '12345678901234567890.10' }]);

        // What the hint says makes it keyed.
        const add = advice!.hint.match(/ALTER TABLE .*?ADD PRIMARY KEY \(\.\.\.\)/)![0];
        await sql(add.replace('...', 'text'));
        await serve(`'line', 'web_anon'`);
        assert.equal((await client.closed).code, 4502);
        const { expectRows } = await follow(use.cluster.url('line'), ['text']);
        await sql(`DELETE FROM line WHERE text = 'not JSON'`);
        await expectRows('SELECT * FROM line');
    });

    test('a table that is dropped and made anew is served again by the same call', async () => {
        await sql('CREATE TABLE again (id int PRIMARY KEY)');
        await serve(`'again', 'web_anon'`);
        await sql('DROP TABLE again; CREATE TABLE again (nr int PRIMARY KEY, name text)');
        await serve(`'again', 'web_anon'`);
        const { expectRows } = await follow(use.cluster.url('again'), ['nr']);
        await sql(`INSERT INTO again VALUES (1, 'one')`);
        await expectRows('SELECT * FROM again');
    });

    test('a column that is added later is sent', async () => {
        await sql('CREATE TABLE grows (id int PRIMARY KEY); INSERT INTO grows VALUES (1)');
        await serve(`'grows', 'web_anon'`);
        const { expectRows } = await follow(use.cluster.url('grows'), ['id']);
        await sql('ALTER TABLE grows ADD name text');
        await sql(`UPDATE grows SET name = 'one'`);
        await expectRows('SELECT * FROM grows');
    });
});

describe('row-level security', () => {
    /** Clients that connect from here on have this role. */
    async function become(role: string) {
        await use.cluster.reload({ 'rtd.anonymous_role': role });
        await waitFor(`the role ${role}`, async () => {
            const client = await Subscriber.open(use.cluster.url('whoami'));
            const first = await client.next();
            client.socket.terminate();
            return first.data[0].role === role;
        });
    }

    test('each role gets its own rows; what the WARNING names is what was missing', async () => {
        await sql(`
            SELECT rtd_create_topic('whoami', query => 'SELECT current_user::text AS role, 1 AS n', security => 'invoker');
            SELECT rtd_grant('whoami', role) FROM unnest('{alice,bob,web_anon}'::regrole[]) AS role;
            CREATE SCHEMA closed;
            CREATE TABLE closed.private (id int PRIMARY KEY, reader text, body text);
            INSERT INTO closed.private VALUES (1, 'alice', 'of alice'), (2, 'bob', 'of bob');
            ALTER TABLE closed.private ENABLE ROW LEVEL SECURITY`);
        const bare = await serve(`'closed.private', 'bob'`);
        assert.match(bare[0].detail, /row-level security, so the query runs as the role of each subscriber/);
        assert.deepEqual(
            bare.filter(({ severity }) => severity === 'WARNING').map(({ message }) => message),
            ['role "bob" cannot read table "private" yet', 'table "private" has row-level security and no policy',
                'clients that do not sign in may not subscribe to topic "private"']);
        await sql('CREATE POLICY own ON closed.private USING (reader = current_user)');

        for (const role of ['alice', 'bob']) {
            const said = await serve(`'closed.private', '${role}'`);
            await become(role);
            const refused = await Subscriber.open(use.cluster.url('private'));
            assert.equal((await refused.closed).code, 4403);
            const { hint } = said.find(({ message }) => message === `role "${role}" cannot read table "private" yet`)!;
            assert.match(hint, /^GRANT USAGE ON SCHEMA closed TO \w+; GRANT SELECT ON closed\.private TO \w+;$/);
            await sql(hint);
        }
        const bob = await follow(use.cluster.url('private'), ['id']);
        await become('alice');
        const alice = await follow(use.cluster.url('private'), ['id']);
        await alice.expectRows(`SELECT * FROM closed.private WHERE reader = 'alice'`);
        await bob.expectRows(`SELECT * FROM closed.private WHERE reader = 'bob'`);
        await sql(`UPDATE closed.private SET reader = 'bob', body = 'given to bob' WHERE id = 1`);
        await alice.expectRows(`SELECT * FROM closed.private WHERE reader = 'alice'`);
        await bob.expectRows(`SELECT * FROM closed.private WHERE reader = 'bob'`);
        assert.doesNotMatch(alice.client.texts.join(), /of bob|given to bob/);
        await become('web_anon');
    });

    test('that is enabled later is told by rtd_watched_tables, and in force after a second call', async () => {
        await sql(`CREATE TABLE later (id int PRIMARY KEY, public boolean); GRANT SELECT ON later TO web_anon;
            INSERT INTO later VALUES (1, true), (2, false)`);
        await serve(`'later', 'web_anon'`);
        await sql('ALTER TABLE later ENABLE ROW LEVEL SECURITY; CREATE POLICY public ON later USING (public)');
        const problem = () => use.cluster.value(`SELECT problem FROM rtd_watched_tables WHERE topic = 'later'`);
        assert.match(await problem(), /row-level security, which the topic bypasses/);
        const before = await follow(use.cluster.url('later'), ['id']);
        await serve(`'later', 'web_anon'`);
        assert.equal(await problem(), null);
        assert.equal((await before.client.closed).code, 4502);
        const { expectRows } = await follow(use.cluster.url('later'), ['id']);
        await expectRows('SELECT * FROM later WHERE public');
    });
});

describe('what still keeps clients out is a WARNING with what to do', () => {
    const settings: [string, string, RegExp][] = [
        ['', 'clients that do not sign in are refused', /ALTER SYSTEM SET rtd\.anonymous_role = 'web_anon'; SELECT pg_reload_conf\(\);/],
        ['nobody-here', 'clients that do not sign in are refused', /ALTER SYSTEM SET rtd\.anonymous_role = 'web_anon'/],
        ['alice', 'clients that do not sign in may not subscribe to topic "hinted"', /SELECT rtd_grant\('hinted', 'alice'\)/],
    ];
    for (const [role, message, hint] of settings)
        test(`rtd.anonymous_role = '${role}'`, async () => {
            await sql('CREATE TABLE IF NOT EXISTS hinted (id int PRIMARY KEY)');
            await use.cluster.reload({ 'rtd.anonymous_role': role });
            const session = await use.cluster.connect();
            await waitFor('the setting', async () =>
                (await session.query(`SELECT current_setting('rtd.anonymous_role') AS role`)).rows[0].role === role);
            const said = await serve(`'hinted', 'web_anon'`, session);
            await use.cluster.release(session);
            const warning = said.find(({ severity }) => severity === 'WARNING')!;
            assert.equal(warning.message, message);
            assert.match(warning.hint, hint);
            await use.cluster.reload({ 'rtd.anonymous_role': 'web_anon' });
        });

    test('rtd.database is another one', async () => {
        await sql('CREATE DATABASE elsewhere');
        const session = await use.cluster.connect({ database: 'elsewhere' });
        await session.query('CREATE EXTENSION rtd; CREATE TABLE todo (id int PRIMARY KEY)');
        const said = await serve(`'todo', 'web_anon'`, session);
        await use.cluster.release(session);
        const warning = said.find(({ severity }) => severity === 'WARNING')!;
        assert.match(warning.message, /rtd serves database "app", and this is "elsewhere"/);
        assert.match(warning.hint, /ALTER SYSTEM SET rtd\.database = 'elsewhere'/);
    });
});

test('a database that is not UTF8 is told so, as a server that was made without a locale has it', async () => {
    await sql(`CREATE DATABASE ascii ENCODING 'SQL_ASCII' LOCALE 'C' TEMPLATE template0`);
    const session = await use.cluster.connect({ database: 'ascii' });
    await session.query('CREATE EXTENSION rtd; CREATE TABLE todo (id int PRIMARY KEY)');
    const said = await serve(`'todo', 'web_anon'`, session);
    await use.cluster.release(session);
    const warning = said.find(({ severity }) => severity === 'WARNING')!;
    assert.equal(warning.message, 'no client can subscribe yet: the encoding of database "ascii" is SQL_ASCII, and rtd serves UTF8');
    assert.match(warning.hint, /ENCODING 'UTF8' TEMPLATE template0/);
});

test('the same call again waits for no reader of the table, so a deployment may make it every time', async () => {
    await sql('CREATE TABLE read_all_day (id int PRIMARY KEY)');
    await serve(`'read_all_day', 'web_anon'`);
    const reader = await use.cluster.connect();
    await reader.query('BEGIN; SELECT * FROM read_all_day');
    const session = await use.cluster.connect();
    await session.query(`SET lock_timeout = '5 s'`);
    const [notice] = await serve(`'read_all_day', 'alice'`, session);
    assert.match(notice.message, /already$/);
    await reader.query('COMMIT');
    await use.cluster.release(session);
    await use.cluster.release(reader);
    // One whose trigger is disabled is repaired.
    await sql('ALTER TABLE read_all_day DISABLE TRIGGER "rtd_read-all-day"');
    await serve(`'read_all_day', 'web_anon'`);
    const { expectRows } = await follow(use.cluster.url('read-all-day'), ['id']);
    await sql('INSERT INTO read_all_day VALUES (1)');
    await expectRows('SELECT * FROM read_all_day');
});

describe('the address in the NOTICE', () => {
    test('is one that the gateway listens on, if that is not localhost', async () => {
        await sql('CREATE TABLE addressed (id int PRIMARY KEY)');
        await use.cluster.reload({ 'rtd.listen_addresses': '127.0.0.2' });
        const session = await use.cluster.connect();
        await waitFor('the setting', async () =>
            (await session.query(`SELECT current_setting('rtd.listen_addresses') AS is`)).rows[0].is === '127.0.0.2');
        const [{ hint }] = await serve(`'addressed', 'web_anon'`, session);
        await use.cluster.release(session);
        const url = hint.match(/ws:\/\/\S+/)![0];
        assert.equal(url, `ws://127.0.0.2:${use.cluster.rtdPort}/ws/addressed`);
        const client = await waitFor('a client', () => Subscriber.open(url).catch(() => undefined));
        assert.equal((await client.next()).kind, 'snapshot');
        await use.cluster.reload({ 'rtd.listen_addresses': 'localhost' });
        await use.cluster.ready();
    });

    test('has the scheme of TLS where the port speaks it', async () => {
        const session = await use.cluster.connect();
        await use.cluster.reload({ 'rtd.ssl_cert_file': 'none.crt', 'rtd.ssl_key_file': 'none.key' });
        await waitFor('the setting', async () =>
            (await session.query(`SELECT current_setting('rtd.ssl_key_file') AS is`)).rows[0].is === 'none.key');
        await sql('CREATE TABLE secured (id int PRIMARY KEY)');
        const [{ hint }] = await serve(`'secured', 'web_anon'`, session);
        await use.cluster.release(session);
        assert.match(hint, /wss:\/\/localhost:\d+\/ws\/secured\n.*https:\/\/localhost:\d+\/sse\/secured$/);
        await use.cluster.reload({ 'rtd.ssl_cert_file': '', 'rtd.ssl_key_file': '' });
    });
});

test('two sessions that serve one table at the same time make one topic', async () => {
    await sql('CREATE TABLE twice (id int PRIMARY KEY)');
    const [first, second] = [await use.cluster.connect(), await use.cluster.connect()];
    await first.query(`BEGIN; SELECT rtd_serve_table('twice', 'web_anon')`);
    const waiting = second.query(`SELECT rtd_serve_table('twice', 'alice')`);
    await waitFor('the second to wait', async () =>
        (await sql(`SELECT FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND query LIKE '%rtd_serve_table%'`)).length);
    await first.query('COMMIT');
    await waiting;
    assert.deepEqual(await sql(`SELECT role::text FROM rtd_topic_grant WHERE topic = 'twice' ORDER BY 1`), [{ role: 'alice' }, { role: 'web_anon' }]);
    const { expectRows } = await follow(use.cluster.url('twice'), ['id']);
    await sql('INSERT INTO twice VALUES (1)');
    await expectRows('SELECT * FROM twice');
});
