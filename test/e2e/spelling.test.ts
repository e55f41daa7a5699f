// The same value in another spelling is the same instance: 042 is 42, TRUE is true. A client that
// wrote a value otherwise than the server does used to get the right snapshot, and then silence.

import assert from 'node:assert/strict';
import { after, describe, test } from 'node:test';
import { createTopic, messagesUntilNow, subscribe, subscriberCount, useCluster } from '../lib/harness';
import { closeMultiplexed, Multiplexed } from '../lib/multiplexed';
import { Subscriber } from '../lib/subscriber';
import { waitFor, within } from '../lib/wait';

const use = useCluster({ settings: { 'rtd.resync_interval': '1h', timezone: 'UTC' } }, (cluster) =>
    cluster.sql(`
        CREATE EXTENSION citext;
        CREATE COLLATION ignore_case (provider = icu, locale = 'und-u-ks-level2', deterministic = false);
        CREATE COLLATION ignore_accents (provider = icu, locale = 'und-u-ks-level1', deterministic = false)`),
);
const sql = (text: string, values?: unknown[]) => use.cluster.sql(text, values);

after(closeMultiplexed);

/** A table with a column p of the type, and a state topic of the rows in which it is the parameter. */
async function stateTopic(name: string, type: string, where = 'p = $1') {
    const table = name.replace(/-/g, '_');
    await sql(`CREATE TABLE ${table} (id int GENERATED ALWAYS AS IDENTITY, p ${type})`);
    await createTopic(
        use.cluster,
        name,
        `query => $q$SELECT count(*) AS n FROM ${table} WHERE ${where}$q$, parameters => '{p}', throttle => '0'`,
    );
    await sql(`SELECT rtd_watch_table('${table}', '${name}')`);
    return table;
}

const count = (n: number) => (message: any) => message.data[0]?.n === n;

async function isClosed(subscriber: Subscriber, code: number, sentence: RegExp) {
    const closed = await within('the close', subscriber.closed);
    assert.equal(closed.code, code, closed.reason);
    assert.match(closed.reason, sentence);
}

