// Topics, tables and roles change under clients that stay connected: they get the state under the new
// definition, or are told; nobody hangs, and no writer fails.

import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { createTopic, subscribe, useCluster } from '../lib/harness';
import { Subscriber } from '../lib/subscriber';
import { waitFor, within } from '../lib/wait';

const use = useCluster();

/** A table with two rows, a state topic of all of it, and a client that has its state. */
async function shownTable(table: string, query = `SELECT * FROM ${table} ORDER BY 1`) {
    const topic = table.replace(/_/g, '-');
    await use.cluster.sql(`
        CREATE TABLE ${table} (id int PRIMARY KEY, name text);
        INSERT INTO ${table} VALUES (1, 'one'), (2, 'two')`);
    await createTopic(use.cluster, topic, `query => $$${query}$$, throttle => '0'`);
    await use.cluster.sql(`SELECT rtd_watch_table('${table}')`);
    const client = await subscribe(use.cluster, topic);
    await client.next();
    return client;
}

const nextData = async (client: Subscriber) => (await client.next()).data;
const isConnected = (client: Subscriber) => client.socket.readyState === client.socket.OPEN;

describe('rtd_alter_topic', () => {
    test('another query: those connected get its state, and a new client never the old one', async () => {
        const client = await shownTable('altered');
        await use.cluster.sql(`SELECT rtd_alter_topic('altered', query => 'SELECT count(*)::int AS n FROM altered')`);
        const late = await subscribe(use.cluster, 'altered');
        assert.deepEqual(await nextData(late), [{ n: 2 }]);
        assert.deepEqual(await nextData(client), [{ n: 2 }]);
        await use.cluster.sql(`INSERT INTO altered VALUES (3, 'three')`);
        assert.deepEqual(await nextData(client), [{ n: 3 }]);
        assert.deepEqual(await nextData(late), [{ n: 3 }]);
    });

    test('a query that runs while its topic is altered is not sent as the new one', async () => {
        const client = await shownTable('overtaken', `
            SELECT name, pg_advisory_xact_lock_shared(4711)::text AS waits FROM overtaken ORDER BY id`);
        const holder = await use.cluster.connect();
        await holder.query('BEGIN; SELECT pg_advisory_xact_lock(4711)');
        await use.cluster.sql(`UPDATE overtaken SET name = 'old' WHERE id = 1`);
        await waitFor('the query to wait', async () =>
            (await use.cluster.sql(`SELECT FROM pg_stat_activity WHERE backend_type = 'rtd query' AND wait_event = 'advisory'`)).length);
        await use.cluster.sql(`SELECT rtd_alter_topic('overtaken', query => 'SELECT count(*)::int AS n FROM overtaken')`);
        const { id } = client.messages[0];
        await holder.query('COMMIT');
        assert.deepEqual(await nextData(client), [{ n: 2 }]);
        assert.equal(client.messages.length, 2, `nothing of the old query after ${id}`);
    });

    test('type, throttle and history just apply, to state and event topics', async () => {
        const state = await shownTable('retyped');
        await use.cluster.sql(`SELECT rtd_alter_topic('retyped', type => 'another', throttle => '1 ms', history => 3)`);
        assert.equal((await state.next()).type, 'another', 'also if the state is the same');
        const late = await subscribe(use.cluster, 'retyped');
        assert.equal((await late.next()).type, 'another');

        await createTopic(use.cluster, 'renamed-type');
        const event = await subscribe(use.cluster, 'renamed-type');
        await use.cluster.sql(`
            SELECT rtd_alter_topic('renamed-type', type => 'another', retain => false);
            SELECT rtd_broadcast('renamed-type', '1')`);
        assert.equal((await event.next()).type, 'another');
        assert.ok(isConnected(state) && isConnected(event));
    });

    test('other parameters, or another kind: clients are closed with a sentence and come back to it', async () => {
        await createTopic(use.cluster, 'reshaped', `query => 'SELECT 1 AS n'`);
        const client = await subscribe(use.cluster, 'reshaped');
        await client.next();
        await use.cluster.sql(`SELECT rtd_alter_topic('reshaped', parameters => '{id}', query => 'SELECT $1 AS id, 1 AS n')`);
        assert.deepEqual(await within('the close', client.closed), {
            code: 4502,
            reason: 'topic "reshaped" was altered, subscribe again',
        });
        const again = await subscribe(use.cluster, 'reshaped', '7');
        assert.deepEqual(await nextData(again), [{ id: '7', n: 1 }]);
        await use.cluster.sql(`SELECT rtd_drop_topic('reshaped')`);
        assert.deepEqual(await within('the close', again.closed), {
            code: 4410,
            reason: 'topic "reshaped" was dropped',
        });
    });
});

