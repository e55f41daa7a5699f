// Keyed topics: all rows first, then what changed, read from the tables and never from an event.

import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { escapeLiteral } from 'pg';
import { createTopic, useCluster } from '../lib/harness';
import { KeyedRows, Row } from '../lib/keyed_client';
import { Envelope, Subscriber } from '../lib/subscriber';
import { waitFor } from '../lib/wait';

const use = useCluster({ settings: { 'rtd.resync_interval': '1h' } });

/** A client of a keyed topic and the rows it has. */
class Client {
    readonly rows: KeyedRows;
    private subscriber!: Subscriber;

    private constructor(key: string[]) {
        this.rows = new KeyedRows(key);
    }

    static async open(topic: string, key: string[], ...params: string[]): Promise<Client> {
        const client = new Client(key);
        client.subscriber = await Subscriber.open(use.cluster.url(topic, ...params), {}, (message) => client.rows.take(message));
        const first = await client.subscriber.next();
        assert.equal(first.kind, 'snapshot');
        return client;
    }

    /** The next message, which is a delta with these rows and keys, whatever their order. */
    async expectDelta(upsert: Row[], remove: Row[] = [], deadlineMs?: number): Promise<Envelope> {
        const message = await this.subscriber.next(undefined, deadlineMs);
        assert.equal(message.kind, 'delta');
        assert.deepEqual(sorted(message.data.upsert), sorted(upsert));
        assert.deepEqual(sorted(message.data.remove), sorted(remove));
        return message;
    }

    async expectRows(query: string) {
        const rows = await use.cluster.sql(query);
        await waitFor('the rows of the query', () => this.rows.difference(rows) === undefined).catch((error) => {
            throw new Error(`${error.message}: ${this.rows.difference(rows)}`);
        });
    }

    /** No message came but those that were expected: one more change, and its message is the next. */
    next(predicate?: (message: Envelope) => unknown) {
        return this.subscriber.next(predicate);
    }

    get messages() {
        return this.subscriber.messages;
    }
}

const sorted = (rows: Row[]) => rows.map((row) => JSON.stringify(Object.entries(row).sort())).sort();
const sql = (text: string, values?: unknown[]) => use.cluster.sql(text, values);

async function keyedTopic(name: string, query: string, key: string[], options = '') {
    await createTopic(use.cluster, name, `query => ${escapeLiteral(query)}, key => '{${key}}'${options && `, ${options}`}`);
}