describe('a subscriber that spells the value otherwise hears of changes', () => {
    const cases: [name: string, type: string, asked: string, written: string, shown: string][] = [
        ['a uuid in capitals', 'uuid', 'A0EEBC99-9C0B-4EF8-BB6D-6BB9BD380A11', 'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11', 'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11'],
        ['an integer with a leading zero', 'int', '042', '42', '42'],
        ['a decimal without its zeros', 'numeric(8,2)', '42', '42.00', '42'],
        ['a decimal with other zeros', 'numeric', '42.000', '42.0', '42'],
        ['TRUE', 'boolean', 'TRUE', 't', 'true'],
        ['yes', 'boolean', 'yes', 't', 'true'],
        ['a date without zeros', 'date', '2026-1-5', '2026-01-05', '2026-01-05'],
        ['a date in words', 'date', 'January 5, 2026', '2026-01-05', '2026-01-05'],
        ['citext', 'citext', 'Ann@Example.org', 'ann@example.ORG', 'ann@example.org'],
        ['a time as messages show it', 'timestamptz', '2026-01-05T00:00:00+00:00', '2026-01-05 01:00+01', '2026-01-05T00:00:00+00:00'],
        ['a time in another zone', 'timestamptz', '2026-01-05 05:45+05:45', '2026-01-05 00:00Z', '2026-01-05T00:00:00+00:00'],
        ['an interval of hours', 'interval', '24:00', '1 day', '1 day'],
        ['a month of days', 'interval', '30 days', '1 mon', '30 days'],
        ['minus zero', 'float8', '-0', '0', '0'],
        ['blanks at the end', 'char(8)', 'ab  ', 'ab', 'ab'],
        ['an address with its length', 'inet', '10.0.0.1/32', '10.0.0.1', '10.0.0.1'],
        ['a range with other bounds', 'int4range', '[1,4]', '[1,5)', '[1,5)'],
        ['money', 'money', '1000', '$1,000.00', '$1,000.00'],
    ];
    for (const [index, [name, type, asked, written, shown]] of cases.entries())
        test(`${name}`, async () => {
            const table = await stateTopic(`spelled-${index}`, type);
            const client = await subscribe(use.cluster, `spelled-${index}`, asked);
            assert.deepEqual((await client.next()).data, [{ n: 0 }]);
            await sql(`INSERT INTO ${table} (p) VALUES ($1::text::${type})`, [written]);
            assert.deepEqual((await client.next(count(1))).params, [shown]);
        });

    test('a domain, whose checks are the query worker’s to run', async () => {
        await sql(`CREATE FUNCTION is_small(n int) RETURNS boolean LANGUAGE plpgsql AS
                   $$ BEGIN RAISE LOG 'checked by %', (SELECT backend_type FROM pg_stat_activity WHERE pid = pg_backend_pid()); RETURN n < 100; END $$;
                   CREATE DOMAIN small AS int CHECK (is_small(VALUE))`);
        const table = await stateTopic('of-domain', 'small', 'p = $1::small');
        const client = await subscribe(use.cluster, 'of-domain', '007');
        await sql(`INSERT INTO ${table} (p) VALUES (7)`);
        assert.deepEqual((await client.next(count(1))).params, ['7']);
        await isClosed(await Subscriber.open(use.cluster.url('of-domain', '100')), 4400, /parameter 1 .* violates check constraint/);
        assert.match(use.cluster.log(), /checked by rtd query/);
        assert.doesNotMatch(use.cluster.log(), /checked by rtd hub/);
    });

    test('a domain of the column', async () => {
        await sql(`CREATE DOMAIN day AS date CHECK (VALUE > '2000-01-01')`);
        const table = await stateTopic('of-day', 'day');
        const client = await subscribe(use.cluster, 'of-day', '2026-1-5');
        await sql(`SET DateStyle TO 'German, DMY'; INSERT INTO ${table} (p) VALUES ('2026-01-05'); RESET DateStyle`);
        assert.deepEqual((await client.next(count(1))).params, ['2026-01-05']);
    });

    test('a collation that ignores case', async () => {
        const table = await stateTopic('no-case', 'text COLLATE ignore_case');
        const client = await subscribe(use.cluster, 'no-case', 'Straße');
        const other = await subscribe(use.cluster, 'no-case', 'STRAßE');
        await sql(`INSERT INTO ${table} (p) VALUES ('straße')`);
        const message = await client.next(count(1));
        assert.equal((await other.next(count(1))).id, message.id, 'one instance');
        assert.deepEqual(message.params, ['Straße'], 'whoever came first');
    });

    test('a collation that only the query names', async () => {
        const table = await stateTopic('no-accents', 'text', 'p COLLATE ignore_accents = $1');
        const client = await subscribe(use.cluster, 'no-accents', 'Ärger');
        await sql(`INSERT INTO ${table} (p) VALUES ('arger')`);
        await client.next(count(1));
    });

    test('a query that compares otherwise than for equality', async () => {
        const wheres = ['lower(p) = lower($1)', 'lower(p) = $1', 'p ILIKE $1', `p = trim($1)`, `p = ANY (string_to_array($1, ','))`];
        for (const [index, where] of wheres.entries()) {
            const table = await stateTopic(`otherwise-${index}`, 'text', where);
            const client = await subscribe(use.cluster, `otherwise-${index}`, where.startsWith('lower(p) = $1') ? 'abc' : where.includes('lower') || where.includes('ILIKE') ? 'aBC' : where.includes('trim') ? ' Abc ' : 'x,Abc');
            await client.next(count(0));
            await sql(`INSERT INTO ${table} (p) VALUES ('Abc')`);
            await client.next(count(1));
        }
    });

    test('a parameter that the query casts', async () => {
        const table = await stateTopic('casts', 'int', 'p = $1::text::int');
        const client = await subscribe(use.cluster, 'casts', '042');
        await sql(`INSERT INTO ${table} (p) VALUES (42)`);
        await client.next(count(1));
    });

    test('an array of decimals, found by the type’s own hash', async () => {
        const table = await stateTopic('decimals', 'numeric[]');
        const client = await subscribe(use.cluster, 'decimals', '{1.0,2}');
        await sql(`INSERT INTO ${table} (p) VALUES ('{1,2.00}')`);
        await client.next(count(1));
    });

    test('and one that spells another value does not', async () => {
        const table = await stateTopic('exact', 'numeric');
        const client = await subscribe(use.cluster, 'exact', '42.5');
        await client.next(count(0));
        const position = use.cluster.logPosition();
        await sql(`INSERT INTO ${table} (p) VALUES (42), (42.05)`);
        await sql(`INSERT INTO ${table} (p) VALUES (42.50)`);
        await client.next(count(1));
        assert.equal(client.messages.length, 2, use.cluster.logSince(position));
    });
});