describe('ALTER TABLE of a watched table', () => {
    test('a column that is added, renamed, retyped or dropped: those connected get the new state at once', async () => {
        const client = await shownTable('reworked');
        const steps: [sql: string, data: object[]][] = [
            ['ADD COLUMN rank int DEFAULT 5', [{ id: 1, name: 'one', rank: 5 }, { id: 2, name: 'two', rank: 5 }]],
            ['RENAME COLUMN rank TO place', [{ id: 1, name: 'one', place: 5 }, { id: 2, name: 'two', place: 5 }]],
            ['ALTER COLUMN place TYPE text', [{ id: 1, name: 'one', place: '5' }, { id: 2, name: 'two', place: '5' }]],
            ['DROP COLUMN place', [{ id: 1, name: 'one' }, { id: 2, name: 'two' }]],
        ];
        for (const [sql, data] of steps) {
            await use.cluster.sql(`ALTER TABLE reworked ${sql}`);
            assert.deepEqual(await nextData(client), data, sql);
        }
        await use.cluster.sql(`BEGIN; ALTER TABLE reworked ADD COLUMN undone int; ROLLBACK`);
        await use.cluster.sql(`UPDATE reworked SET name = 'uno' WHERE id = 1`);
        assert.deepEqual(await nextData(client), [{ id: 1, name: 'uno' }, { id: 2, name: 'two' }]);
        assert.equal(client.messages.length, steps.length + 2);
    });

    test('the column of a parameter gets another type', async () => {
        await use.cluster.sql(`CREATE TABLE keyed_by (id int PRIMARY KEY, name text); INSERT INTO keyed_by VALUES (1, 'one')`);
        await createTopic(use.cluster, 'keyed-by', `parameters => '{id}', throttle => '0',
            query => 'SELECT name, 1 AS n FROM keyed_by WHERE id = $1'`);
        await use.cluster.sql(`SELECT rtd_watch_table('keyed_by')`);
        const client = await subscribe(use.cluster, 'keyed-by', '1');
        assert.deepEqual(await nextData(client), [{ name: 'one', n: 1 }]);
        const position = use.cluster.logPosition();
        const types = ['bigint', 'text', 'numeric'];
        for (const type of types) {
            await use.cluster.sql(`ALTER TABLE keyed_by ALTER COLUMN id TYPE ${type} USING id::${type}`);
            await use.cluster.sql(`UPDATE keyed_by SET name = '${type}'`);
            assert.deepEqual(await nextData(client), [{ name: type, n: 1 }]);
        }
        assert.ok(!/topic "keyed-by"/.test(use.cluster.logSince(position)), 'no query failed on the way');
        const wide = await subscribe(use.cluster, 'keyed-by', '9000000000000000000000');
        assert.deepEqual(await nextData(wide), [], 'which no int could be');
        assert.ok(isConnected(client));
    });

    test('a column the query needs is renamed: the log says so, writers go on, and its return is seen at once', async () => {
        const client = await shownTable('broken', 'SELECT name FROM broken ORDER BY id');
        const position = use.cluster.logPosition();
        await use.cluster.sql('ALTER TABLE broken RENAME COLUMN name TO title');
        await use.cluster.waitForLog(/column "name" does not exist \(SQLSTATE 42703\) \(topic "broken"/, position);
        // Some failures later the next attempt would be seconds away.
        await use.cluster.waitForLog(/topic "broken", next attempt in [2-9]\d{3} ms/, position);
        await use.cluster.sql(`UPDATE broken SET title = 'uno' WHERE id = 1`);
        const start = Date.now();
        await use.cluster.sql('ALTER TABLE broken RENAME COLUMN title TO name');
        assert.deepEqual(await nextData(client), [{ name: 'uno' }, { name: 'two' }]);
        assert.ok(Date.now() - start < 1500, `${Date.now() - start} ms`);
    });

    test('what was written behind a disabled trigger is seen when it is enabled', async () => {
        const client = await shownTable('muted');
        await use.cluster.sql(`
            ALTER TABLE muted DISABLE TRIGGER ALL;
            INSERT INTO muted VALUES (3, 'three');
            ALTER TABLE muted ENABLE TRIGGER ALL`);
        assert.equal((await client.next(({ data }) => data.length === 3)).data[2].name, 'three');
    });
});

describe('DROP TABLE of a watched table', () => {
    test('the query fails until the table is there and watched again; clients stay', async () => {
        const client = await shownTable('recreated');
        const position = use.cluster.logPosition();
        await use.cluster.sql('DROP TABLE recreated');
        await use.cluster.waitForLog(/relation "recreated" does not exist .*topic "recreated"/, position);
        const problem = () => use.cluster.value(`SELECT problem FROM rtd_watched_tables WHERE topic = 'recreated'`);
        assert.equal(await problem(), 'the table was dropped');
        await use.cluster.waitForLog(/topic "recreated", next attempt in [2-9]\d{3} ms/, position);
        const start = Date.now();
        await use.cluster.sql(`
            CREATE TABLE recreated (id bigint PRIMARY KEY, title text);
            INSERT INTO recreated VALUES (7, 'seven');
            SELECT rtd_watch_table('recreated')`);
        assert.deepEqual(await nextData(client), [{ id: 7, title: 'seven' }]);
        assert.ok(Date.now() - start < 1500, `${Date.now() - start} ms`);
        assert.equal(await problem(), null);
        await use.cluster.sql(`INSERT INTO recreated VALUES (8, 'eight')`);
        assert.equal((await nextData(client)).length, 2);
    });

    test('an event topic hears of the new table as soon as it is watched', async () => {
        await use.cluster.sql('CREATE TABLE reheard (id int PRIMARY KEY)');
        await createTopic(use.cluster, 'reheard');
        await use.cluster.sql(`SELECT rtd_watch_table('reheard')`);
        const client = await subscribe(use.cluster, 'reheard');
        await use.cluster.sql(`
            DROP TABLE reheard;
            CREATE TABLE reheard (id text PRIMARY KEY);
            INSERT INTO reheard VALUES ('unheard');
            SELECT rtd_watch_table('reheard');
            INSERT INTO reheard VALUES ('heard')`);
        assert.equal((await nextData(client)).id, 'heard');
        assert.equal(client.messages.length, 1);
    });
});

describe('roles', () => {
    test('the owner loses and regains a privilege: its query fails meanwhile, and nothing leaves', async () => {
        await use.cluster.sql(`
            CREATE ROLE poor_owner;
            GRANT CREATE ON DATABASE app TO poor_owner;
            CREATE TABLE guarded (id int PRIMARY KEY);
            GRANT SELECT, TRIGGER ON guarded TO poor_owner;
            SET ROLE poor_owner;
            SELECT rtd_create_topic('guarded', query => 'SELECT id FROM guarded', throttle => '0');
            SELECT rtd_watch_table('guarded');
            SELECT rtd_grant('guarded', 'web_anon');
            RESET ROLE`);
        const client = await subscribe(use.cluster, 'guarded');
        assert.deepEqual(await nextData(client), []);
        const position = use.cluster.logPosition();
        await use.cluster.sql('REVOKE SELECT ON guarded FROM poor_owner; INSERT INTO guarded VALUES (1)');
        await use.cluster.waitForLog(/permission denied for table guarded .*topic "guarded"/, position);
        assert.equal(client.messages.length, 1);
        await use.cluster.sql('GRANT SELECT ON guarded TO poor_owner');
        assert.deepEqual(await nextData(client), [{ id: 1 }]);
    });

    test('the owner is dropped: clients of its queries are told, those of its events go on', async () => {
        await use.cluster.sql(`
            CREATE ROLE leaver;
            GRANT CREATE ON DATABASE app TO leaver;
            CREATE TABLE left_behind (id int PRIMARY KEY);
            ALTER TABLE left_behind OWNER TO leaver;
            SET ROLE leaver;
            SELECT rtd_create_topic('left-state', query => 'SELECT id FROM left_behind');
            SELECT rtd_create_topic('left-events');
            SELECT rtd_watch_table('left_behind', 'left-state'), rtd_watch_table('left_behind', 'left-events');
            SELECT rtd_grant('left-state', 'web_anon'), rtd_grant('left-events', 'web_anon');
            RESET ROLE`);
        const [state, events] = [await subscribe(use.cluster, 'left-state'), await subscribe(use.cluster, 'left-events')];
        await state.next();
        await use.cluster.sql(`ALTER TABLE left_behind OWNER TO postgres; REVOKE CREATE ON DATABASE app FROM leaver;
            DROP ROLE leaver`);
        const told = {
            code: 4500,
            reason: 'the owner of topic "left-state", as whom its query runs, was dropped',
        };
        assert.deepEqual(await within('the close', state.closed), told);
        const late = await Subscriber.open(use.cluster.url('left-state'));
        assert.deepEqual(await within('the close', late.closed), told);
        await use.cluster.sql('INSERT INTO left_behind VALUES (1)');
        assert.equal((await nextData(events)).id, 1);
    });

    test('a membership that gave the grant is revoked: not even a message committed right after it is sent', async () => {
        await createTopic(use.cluster, 'members-only');
        await use.cluster.sql(`
            CREATE ROLE readers;
            SELECT rtd_revoke('members-only', 'web_anon'), rtd_grant('members-only', 'readers');
            GRANT readers TO web_anon`);
        const client = await subscribe(use.cluster, 'members-only');
        await use.cluster.sql(`SELECT rtd_broadcast('members-only', '1')`);
        assert.equal(await nextData(client), 1);
        await use.cluster.sql('REVOKE readers FROM web_anon');
        await use.cluster.sql(`SELECT rtd_broadcast('members-only', '2')`);
        assert.equal((await within('the close', client.closed)).code, 4403);
        assert.equal(client.messages.length, 1);
    });

    test('the role of clients is dropped: they are told', async () => {
        await use.cluster.sql('CREATE ROLE web_brief');
        await use.cluster.reload({ 'rtd.anonymous_role': 'web_brief' });
        // Granted to nobody else, so that a client from before the reload is refused.
        await use.cluster.sql(`SELECT rtd_create_topic('brief'); SELECT rtd_grant('brief', 'web_brief')`);
        const client = await waitFor('the reload', async () => {
            const opened = await Subscriber.open(use.cluster.url('brief'));
            await use.cluster.sql(`SELECT rtd_broadcast('brief', '1')`);
            const isClosed = () => opened.socket.readyState === opened.socket.CLOSED;
            await waitFor('a message or the close', () => opened.messages.length > 0 || isClosed());
            return opened.messages.length > 0 ? opened : undefined;
        });
        await use.cluster.sql('DROP ROLE web_brief');
        const { code, reason } = await within('the close', client.closed);
        assert.deepEqual([code, /does not exist/.test(reason)], [4401, true]);
        await use.cluster.reload({ 'rtd.anonymous_role': 'web_anon' });
    });
});