describe('a keyed topic', () => {
    test('sends all rows, then each change as a delta', async () => {
        await sql(`CREATE TABLE first (id int PRIMARY KEY, note text); INSERT INTO first VALUES (1, 'one'), (2, 'two')`);
        await keyedTopic('first', 'SELECT * FROM first', ['id']);
        await sql(`SELECT rtd_watch_table('first')`);
        const client = await Client.open('first', ['id']);
        assert.deepEqual(sorted(client.messages[0].data), sorted([{ id: 1, note: 'one' }, { id: 2, note: 'two' }]));
        await sql(`INSERT INTO first VALUES (3, 'three')`);
        const message = await client.expectDelta([{ id: 3, note: 'three' }]);
        assert.equal(message.source, 'event');
        assert.equal(message.type, 'first_update');
        await sql(`UPDATE first SET note = 'zwei' WHERE id = 2`);
        await client.expectDelta([{ id: 2, note: 'zwei' }]);
        await sql('DELETE FROM first WHERE id = 1');
        await client.expectDelta([], [{ id: 1 }]);
        await sql('UPDATE first SET id = 9 WHERE id = 3');
        await client.expectDelta([{ id: 9, note: 'three' }], [{ id: 3 }]);
        const late = await Client.open('first', ['id']);
        assert.equal(late.messages[0].id, client.messages.at(-1)!.id, 'a late client has the state of the newest message');
        assert.deepEqual([...late.rows.rows.values()].length, 2);
    });

    test('one transaction is one message, with what it left', async () => {
        await sql(`CREATE TABLE whole (id int PRIMARY KEY, n int); INSERT INTO whole SELECT id, 0 FROM generate_series(1, 20) id`);
        await keyedTopic('whole', 'SELECT * FROM whole', ['id']);
        await sql(`SELECT rtd_watch_table('whole')`);
        const client = await Client.open('whole', ['id']);
        await sql(`BEGIN;
            UPDATE whole SET n = 1 WHERE id <= 3; UPDATE whole SET n = 2 WHERE id = 2; DELETE FROM whole WHERE id = 4;
            INSERT INTO whole VALUES (30, 1); DELETE FROM whole WHERE id = 30;
            SAVEPOINT s; UPDATE whole SET n = 7 WHERE id = 10; ROLLBACK TO s; COMMIT`);
        await client.expectDelta([{ id: 1, n: 1 }, { id: 2, n: 2 }, { id: 3, n: 1 }], [{ id: 4 }]);
        await sql('UPDATE whole SET n = 5 WHERE id = 20');
        await client.expectDelta([{ id: 20, n: 5 }]);
    });

    test('a change that leaves the row as it was is not sent', async () => {
        await sql(`CREATE TABLE same (id int PRIMARY KEY, shown int, hidden int); INSERT INTO same VALUES (1, 1, 1), (2, 1, 1)`);
        await keyedTopic('same', 'SELECT id, shown FROM same', ['id']);
        await sql(`SELECT rtd_watch_table('same')`);
        const client = await Client.open('same', ['id']);
        await sql('UPDATE same SET hidden = 2');
        await sql('UPDATE same SET shown = 2 WHERE id = 2');
        await client.expectDelta([{ id: 2, shown: 2 }]);
    });

    test('has a key of several columns', async () => {
        await sql(`CREATE TABLE pair (region text, n numeric(6,2), note text, PRIMARY KEY (region, n));
            INSERT INTO pair VALUES ('north', 1.50, 'a'), ('south', 1.50, 'b'), ('o''ne, "two"', 2, 'c')`);
        await keyedTopic('pair', 'SELECT * FROM pair', ['n', 'region']);
        await sql(`SELECT rtd_watch_table('pair')`);
        const client = await Client.open('pair', ['n', 'region']);
        await sql(`UPDATE pair SET note = 'z' WHERE region = 'south'`);
        await client.expectDelta([{ region: 'south', n: 1.5, note: 'z' }]);
        await sql(`DELETE FROM pair WHERE region LIKE 'o%'`);
        await client.expectDelta([], [{ n: 2, region: `o'ne, "two"` }]);
        await sql(`UPDATE pair SET region = 'west' WHERE region = 'north'`);
        await client.expectDelta([{ region: 'west', n: 1.5, note: 'a' }], [{ n: 1.5, region: 'north' }]);
    });

    test('a row that leaves the filter is removed, and comes back', async () => {
        await sql(`CREATE TABLE task (id int PRIMARY KEY, done boolean); INSERT INTO task VALUES (1, false), (2, true)`);
        await keyedTopic('task', 'SELECT id FROM task WHERE NOT done', ['id']);
        await sql(`SELECT rtd_watch_table('task')`);
        const client = await Client.open('task', ['id']);
        await sql('UPDATE task SET done = true WHERE id = 1');
        await client.expectDelta([], [{ id: 1 }]);
        await sql('UPDATE task SET done = false');
        await client.expectDelta([{ id: 1 }, { id: 2 }]);
        await sql('TRUNCATE task');
        await client.expectDelta([], [{ id: 1 }, { id: 2 }]);
    });

    test('has parameters: an instance hears of its own rows only', async () => {
        await sql(`CREATE TABLE member (id int PRIMARY KEY, team text); INSERT INTO member VALUES (1, 'red'), (2, 'blue')`);
        await keyedTopic('member', 'SELECT * FROM member WHERE team = $1', ['id'], `parameters => '{team}'`);
        await sql(`SELECT rtd_watch_table('member')`);
        const red = await Client.open('member', ['id'], 'red');
        const blue = await Client.open('member', ['id'], 'blue');
        await sql(`UPDATE member SET team = 'blue' WHERE id = 1`);
        await red.expectDelta([], [{ id: 1 }]);
        await blue.expectDelta([{ id: 1, team: 'blue' }]);
    });

    test('rtd_refresh reads it all and sends the difference', async () => {
        await sql(`CREATE TABLE quiet (id int PRIMARY KEY, n int); INSERT INTO quiet VALUES (1, 1), (2, 1), (3, 1)`);
        await keyedTopic('quiet', 'SELECT * FROM quiet', ['id']);
        const client = await Client.open('quiet', ['id']);
        await sql('UPDATE quiet SET n = 2 WHERE id = 1; DELETE FROM quiet WHERE id = 2');
        await sql(`SELECT rtd_refresh('quiet')`);
        await client.expectDelta([{ id: 1, n: 2 }], [{ id: 2 }]);
    });

    test('a broadcast is delivered as it is, and deltas go on', async () => {
        await sql(`CREATE TABLE mixed (id int PRIMARY KEY)`);
        await keyedTopic('mixed', 'SELECT * FROM mixed', ['id']);
        await sql(`SELECT rtd_watch_table('mixed')`);
        const client = await Client.open('mixed', ['id']);
        await sql(`SELECT rtd_broadcast('mixed', '{"hello": 1}')`);
        assert.equal((await client.next()).kind, 'event');
        await sql('INSERT INTO mixed VALUES (1)');
        await client.expectDelta([{ id: 1 }]);
        assert.equal((await Client.open('mixed', ['id'])).messages[0].id, client.messages.at(-1)!.id);
    });

    for (const [type, one, two] of [
        ['uuid', '7d1c6f6e-2b0d-4c3e-9a53-0c7d3a1f5b11', '7d1c6f6e-2b0d-4c3e-9a53-0c7d3a1f5b12'],
        ['timestamptz', '2026-03-04 05:06:07.123+02', '2026-04-03 05:06:07+02'],
        ['timestamp', '2026-03-04 05:06:07.123', 'infinity'],
        ['date', '2026-03-04', '2026-04-03'],
        ['time', '05:06:07.123', '06:05:07'],
        ['char(8)', 'one', 'two'],
        ['numeric', '1.00', '2.5000'],
        ['bytea', '\\xdeadbeef', '\\x00'],
        ['boolean', 'true', 'false'],
        ['colour', 'red', 'light blue'],
        ['small_text', 'a, b', '{"c"}'],
        ['double precision', '0.1', '-0'],
        ['interval', '1 month', '40 days'],
    ]) {
        test(`has a key of type ${type}, whatever the writer's settings`, async () => {
            await sql(`DO $$BEGIN CREATE TYPE colour AS ENUM ('red', 'light blue'); CREATE DOMAIN small_text AS varchar(10) CHECK (value <> '');
                EXCEPTION WHEN duplicate_object THEN NULL; END$$`);
            const name = `typed-${type.replace(/[^a-z]/g, '')}`;
            const table = name.replace('-', '_');
            await sql(`CREATE TABLE ${table} (k ${type} PRIMARY KEY, n int)`);
            await sql(`INSERT INTO ${table} VALUES (${escapeLiteral(one)}, 1), (${escapeLiteral(two)}, 1)`);
            await keyedTopic(name, `SELECT * FROM ${table}`, ['k']);
            await sql(`SELECT rtd_watch_table('${table}')`);
            const client = await Client.open(name, ['k']);
            const session = await use.cluster.connect();
            await session.query(`SET DateStyle = 'German, DMY'; SET TimeZone = 'Asia/Tokyo'; SET bytea_output = 'escape'; SET IntervalStyle = 'sql_standard'`);
            await session.query(`UPDATE ${table} SET n = 2 WHERE k = $1`, [one]);
            const update = await client.next();
            assert.deepEqual([update.data.upsert.length, update.data.upsert[0].n, update.data.remove], [1, 2, []]);
            await session.query(`DELETE FROM ${table} WHERE k = $1`, [two]);
            const removal = await client.next();
            assert.deepEqual([removal.data.upsert, removal.data.remove.length], [[], 1]);
            assert.equal(client.rows.rows.size, 1);
            await use.cluster.release(session);
        });
    }
});