describe('one instance', () => {
    test('is shared by all spellings', async () => {
        const table = await stateTopic('shared', 'int');
        const clients = [];
        for (const asked of ['7', '07', '+7', ' 7']) clients.push(await subscribe(use.cluster, 'shared', asked));
        assert.equal(await subscriberCount(use.cluster, 'shared', ['0007']), 4);
        await sql(`INSERT INTO ${table} (p) VALUES (7)`);
        const ids = new Set();
        for (const client of clients) ids.add((await client.next(count(1))).id);
        assert.equal(ids.size, 1);
    });

    test('says its canonical parameters, and what was asked for', async () => {
        await stateTopic('told', 'int');
        const client = await Multiplexed.open(use.cluster);
        const answer = await client.ask({ action: 'subscribe', topic: 'told', params: ['042'] });
        assert.deepEqual([answer.type, answer.params, answer.data.asked], ['rtd_subscribed', ['42'], ['042']], answer.text);
        assert.deepEqual((await client.next((m) => m.kind === 'snapshot')).params, ['42']);
        const plain = await client.ask({ action: 'subscribe', topic: 'told', params: ['43'] });
        assert.deepEqual([plain.params, plain.data.asked], [['43'], undefined], plain.text);
    });

    test('cannot be subscribed twice on one connection, and is unsubscribed in either spelling', async () => {
        await stateTopic('twice', 'int');
        const client = await Multiplexed.open(use.cluster);
        for (const spelling of ['042', '42']) {
            await client.subscribe('twice', '042');
            await client.expectError({ action: 'subscribe', topic: 'twice', params: ['42'] }, 4400, /subscribed already/);
            await client.expectError({ action: 'subscribe', topic: 'twice', params: ['0042'] }, 4400, /subscribed already/);
            assert.equal(await subscriberCount(use.cluster, 'twice', ['42']), 1);
            const answer = await client.ask({ action: 'unsubscribe', topic: 'twice', params: [spelling] });
            assert.deepEqual([answer.type, answer.params], ['rtd_unsubscribed', ['42']], answer.text);
            await waitFor('nobody', async () => (await subscriberCount(use.cluster, 'twice', ['42'])) === 0);
        }
    });

    test('is resumed in another spelling', async () => {
        await createTopic(use.cluster, 'resumed', `parameters => '{p}'`);
        await sql(`CREATE TABLE resumed (id int, p uuid); SELECT rtd_watch_table('resumed', 'resumed', columns => '{id}')`);
        const id = 'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11';
        const client = await subscribe(use.cluster, 'resumed', id);
        await sql(`INSERT INTO resumed VALUES (1, '${id}')`);
        const since = (await client.next()).id;
        await client.close();
        await sql(`INSERT INTO resumed VALUES (2, '${id}')`);
        const back = await Subscriber.open(`${use.cluster.url('resumed', id.toUpperCase())}?since=${since}`);
        assert.equal((await back.next()).data.id, 2);
    });
});

describe('a text that is no value of the type', () => {
    test('is refused on every transport with the server’s sentence', async () => {
        await stateTopic('typed', 'int');
        const sentence = /^parameter 1 of topic "typed": invalid input syntax for type integer: "abc"$/;
        await isClosed(await Subscriber.open(use.cluster.url('typed', 'abc')), 4400, sentence);
        const client = await Multiplexed.open(use.cluster);
        await client.expectError({ action: 'subscribe', topic: 'typed', params: ['abc'] }, 4400, sentence);
        for (const path of ['api/v1/topics', 'sse']) {
            const answer = await fetch(`${use.cluster.httpUrl}/${path}/typed/abc`);
            assert.equal(answer.status, 400);
            assert.match(((await answer.json()) as any).error, sentence);
        }
        await isClosed(await Subscriber.open(use.cluster.url('typed', '99999999999')), 4400, /out of range for type integer/);
    });

    test('is an error of rtd_broadcast() and rtd_refresh(), and of a client that publishes', async () => {
        await stateTopic('sent', 'uuid');
        const refused = { code: '22P02', message: /^parameter 1 of topic "sent": invalid input syntax for type uuid: "abc"$/ };
        await assert.rejects(sql(`SELECT rtd_broadcast('sent', '1', '{abc}')`), refused);
        await assert.rejects(sql(`SELECT rtd_refresh('sent', '{abc}')`), refused);
        await sql(`SELECT rtd_grant('sent', 'web_anon', 'publish')`);
        const client = await Multiplexed.open(use.cluster);
        await client.expectError({ action: 'publish', topic: 'sent', params: ['abc'], data: 1 }, 4400, /invalid input syntax for type uuid/);
    });

    test('may not grow without bound', async () => {
        await stateTopic('huge', 'numeric');
        await isClosed(await Subscriber.open(use.cluster.url('huge', '1e100000')), 4400, /longer than 8192 bytes/);
        const client = await subscribe(use.cluster, 'huge', '1e1000');
        assert.deepEqual((await client.next()).params, ['1' + '0'.repeat(1000)]);
    });
});

describe('what is sent in another spelling arrives', () => {
    test('from rtd_broadcast(), from a client, and from a channel', async () => {
        await createTopic(use.cluster, 'ways', `parameters => '{p}'`);
        await sql(`CREATE TABLE ways (id int, p int); SELECT rtd_watch_table('ways', 'ways', columns => '{id}');
                   SELECT rtd_listen('ways_changed', 'ways', '{p}'); SELECT rtd_grant('ways', 'web_anon', 'publish')`);
        const client = await subscribe(use.cluster, 'ways', '042');
        await sql(`SELECT rtd_broadcast('ways', '"sql"', '{0042}')`);
        assert.equal((await client.next()).data, 'sql');
        const publisher = await Multiplexed.open(use.cluster);
        await publisher.ask({ action: 'publish', topic: 'ways', params: ['+42'], data: 'client' });
        assert.equal((await client.next()).data, 'client');
        await sql(`NOTIFY ways_changed, '{"p": "00042", "n": 1}'`);
        assert.equal((await client.next()).data.n, 1);
        await sql(`NOTIFY ways_changed, '{"p": 42, "n": 2}'`);
        assert.equal((await client.next()).data.n, 2);
        await sql(`INSERT INTO ways VALUES (5, 42)`);
        assert.equal((await client.next()).data.id, 5);
        assert.deepEqual(client.messages.map((message) => message.params[0]), Array(5).fill('42'));
    });

    test('to a retained and to a durable topic', async () => {
        await sql(`CREATE TABLE kept (id int, p numeric)`);
        for (const [topic, options] of [['kept', ''], ['lasting', `, durable => true`]]) {
            await createTopic(use.cluster, topic, `parameters => '{p}'${options}`);
            await sql(`SELECT rtd_watch_table('kept', '${topic}', columns => '{id}')`);
        }
        await sql(`INSERT INTO kept VALUES (1, 42.00); SELECT rtd_broadcast('lasting', '2', '{042.0}')`);
        const retained = await subscribe(use.cluster, 'kept', '42.0');
        assert.deepEqual([(await retained.next()).data.id, retained.messages[0].params], [1, ['42']]);
        const durable = await subscribe(use.cluster, 'lasting', '+42');
        await sql(`SELECT rtd_broadcast('lasting', '3', '{42.000}')`);
        assert.deepEqual((await durable.next((message) => message.data === 3)).params, ['42']);
        await use.cluster.restart();
        await use.cluster.ready();
        const after = await Subscriber.open(use.cluster.url('kept', '042'));
        assert.equal((await after.next()).data.id, 1);
    });

    test('a broken value on a channel is told in the log, and changes nothing', async () => {
        await createTopic(use.cluster, 'broken-channel', `parameters => '{p}'`);
        await sql(`CREATE TABLE broken_channel (id int, p int); SELECT rtd_watch_table('broken_channel', 'broken-channel', columns => '{id}');
                   SELECT rtd_listen('broken', 'broken-channel', '{p}')`);
        const client = await subscribe(use.cluster, 'broken-channel', '1');
        await sql(`NOTIFY broken, '{"p": "abc"}'; NOTIFY broken, '{"p": "01"}'`);
        assert.deepEqual((await client.next()).data, { p: '01' });
        await use.cluster.waitForLog(/parameter 1 of topic "broken-channel": invalid input syntax/);
    });
});