describe('several tables feed one keyed topic', () => {
    const view = `SELECT o.id, o.state, c.name AS customer, count(l.id) AS lines, coalesce(sum(l.price), 0) AS total
        FROM shop_order o JOIN shop_customer c ON c.id = o.customer_id LEFT JOIN shop_line l ON l.order_id = o.id
        WHERE o.state <> 'closed' GROUP BY o.id, c.id`;

    test('a line concerns its order, a customer all orders', async () => {
        await sql(`CREATE TABLE shop_customer (id int PRIMARY KEY, name text);
            CREATE TABLE shop_order (id int PRIMARY KEY, customer_id int REFERENCES shop_customer, state text NOT NULL);
            CREATE TABLE shop_line (id int PRIMARY KEY, order_id int REFERENCES shop_order, price int NOT NULL);
            CREATE INDEX ON shop_line (order_id);
            INSERT INTO shop_customer VALUES (1, 'ann'), (2, 'bob');
            INSERT INTO shop_order VALUES (1, 1, 'open'), (2, 2, 'open'), (3, 2, 'closed');
            INSERT INTO shop_line VALUES (10, 1, 5), (11, 2, 7);
            CREATE VIEW shop AS ${view}`);
        await keyedTopic('shop', 'SELECT * FROM shop', ['id']);
        await sql(`SELECT rtd_watch_table('shop_order', 'shop'), rtd_watch_table('shop_line', 'shop'), rtd_watch_table('shop_customer', 'shop')`);
        assert.deepEqual(await sql(`SELECT relation::text, key FROM rtd_watched_tables WHERE topic = 'shop' ORDER BY 1`), [
            { relation: 'shop_customer', key: null },
            { relation: 'shop_line', key: ['order_id'] },
            { relation: 'shop_order', key: ['id'] },
        ]);
        const client = await Client.open('shop', ['id']);
        await sql('INSERT INTO shop_line VALUES (12, 1, 3)');
        await client.expectDelta([{ id: 1, state: 'open', customer: 'ann', lines: 2, total: 8 }]);
        await sql('UPDATE shop_line SET order_id = 2 WHERE id = 12');
        await client.expectDelta([
            { id: 1, state: 'open', customer: 'ann', lines: 1, total: 5 },
            { id: 2, state: 'open', customer: 'bob', lines: 2, total: 10 },
        ]);
        await sql(`UPDATE shop_customer SET name = 'anna' WHERE id = 1`);
        await client.expectDelta([{ id: 1, state: 'open', customer: 'anna', lines: 1, total: 5 }]);
        await sql(`BEGIN; UPDATE shop_order SET state = 'open' WHERE id = 3; UPDATE shop_line SET order_id = 3; DELETE FROM shop_order WHERE id = 1; COMMIT`);
        await client.expectDelta(
            [{ id: 2, state: 'open', customer: 'bob', lines: 0, total: 0 }, { id: 3, state: 'open', customer: 'bob', lines: 3, total: 15 }],
            [{ id: 1 }],
        );
        await sql('TRUNCATE shop_line');
        await client.expectDelta([{ id: 3, state: 'open', customer: 'bob', lines: 0, total: 0 }]);
        await client.expectRows('SELECT id, state, customer, lines::int, total::int FROM shop');
    });

    test('a query whose rows depend on each other is read as a whole, and the difference is sent', async () => {
        await sql(`CREATE TABLE score (id int PRIMARY KEY, points int); INSERT INTO score VALUES (1, 10), (2, 20), (3, 30)`);
        await keyedTopic('score', 'SELECT id, rank() OVER (ORDER BY points DESC)::int AS place FROM score', ['id']);
        await sql(`SELECT rtd_watch_table('score')`);
        const client = await Client.open('score', ['id']);
        await sql('UPDATE score SET points = 25 WHERE id = 1');
        await client.expectDelta([{ id: 1, place: 2 }, { id: 2, place: 3 }]);
        await sql('DELETE FROM score WHERE id = 3');
        await client.expectDelta([{ id: 1, place: 1 }, { id: 2, place: 2 }], [{ id: 3 }]);
    });

    test('a table that only a function reads is told by the name of the key', async () => {
        await sql(`CREATE TABLE box (id int PRIMARY KEY); CREATE TABLE item (id int PRIMARY KEY, box_id int);
            INSERT INTO box VALUES (1), (2);
            CREATE FUNCTION items_in(box int) RETURNS int LANGUAGE plpgsql STABLE AS $$BEGIN RETURN (SELECT count(*) FROM item WHERE box_id = box); END$$`);
        await keyedTopic('box', 'SELECT id, items_in(id) AS items FROM box', ['id']);
        await sql(`SELECT rtd_watch_table('box'), rtd_watch_table('item', 'box', columns => '{box_id AS id}')`);
        assert.deepEqual(await use.cluster.value(`SELECT key FROM rtd_watched_tables WHERE relation = 'item'::regclass`), ['box_id']);
        const client = await Client.open('box', ['id']);
        await sql('INSERT INTO item VALUES (1, 2)');
        await client.expectDelta([{ id: 2, items: 1 }]);
    });
});