describe('a topic without a query', () => {
    test('takes values for equal that the column’s collation does', async () => {
        await sql(`CREATE TABLE room (id int, name text COLLATE ignore_case)`);
        for (const [topic, options] of [['room', ''], ['room-now', ', retain => false']]) {
            await createTopic(use.cluster, topic, `parameters => '{name}'${options}`);
            await sql(`SELECT rtd_watch_table('room', '${topic}', columns => '{id}')`);
        }
        const now = await subscribe(use.cluster, 'room-now', 'LOBBY');
        await sql(`INSERT INTO room VALUES (1, 'Lobby')`);
        assert.deepEqual((await now.next()).params, ['LOBBY'], 'whoever came first');
        const client = await Multiplexed.open(use.cluster);
        const answer = await client.subscribe('room', 'lobby');
        const retained = await client.next((message) => message.kind === 'event');
        assert.deepEqual([retained.data.id, retained.params], [1, answer.params]);
        await sql(`SELECT rtd_broadcast('room', '"all"', '{lOBBY}')`);
        assert.equal((await client.next((message) => message.kind === 'event')).data, 'all');
        await use.cluster.restart();
        await use.cluster.ready();
        const again = await Multiplexed.open(use.cluster);
        assert.deepEqual((await again.subscribe('room', 'loBBy')).params, ['loBBy']);
        const stored = await again.next((message) => message.kind === 'event');
        assert.deepEqual([stored.data, stored.params], ['all', ['loBBy']]);
    });
});

describe('the type of a parameter', () => {
    test('that is dropped fails no write', async () => {
        await sql(`CREATE TYPE colour AS ENUM ('red', 'blue')`);
        const table = await stateTopic('dropped-type', 'text', 'p = ($1::colour)::text');
        const client = await subscribe(use.cluster, 'dropped-type', 'red');
        await client.next(count(0));
        await sql(`INSERT INTO ${table} (p) VALUES ('red')`);
        await client.next(count(1));
        await sql(`DROP TYPE colour`);
        const writer = await use.cluster.connect();
        await writer.query(`INSERT INTO ${table} (p) VALUES ('red')`);
        assert.equal(await use.cluster.value(`SELECT count(*)::int FROM ${table}`), 2);
        await createTopic(use.cluster, 'dropped-collation', `parameters => '{p}'`);
        await sql(`CREATE COLLATION going (provider = icu, locale = 'und-u-ks-level2', deterministic = false);
                   CREATE TABLE dropped_collation (id int, p text COLLATE going); SELECT rtd_watch_table('dropped_collation', 'dropped-collation', columns => '{id}')`);
        const event = await subscribe(use.cluster, 'dropped-collation', 'x');
        await sql(`ALTER TABLE dropped_collation ALTER p TYPE text COLLATE "C"; DROP COLLATION going`);
        await (await use.cluster.connect()).query(`INSERT INTO dropped_collation VALUES (1, 'x')`);
        const came = await Promise.race([event.next(), event.closed]);
        assert.ok('code' in came ? came.code === 4502 : came.data.id === 1);
    });

    test('of a topic without a query is that of its watches, one that has the values of all', async () => {
        const typeOf = async () => (await sql(`SELECT parameter_types::text AS t FROM rtd_topics WHERE name = 'watched-types'`))[0].t;
        await createTopic(use.cluster, 'watched-types', `parameters => '{p}'`);
        await sql(`CREATE TABLE wt1 (id int, p int); CREATE TABLE wt2 (id int, p bigint); CREATE TABLE wt3 (id int, p text)`);
        assert.equal(await typeOf(), '{text}');
        const types = [];
        for (const table of ['wt1', 'wt2', 'wt3']) {
            await sql(`SELECT rtd_watch_table('${table}', 'watched-types', columns => '{id}')`);
            types.push(await typeOf());
        }
        await sql(`SELECT rtd_unwatch_table('wt3', 'watched-types')`);
        types.push(await typeOf());
        assert.deepEqual(types, ['{integer}', '{bigint}', '{text}', '{bigint}']);
    });

    test('that comes late keeps those whose parameters it leaves as they are, and sends the others back', async () => {
        await createTopic(use.cluster, 'late', `parameters => '{p}'`);
        const [plain, zero, bad] = [await subscribe(use.cluster, 'late', '1'), await subscribe(use.cluster, 'late', '01'), await subscribe(use.cluster, 'late', 'abc')];
        await sql(`CREATE TABLE late (id int, p int); SELECT rtd_watch_table('late', 'late', columns => '{id}')`);
        await isClosed(zero, 4502, /altered/);
        await isClosed(bad, 4502, /altered/);
        const back = await subscribe(use.cluster, 'late', '01');
        await sql(`INSERT INTO late VALUES (1, 1)`);
        for (const client of [plain, back]) assert.equal((await client.next()).data.id, 1);
    });

    test('follows ALTER TABLE', async () => {
        const table = await stateTopic('retyped', 'int');
        await isClosed(await Subscriber.open(use.cluster.url('retyped', 'abc')), 4400, /integer/);
        const client = await subscribe(use.cluster, 'retyped', '42');
        await sql(`ALTER TABLE ${table} ALTER p TYPE text`);
        await sql(`INSERT INTO ${table} (p) VALUES ('abc'), ('042')`);
        const text = await subscribe(use.cluster, 'retyped', 'abc');
        await text.next(count(1));
        await sql(`INSERT INTO ${table} (p) VALUES ('abc'), ('42')`);
        await text.next(count(2));
        await client.next(count(1));
        await sql(`DELETE FROM ${table} WHERE p = 'abc'; ALTER TABLE ${table} ALTER p TYPE numeric USING p::numeric`);
        const decimal = await subscribe(use.cluster, 'retyped', '42.00');
        await decimal.next(count(2));
        await sql(`INSERT INTO ${table} (p) VALUES (42.0)`);
        await decimal.next(count(3));
        await client.next(count(3));
    });

    test('survives a query that DDL broke, and the table that is made anew', async () => {
        const table = await stateTopic('remade', 'int');
        await sql(`DROP TABLE ${table}`);
        await sql(`CREATE TABLE ${table} (id int GENERATED ALWAYS AS IDENTITY, p numeric); SELECT rtd_watch_table('${table}', 'remade')`);
        const client = await subscribe(use.cluster, 'remade', '4.20');
        await sql(`INSERT INTO ${table} (p) VALUES (4.2)`);
        assert.deepEqual((await client.next(count(1))).params, ['4.2']);
    });
});