describe('everything changed', () => {
    test('a transaction beyond rtd.max_transaction_events is one delta', async () => {
        await sql(`CREATE TABLE many (id int PRIMARY KEY, n int); INSERT INTO many SELECT id, 0 FROM generate_series(1, 15000) id`);
        await keyedTopic('many', 'SELECT * FROM many', ['id']);
        await sql(`SELECT rtd_watch_table('many')`);
        const client = await Client.open('many', ['id']);
        const updated = Array.from({ length: 12000 }, (_, index) => ({ id: index + 1, n: 1 }));
        await sql('UPDATE many SET n = 1 WHERE id <= 12000');
        await client.expectDelta(updated, [], 60_000);
        await sql('UPDATE many SET n = 2 WHERE id = 5');
        await client.expectDelta([{ id: 5, n: 2 }]);
        await sql('DELETE FROM many WHERE id > 20');
        const { data } = await client.next();
        assert.equal(data.remove.length, 14980);
        await client.expectRows('SELECT * FROM many');
    });

    test('rows beyond rtd.max_message_size are an error in the log, and come when they fit again', async () => {
        await use.cluster.reload({ 'rtd.max_message_size': '64kB' });
        await sql(`CREATE TABLE wide (id int PRIMARY KEY, note text); INSERT INTO wide VALUES (1, repeat('x', 40000))`);
        await keyedTopic('wide', 'SELECT * FROM wide', ['id']);
        await sql(`SELECT rtd_watch_table('wide')`);
        const client = await Client.open('wide', ['id']);
        const position = use.cluster.logPosition();
        await sql(`INSERT INTO wide VALUES (2, repeat('y', 40000))`);
        await use.cluster.waitForLog(/rows of topic "wide" are larger than 65536 bytes, the limit of rtd.max_message_size/, position);
        await sql('DELETE FROM wide WHERE id = 1');
        const message = await client.next();
        assert.equal(message.kind, 'snapshot');
        assert.equal(client.rows.rows.size, 1);
        await use.cluster.reload({ 'rtd.max_message_size': '16MB' });
    });

    for (const [what, row] of [['is not unique', '(1, 2)'], ['is NULL', '(3, NULL)']]) {
        test(`a key that ${what} is an error in the log`, async () => {
            const table = what.replace(/ /g, '_').toLowerCase();
            await sql(`CREATE TABLE ${table} (id int PRIMARY KEY, k int); INSERT INTO ${table} VALUES (2, 2)`);
            await keyedTopic(table.replace(/_/g, '-'), `SELECT k, id FROM ${table}`, ['k']);
            await sql(`SELECT rtd_watch_table('${table}')`);
            const client = await Client.open(table.replace(/_/g, '-'), ['k']);
            const position = use.cluster.logPosition();
            await sql(`INSERT INTO ${table} VALUES ${row}`);
            // A NULL key is no row's: only reading it all finds it.
            await sql(`SELECT rtd_refresh('${table.replace(/_/g, '-')}')`);
            await use.cluster.waitForLog(new RegExp(`the key of topic "${table.replace(/_/g, '-')}" ${what}`), position);
            await sql(`DELETE FROM ${table} WHERE id <> 2; INSERT INTO ${table} VALUES (7, 7)`);
            await client.expectDelta([{ k: 7, id: 7 }]);
        });
    }
});

test('10,000 rows and a hundred clients that come at once are one query', async () => {
    await sql(`CREATE TABLE crowd (id int PRIMARY KEY, n int); INSERT INTO crowd SELECT id, 0 FROM generate_series(1, 10000) id;
        CREATE FUNCTION say_run() RETURNS boolean LANGUAGE plpgsql AS $$BEGIN RAISE LOG 'crowd is read'; RETURN true; END$$`);
    await keyedTopic('crowd', 'SELECT * FROM crowd WHERE (SELECT say_run())', ['id']);
    await sql(`SELECT rtd_watch_table('crowd')`);
    const position = use.cluster.logPosition();
    const clients = await Promise.all(Array.from({ length: 100 }, () => Client.open('crowd', ['id'])));
    assert.ok(clients.every((client) => client.rows.rows.size === 10_000));
    assert.equal(use.cluster.logSince(position).split('crowd is read').length - 1, 1);
});