describe('what the writer has set changes nothing', () => {
    const settings = `SET DateStyle TO 'German, DMY'; SET TimeZone TO 'Asia/Kathmandu'; SET IntervalStyle TO 'iso_8601';
        SET extra_float_digits TO '-10'; SET bytea_output TO 'escape'; SET quote_all_identifiers TO on; SET search_path TO pg_catalog, public`;
    const columns = `d date, ts timestamp, tstz timestamptz, i interval, f float8, b bytea, tstzs timestamptz[], r tstzrange, dr daterange, c regclass`;
    const values = `'2026-01-05', '2026-01-05 12:00', '2026-01-05 12:00+00', '1 day 02:00', 0.1::float8 + 0.2, '\\x00ff',
        '{2026-01-05 12:00+00}', '[2026-01-05 12:00+00,)', '[2026-01-05,2026-01-07)', 'pg_class'`;
    const names = columns.split(', ').map((column) => column.split(' ')[0]);

    test('of an event’s bytes, a NOTIFY payload’s and an audit row’s', async () => {
        await sql(`CREATE TABLE bytes_of (id int, ${columns}, PRIMARY KEY (id, tstz, d, i, f, b))`);
        await createTopic(use.cluster, 'bytes-of');
        await sql(`SELECT rtd_watch_table('bytes_of', 'bytes-of', columns => '{id,${names.join(',')}}', channel => 'bytes_of', audit => true)`);
        const client = await subscribe(use.cluster, 'bytes-of');
        const listener = await use.cluster.connect();
        const payloads: string[] = [];
        listener.on('notification', (notification) => payloads.push(notification.payload!));
        await listener.query('LISTEN bytes_of');
        const writer = await use.cluster.connect();
        await writer.query(`INSERT INTO bytes_of VALUES (1, ${values})`);
        await writer.query(settings);
        await writer.query(`INSERT INTO public.bytes_of VALUES (1, ${values.replace('2026-01-05 12:00+00', '2026-01-05 12:00:00.000001+00')})`);
        await writer.query(`DELETE FROM public.bytes_of`);
        await client.next((message) => message.data.operation === 'DELETE');
        await waitFor('four notifications', () => payloads.length >= 4);
        const bytes = (text: string) => text.replace(/.*"id": 1, /, '').replace(/, "timestamp": "[^"]*"}.*/, '').replaceAll('.000001', '');
        assert.equal(new Set(client.texts.map(bytes)).size, 1, client.texts.join('\n'));
        assert.equal(new Set(payloads.map(bytes)).size, 1, payloads.join('\n'));
        assert.match(client.texts[0], /"tstz": "2026-01-05T12:00:00\+00:00"/);
        assert.match(client.texts[0], /"f": 0\.30000000000000004/);
        const audited = await sql(`SELECT DISTINCT replace(key::text, '.000001', '') AS key FROM rtd_audit_log WHERE relation LIKE '%bytes_of'`);
        assert.equal(audited.length, 1, JSON.stringify(audited));
    });

    test('of which instance an event is for, and of which row of a keyed topic', async () => {
        const writer = await use.cluster.connect();
        await writer.query(settings);
        for (const [name, type, value] of [
            ['set-date', 'date', '2026-01-05'],
            ['set-tstz', 'timestamptz', '2026-01-05T12:00:00+00:00'],
            ['set-float', 'float8', '0.30000000000000004'],
            ['set-bytea', 'bytea', '\\x00ff'],
            ['set-interval', 'interval', '1 day 02:00:00'],
            ['set-range', 'tstzrange', '["2026-01-05 12:00:00+00",)'],
        ]) {
            const table = await stateTopic(name, type);
            const client = await subscribe(use.cluster, name, value);
            await writer.query(`INSERT INTO public.${table} (p) VALUES ('${value}')`);
            assert.deepEqual((await client.next(count(1))).params, [value]);
        }
        await sql(`CREATE DOMAIN keyday AS date; CREATE TABLE keyed_day (d keyday PRIMARY KEY, n int)`);
        await createTopic(use.cluster, 'keyed-day', `query => 'SELECT d, n FROM keyed_day', key => '{d}'`);
        await sql(`SELECT rtd_watch_table('keyed_day', 'keyed-day')`);
        const client = await subscribe(use.cluster, 'keyed-day');
        await client.next();
        await writer.query(`INSERT INTO public.keyed_day VALUES ('2026-01-05', 1)`);
        assert.deepEqual((await client.next()).data, { upsert: [{ d: '2026-01-05', n: 1 }], remove: [] });
    });

    test('and what the database sets changes no query’s result', async () => {
        await sql(`CREATE TABLE styles (id int, d date, i interval, b bytea, f float8); INSERT INTO styles VALUES (1, '2026-01-05', '1 day', '\\xff', 0.1)`);
        await createTopic(use.cluster, 'styles', `query => 'SELECT d::text AS d, i, b, f::text AS f FROM styles'`);
        await sql(`ALTER DATABASE app SET DateStyle TO 'German'; ALTER DATABASE app SET IntervalStyle TO 'iso_8601';
                   ALTER DATABASE app SET bytea_output TO 'escape'; ALTER DATABASE app SET extra_float_digits TO '-15'`);
        await use.cluster.restart();
        await use.cluster.ready();
        const client = await Subscriber.open(use.cluster.url('styles'));
        assert.deepEqual((await client.next()).data, [{ d: '2026-01-05', i: '1 day', b: '\\xff', f: '0.1' }]);
        await messagesUntilNow(use.cluster, client, 'styles');
    });
});
