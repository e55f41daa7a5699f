// What a topic's query depends on is defined anew under clients that stay connected: views, functions,
// types, policies, schemas, materialized views, partitions. Old and new clients get what the query
// returns now, without any row being written.

import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { createTopic, messagesUntilNow, queriesRun, subscribe, useCluster, warningsOf } from '../lib/harness';
import { KeyedRows, Row } from '../lib/keyed_client';
import { Subscriber } from '../lib/subscriber';
import { waitFor } from '../lib/wait';

const use = useCluster(
    { settings: { shared_preload_libraries: 'rtd,pg_stat_statements', 'pg_stat_statements.track': 'all' } },
    (cluster) => cluster.sql('CREATE EXTENSION pg_stat_statements'),
);
const sql = (text: string, values?: unknown[]) => use.cluster.sql(text, values);

// Long throttle and resync, so that nothing but the definition's change makes a query run.
const stateTopic = (name: string, query: string, options = '') =>
    createTopic(use.cluster, name, `query => $q$${query}$q$, throttle => '0'${options}`);

async function stateClient(topic: string, ...params: string[]) {
    const client = await subscribe(use.cluster, topic, ...params);
    return { client, first: (await client.next()).data };
}

const nextData = async (client: Subscriber) => (await client.next(({ kind }) => kind !== 'control')).data;
const byId = (rows: any[]) => [...rows].sort((a, b) => a.id - b.id);

/** A client of a keyed topic, compared with the rows of a query. */
async function keyedClient(topic: string, key: string[]) {
    const rows = new KeyedRows(key);
    const client = await Subscriber.open(use.cluster.url(topic), {}, (message) => rows.take(message));
    await client.next();
    const expectRows = async (query: string) => {
        const expected: Row[] = await sql(query);
        await waitFor('the rows of the query', () => rows.difference(expected) === undefined).catch((error) => {
            throw new Error(`${error.message}: ${rows.difference(expected)}`);
        });
    };
    return { client, rows, expectRows };
}

describe('a view under a topic is replaced', () => {
    test('another filter: connected and new clients of a state topic have it at once', async () => {
        await sql(`
            CREATE TABLE filtered (id int PRIMARY KEY, open boolean);
            INSERT INTO filtered VALUES (1, true), (2, false), (3, true);
            CREATE VIEW filtered_open AS SELECT id FROM filtered WHERE open`);
        await stateTopic('filtered', 'SELECT * FROM filtered_open ORDER BY id');
        const { client, first } = await stateClient('filtered');
        assert.deepEqual(first, [{ id: 1 }, { id: 3 }]);
        await sql('CREATE OR REPLACE VIEW filtered_open AS SELECT id FROM filtered WHERE NOT open');
        assert.deepEqual(await nextData(client), [{ id: 2 }]);
        assert.deepEqual((await stateClient('filtered')).first, [{ id: 2 }]);
    });

    test('the view below the view, and a rolled back replacement', async () => {
        await sql(`
            CREATE VIEW deep AS SELECT 1 AS n; CREATE VIEW upper_view AS SELECT n * 10 AS n FROM deep`);
        await stateTopic('deep', 'SELECT n FROM upper_view');
        const { client } = await stateClient('deep');
        await sql('BEGIN; CREATE OR REPLACE VIEW deep AS SELECT 5 AS n; ROLLBACK');
        await sql('CREATE OR REPLACE VIEW deep AS SELECT 2 AS n');
        assert.deepEqual(await nextData(client), [{ n: 20 }]);
        assert.equal(client.messages.length, 2);
    });

    test('dropped and made again in one transaction', async () => {
        await sql('CREATE VIEW remade AS SELECT 1 AS n');
        await stateTopic('remade', 'SELECT * FROM remade');
        const { client } = await stateClient('remade');
        await sql(`BEGIN; DROP VIEW remade; CREATE VIEW remade AS SELECT 'x' AS n, 2 AS m; COMMIT`);
        assert.deepEqual(await nextData(client), [{ n: 'x', m: 2 }]);
    });

    test('dropped, and made again later: the query works at once', async () => {
        await sql('CREATE VIEW reborn AS SELECT 1 AS n');
        await stateTopic('reborn', 'SELECT * FROM reborn');
        const { client } = await stateClient('reborn');
        const position = use.cluster.logPosition();
        await sql('DROP VIEW reborn');
        await use.cluster.waitForLog(/topic "reborn", next attempt in [4-9]\d{3} ms/, position, 20_000);
        const start = Date.now();
        await sql('CREATE VIEW reborn AS SELECT 2 AS n');
        assert.deepEqual(await nextData(client), [{ n: 2 }]);
        assert.ok(Date.now() - start < 1500, `${Date.now() - start} ms`);
    });

    async function movedKey(name: string, view: string, moved: string) {
        await sql(`
            CREATE TABLE ${name} (id int PRIMARY KEY, other int UNIQUE, note text);
            INSERT INTO ${name} VALUES (1, 101, 'a'), (2, 102, 'b');
            CREATE VIEW ${name}_view AS ${view}`);
        const topic = name.replace('_', '-');
        await createTopic(use.cluster, topic, `query => 'SELECT id, note FROM ${name}_view', key => '{id}'`);
        await sql(`SELECT rtd_watch_table('${name}')`);
        assert.deepEqual(await keyOf(topic), ['id']);
        const old = await keyedClient(topic, ['id']);
        return { old, move: () => sql(`CREATE OR REPLACE VIEW ${name}_view AS ${moved}`) };
    }
    const keyOf = (topic: string) => use.cluster.value(`SELECT key FROM rtd_watched_tables WHERE topic = '${topic}'`);
    const changedRows = (client: Subscriber) => client.messages.filter(({ kind }) => kind === 'delta').length;

    test('its key comes from another column: rows are right for old and new clients', async () => {
        const { old, move } = await movedKey('rekeyed', 'SELECT id, note FROM rekeyed', 'SELECT other AS id, note FROM rekeyed');
        await move();
        assert.deepEqual(await keyOf('rekeyed'), ['other']);
        const query = 'SELECT id, note FROM rekeyed_view';
        await old.expectRows(query);
        const late = await keyedClient('rekeyed', ['id']);
        await late.expectRows(query);
        for (const change of [
            `UPDATE rekeyed SET note = 'z' WHERE id = 1`,
            `INSERT INTO rekeyed VALUES (3, 103, 'c')`,
            `DELETE FROM rekeyed WHERE id = 2`,
            `UPDATE rekeyed SET other = 201 WHERE id = 3`,
        ]) {
            await sql(change);
            await old.expectRows(query);
            await late.expectRows(query);
        }
        assert.ok(changedRows(late.client) >= 4);
    });

    test('a writer that began before it commits after it: its row is found under the new key', async () => {
        const { old, move } = await movedKey('overlapped', 'SELECT id, note FROM overlapped', 'SELECT other AS id, note FROM overlapped');
        const writer = await use.cluster.connect();
        await writer.query(`BEGIN; INSERT INTO overlapped VALUES (7, 107, 'early')`);
        await move();
        await old.expectRows('SELECT id, note FROM overlapped_view');
        await writer.query('COMMIT');
        await old.expectRows('SELECT id, note FROM overlapped_view');
        assert.ok(old.rows.rows.has('[107]'));
    });

    test('a session that has the watch in memory uses the new key', async () => {
        const { old, move } = await movedKey('remembered', 'SELECT id, note FROM remembered', 'SELECT other AS id, note FROM remembered');
        const writer = await use.cluster.connect();
        await writer.query(`UPDATE remembered SET note = 'before' WHERE id = 1`);
        await move();
        await writer.query(`UPDATE remembered SET note = 'after' WHERE id = 1`);
        await old.expectRows('SELECT id, note FROM remembered_view');
    });

    test('its key is none of the table any more: every change reads it as a whole', async () => {
        const { old, move } = await movedKey('unkeyed', 'SELECT id, note FROM unkeyed', 'SELECT id + 10 AS id, note FROM unkeyed');
        await move();
        assert.equal(await keyOf('unkeyed'), null);
        await sql(`UPDATE unkeyed SET note = 'z' WHERE id = 1`);
        await old.expectRows('SELECT id, note FROM unkeyed_view');
        await sql('CREATE OR REPLACE VIEW unkeyed_view AS SELECT id, note FROM unkeyed');
        assert.deepEqual(await keyOf('unkeyed'), ['id']);
        await old.expectRows('SELECT id, note FROM unkeyed_view');
    });

    test('the column of the key is renamed below the view', async () => {
        const { old } = await movedKey('lowered', 'SELECT id, note FROM lowered', '');
        await sql('ALTER TABLE lowered RENAME COLUMN id TO number');
        assert.deepEqual(await keyOf('lowered'), ['number']);
        await sql(`INSERT INTO lowered VALUES (9, 109, 'i')`);
        await old.expectRows('SELECT id, note FROM lowered_view');
    });

    test('DDL does not wait for a table that another session locks: the topic is read as a whole instead', async () => {
        const { old, move } = await movedKey('locked', 'SELECT id, note FROM locked', 'SELECT other AS id, note FROM locked');
        const holder = await use.cluster.connect();
        await holder.query('BEGIN; LOCK TABLE locked IN ACCESS EXCLUSIVE MODE');
        const start = Date.now();
        await sql('CREATE FUNCTION beside_locked() RETURNS int LANGUAGE sql AS $$SELECT 1$$');
        await sql('CREATE OR REPLACE FUNCTION beside_locked() RETURNS int LANGUAGE sql AS $$SELECT 2$$');
        assert.deepEqual(await keyOf('locked'), ['id'], 'a function moves no key');
        await sql('CREATE VIEW above_locked AS SELECT 1 AS n');
        await sql('CREATE OR REPLACE VIEW above_locked AS SELECT 2 AS n');
        assert.ok(Date.now() - start < 5000, `${Date.now() - start} ms`);
        assert.equal(await keyOf('locked'), null);
        await holder.query(`INSERT INTO locked VALUES (5, 105, 'e'); COMMIT`);
        await old.expectRows('SELECT id, note FROM locked_view');
        await move();
        assert.deepEqual(await keyOf('locked'), ['other']);
        await old.expectRows('SELECT id, note FROM locked_view');
    });

    test('a role that owns neither topic nor extension replaces its view', async () => {
        const { old } = await movedKey('foreign_view', 'SELECT id, note FROM foreign_view', '');
        await sql(`CREATE ROLE viewer; GRANT SELECT ON foreign_view TO viewer; GRANT CREATE ON SCHEMA public TO viewer;
            ALTER VIEW foreign_view_view OWNER TO viewer; SET ROLE viewer;
            CREATE OR REPLACE VIEW foreign_view_view AS SELECT other AS id, note FROM foreign_view; RESET ROLE`);
        assert.deepEqual(await keyOf('foreign-view'), ['other']);
        await old.expectRows('SELECT id, note FROM foreign_view_view');
    });

    test('what the caller named for a table that a function reads is kept', async () => {
        await sql(`
            CREATE TABLE named (id int PRIMARY KEY, total int);
            CREATE TABLE named_line (number int PRIMARY KEY, named_id int, price int);
            INSERT INTO named VALUES (1, 0); INSERT INTO named_line VALUES (1, 1, 5);
            CREATE FUNCTION named_total(int) RETURNS int STABLE LANGUAGE plpgsql AS
                $f$BEGIN RETURN (SELECT sum(price) FROM named_line WHERE named_id = $1); END$f$`);
        await createTopic(use.cluster, 'named', `query => 'SELECT id, named_total(id) AS total FROM named', key => '{id}'`);
        await sql(`SELECT rtd_watch_table('named'), rtd_watch_table('named_line', 'named', columns => '{named_id AS id}')`);
        const { expectRows } = await keyedClient('named', ['id']);
        await sql('CREATE VIEW somewhere_else AS SELECT 1 AS n');
        await sql('CREATE OR REPLACE VIEW somewhere_else AS SELECT 2 AS n');
        assert.deepEqual(
            await use.cluster.value(`SELECT key FROM rtd_watched_tables WHERE relation = 'named_line'::regclass`),
            ['named_id'],
        );
        await sql('INSERT INTO named_line VALUES (2, 1, 6)');
        await expectRows('SELECT id, named_total(id) AS total FROM named');
    });
});

describe('other definitions under a topic', () => {
    test('a function is replaced, whatever its language', async () => {
        const make = (language: string, body: string) =>
            sql(`CREATE OR REPLACE FUNCTION shown_${language}() RETURNS text STABLE LANGUAGE ${language} AS $f$${body}$f$`);
        for (const [language, before, after] of [
            ['sql', `SELECT 'one'`, `SELECT 'two'`],
            ['plpgsql', `BEGIN RETURN 'one'; END`, `BEGIN RETURN 'two'; END`],
        ]) {
            await make(language, before);
            await stateTopic(`function-${language}`, `SELECT shown_${language}() AS word, 1 AS n`);
            const { client, first } = await stateClient(`function-${language}`);
            assert.equal(first[0].word, 'one');
            await make(language, after);
            assert.equal((await nextData(client))[0].word, 'two', language);
            assert.equal((await stateClient(`function-${language}`)).first[0].word, 'two');
        }
    });

    test('a function that is called by a function that is called', async () => {
        await sql(`
            CREATE FUNCTION innermost() RETURNS int LANGUAGE sql AS 'SELECT 1';
            CREATE FUNCTION outermost() RETURNS int LANGUAGE plpgsql AS 'BEGIN RETURN innermost(); END'`);
        await stateTopic('nested', 'SELECT outermost() AS n, 0 AS m');
        const { client } = await stateClient('nested');
        await sql(`CREATE OR REPLACE FUNCTION innermost() RETURNS int LANGUAGE sql AS 'SELECT 2'`);
        assert.deepEqual(await nextData(client), [{ n: 2, m: 0 }]);
    });

    test('a label of an enum is renamed: shown, and in the query', async () => {
        await sql(`
            CREATE TYPE mood AS ENUM ('sad', 'happy');
            CREATE TABLE moody (id int PRIMARY KEY, mood mood); INSERT INTO moody VALUES (1, 'sad'), (2, 'happy')`);
        await stateTopic('moody', 'SELECT id, mood FROM moody ORDER BY id');
        await createTopic(use.cluster, 'moods', `query => 'SELECT mood, count(*)::int AS n FROM moody GROUP BY mood', key => '{mood}'`);
        await sql(`SELECT rtd_watch_table('moody'), rtd_watch_table('moody', 'moods')`);
        const { client } = await stateClient('moody');
        const keyed = await keyedClient('moods', ['mood']);
        await sql(`ALTER TYPE mood RENAME VALUE 'sad' TO 'blue'`);
        assert.deepEqual(await nextData(client), [{ id: 1, mood: 'blue' }, { id: 2, mood: 'happy' }]);
        await keyed.expectRows('SELECT mood, count(*)::int AS n FROM moody GROUP BY mood');
        await sql(`UPDATE moody SET mood = 'blue'`);
        await keyed.expectRows('SELECT mood, count(*)::int AS n FROM moody GROUP BY mood');
    });

    test('a policy is made, altered and dropped, and row security switched on and off', async () => {
        await sql(`
            CREATE ROLE row_reader; GRANT CREATE ON DATABASE app TO row_reader;
            CREATE TABLE secured (id int PRIMARY KEY); INSERT INTO secured VALUES (1), (2), (3);
            GRANT SELECT ON secured TO row_reader;
            SET ROLE row_reader;
            SELECT rtd_create_topic('secured', query => 'SELECT id FROM secured ORDER BY id', throttle => '0');
            SELECT rtd_grant('secured', 'web_anon');
            RESET ROLE`);
        const { client, first } = await stateClient('secured');
        assert.equal(first.length, 3);
        for (const [command, ids] of [
            ['ALTER TABLE secured ENABLE ROW LEVEL SECURITY', []],
            ['CREATE POLICY low ON secured USING (id < 2)', [1]],
            ['ALTER POLICY low ON secured USING (id < 3)', [1, 2]],
            ['DROP POLICY low ON secured', []],
            ['ALTER TABLE secured DISABLE ROW LEVEL SECURITY', [1, 2, 3]],
        ] as [string, number[]][]) {
            await sql(command);
            assert.deepEqual((await nextData(client)).map(({ id }: Row) => id), ids, command);
        }
    });

    test('a schema is renamed away and back, and a table moves into another', async () => {
        await sql(`CREATE SCHEMA moving; CREATE TABLE moving.thing (id int); INSERT INTO moving.thing VALUES (1)`);
        await stateTopic('moving', 'SELECT id FROM moving.thing');
        const { client } = await stateClient('moving');
        const position = use.cluster.logPosition();
        await sql('ALTER SCHEMA moving RENAME TO moved');
        await use.cluster.waitForLog(/relation "moving.thing" does not exist.*topic "moving"/, position);
        await sql(`INSERT INTO moved.thing VALUES (2); ALTER SCHEMA moved RENAME TO moving`);
        assert.deepEqual(byId(await nextData(client)), [{ id: 1 }, { id: 2 }]);
        const later = use.cluster.logPosition();
        await sql('ALTER TABLE moving.thing SET SCHEMA public');
        await use.cluster.waitForLog(/relation "moving.thing" does not exist.*topic "moving"/, later);
        await sql('INSERT INTO thing VALUES (3); ALTER TABLE thing SET SCHEMA moving');
        assert.equal((await nextData(client)).length, 3);
    });

    test('a table is made that the query finds before the one it read', async () => {
        await sql(`
            CREATE SCHEMA before_others; CREATE TABLE hidden (n int); INSERT INTO hidden VALUES (1)`);
        await sql(`SET search_path = before_others, public;
            SELECT rtd_create_topic('hidden', query => 'SELECT n FROM Hidden', throttle => '0'), rtd_grant('hidden', 'web_anon');
            RESET search_path`);
        const { client } = await stateClient('hidden');
        await sql('CREATE TABLE before_others.hidden AS SELECT 2 AS n');
        assert.deepEqual(await nextData(client), [{ n: 2 }]);
        await sql('DROP TABLE before_others.hidden');
        assert.deepEqual(await nextData(client), [{ n: 1 }]);
    });

    test('temporary objects and indexes make no query run', async () => {
        await sql('CREATE TABLE undisturbed (id int)');
        await stateTopic('undisturbed', 'SELECT count(*) AS n FROM undisturbed AS undisturbed_counted');
        const { client } = await stateClient('undisturbed');
        const runs = () => queriesRun(use.cluster, 'undisturbed');
        const before = await runs();
        await sql(`
            CREATE TEMPORARY TABLE passing (id int); CREATE TEMPORARY VIEW passing_view AS SELECT 1 AS n;
            CREATE OR REPLACE TEMPORARY VIEW passing_view AS SELECT 2 AS n;
            CREATE FUNCTION pg_temp.passing() RETURNS int LANGUAGE sql AS 'SELECT 1';
            CREATE OR REPLACE FUNCTION pg_temp.passing() RETURNS int LANGUAGE sql AS 'SELECT 2';
            CREATE TYPE pg_temp.passing_type AS ENUM ('a'); ALTER TYPE pg_temp.passing_type RENAME VALUE 'a' TO 'b';
            CREATE INDEX ON passing (id); CREATE SEQUENCE unrelated_sequence; CREATE TABLE unrelated (id int);
            ALTER TABLE unrelated ADD COLUMN n int; DROP TABLE unrelated;
            DROP VIEW passing_view; DROP TABLE passing; DROP FUNCTION pg_temp.passing(); DROP TYPE pg_temp.passing_type`);
        await sql(`SELECT rtd_refresh('undisturbed')`); // the next run is this one's
        await waitFor('the refresh', async () => (await runs()) > before);
        assert.equal(await runs(), before + 1);
        assert.equal(client.messages.length, 1);
    });
});

describe('tables', () => {
    test('swapped by rename: the query reads the new one at once, and its missing trigger is told', async () => {
        for (const how of ['one transaction', 'two transactions']) {
            const name = how === 'one transaction' ? 'swapped' : 'swapped_twice';
            const topic = name.replace('_', '-');
            await sql(`CREATE TABLE ${name} (id int PRIMARY KEY); INSERT INTO ${name} VALUES (1);
                       CREATE TABLE ${name}_new (id int PRIMARY KEY); INSERT INTO ${name}_new VALUES (2)`);
            await stateTopic(topic, `SELECT id FROM ${name}`);
            await sql(`SELECT rtd_watch_table('${name}', '${topic}')`);
            const { client } = await stateClient(topic);
            const session = await use.cluster.connect();
            const warnings = warningsOf(session);
            if (how === 'one transaction') await session.query('BEGIN');
            await session.query(`ALTER TABLE ${name} RENAME TO ${name}_old`);
            await session.query(`ALTER TABLE ${name}_new RENAME TO ${name}`);
            if (how === 'one transaction') await session.query('COMMIT');
            assert.deepEqual(await nextData(client), [{ id: 2 }], how);
            assert.equal(warnings.length, 1, how);
            assert.match(warnings[0], new RegExp(`table "${name}" is not the one that is watched into topic "${topic}"`));
            const state = async () => (await sql(`
                SELECT t.has_source, w.problem FROM rtd_topics t JOIN rtd_watched_tables w ON w.topic = t.name
                 WHERE t.name = '${topic}' ORDER BY w.problem NULLS LAST`))[0];
            const told = await state();
            assert.equal(told.has_source, false);
            assert.match(told.problem, /another table has the name/);
            await sql(`SELECT rtd_watch_table('${name}', '${topic}')`);
            assert.deepEqual(await state(), { has_source: true, problem: null });
            await sql(`INSERT INTO ${name} VALUES (3)`);
            assert.equal((await nextData(client)).length, 2);
        }
    });

    test('a partition is attached whose child is watched into the same topic: every row is one event', async () => {
        const columns = 'id int, day int, PRIMARY KEY (id, day)';
        await sql(`
            CREATE TABLE parted (${columns}) PARTITION BY LIST (day);
            CREATE TABLE parted_one (${columns}); CREATE TABLE parted_two (${columns})`);
        await createTopic(use.cluster, 'parted');
        await sql(`SELECT rtd_watch_table('parted_one', 'parted'), rtd_watch_table('parted', 'parted'), rtd_watch_table('parted_two', 'parted')`);
        const client = await subscribe(use.cluster, 'parted');
        await sql(`ALTER TABLE parted ATTACH PARTITION parted_one FOR VALUES IN (1);
                   ALTER TABLE parted ATTACH PARTITION parted_two FOR VALUES IN (2)`);
        await sql(`INSERT INTO parted VALUES (1, 1), (2, 2); INSERT INTO parted_one VALUES (3, 1); DELETE FROM parted_two`);
        const seen = (await messagesUntilNow(use.cluster, client, 'parted')).map(({ data }) => `${data.operation} ${data.id}`);
        assert.deepEqual(seen, ['INSERT 1', 'INSERT 2', 'INSERT 3', 'DELETE 2']);
        await sql(`ALTER TABLE parted DETACH PARTITION parted_one; INSERT INTO parted_one VALUES (4, 1)`);
        const after = (await messagesUntilNow(use.cluster, client, 'parted')).map(({ data }) => `${data.operation} ${data.id}`);
        assert.deepEqual(after, ['INSERT 4'], 'a detached partition is watched by its own trigger again');
    });

    test('a partition that comes with rows, or goes with them', async () => {
        await sql(`
            CREATE TABLE growing (id int, day int) PARTITION BY LIST (day);
            CREATE TABLE growing_one (id int, day int); INSERT INTO growing_one VALUES (1, 1);
            CREATE VIEW growing_view AS SELECT id FROM growing`);
        await stateTopic('growing', 'SELECT id FROM growing_view');
        await sql(`SELECT rtd_watch_table('growing')`);
        const { client, first } = await stateClient('growing');
        assert.deepEqual(first, []);
        await sql('ALTER TABLE growing ATTACH PARTITION growing_one FOR VALUES IN (1)');
        assert.deepEqual(await nextData(client), [{ id: 1 }]);
        await sql('ALTER TABLE growing DETACH PARTITION growing_one');
        assert.deepEqual(await nextData(client), []);
    });

    test('a materialized view: the recipe of the hint works, CONCURRENTLY too', async () => {
        await sql(`
            CREATE TABLE measured (id int PRIMARY KEY); INSERT INTO measured VALUES (1);
            CREATE MATERIALIZED VIEW summary AS SELECT count(*)::int AS n FROM measured;
            CREATE UNIQUE INDEX ON summary (n)`);
        await stateTopic('summary', 'SELECT n FROM summary');
        await assert.rejects(sql(`SELECT rtd_watch_table('summary')`), (error: any) => {
            assert.match(error.hint, /REFRESH MATERIALIZED VIEW/);
            assert.match(error.hint, /rtd_refresh\('summary'\)/);
            return true;
        });
        const { client } = await stateClient('summary');
        for (const [n, option] of [[2, ''], [3, 'CONCURRENTLY']] as [number, string][]) {
            await sql(`INSERT INTO measured VALUES (${n})`);
            await sql(`BEGIN; REFRESH MATERIALIZED VIEW ${option} summary; SELECT rtd_refresh('summary'); COMMIT`);
            assert.deepEqual(await nextData(client), [{ n }]);
        }
    });

    test('a column is renamed under a watch: events keep their fields', async () => {
        await sql('CREATE TABLE labelled (id int PRIMARY KEY, label text, project int)');
        await createTopic(use.cluster, 'labelled', `parameters => '{project}'`);
        await sql(`SELECT rtd_watch_table('labelled', columns => '{id,label}')`);
        const client = await subscribe(use.cluster, 'labelled', '5');
        await sql('ALTER TABLE labelled RENAME COLUMN label TO title');
        await sql('ALTER TABLE labelled RENAME COLUMN project TO project_id');
        await sql('ALTER TABLE labelled RENAME COLUMN id TO number');
        assert.deepEqual(
            (await sql(`SELECT columns, parameters, problem FROM rtd_watched_tables WHERE topic = 'labelled'`))[0],
            { columns: ['number AS id', 'title AS label'], parameters: ['project_id'], problem: null },
        );
        await sql(`INSERT INTO labelled VALUES (1, 'one', 5)`);
        const { timestamp, ...data } = await nextData(client);
        assert.deepEqual(data, { operation: 'INSERT', id: 1, label: 'one' });
    });
});

describe('owners', () => {
    const owned = (role: string, topic: string) => sql(`
        CREATE ROLE ${role}; GRANT CREATE ON DATABASE app TO ${role};
        SET ROLE ${role};
        SELECT rtd_create_topic('${topic}', query => 'SELECT current_user::text AS name, 1 AS n', throttle => '0');
        SELECT rtd_grant('${topic}', 'web_anon');
        RESET ROLE`);
    const ownerOf = (topic: string) => use.cluster.value(`SELECT owner::text FROM rtd_topics WHERE name = '${topic}'`);

    test('REASSIGN OWNED takes topics along: the query runs as the new owner', async () => {
        await owned('giver', 'reassigned');
        const { client } = await stateClient('reassigned');
        await sql('CREATE ROLE taker; REASSIGN OWNED BY giver TO taker; DROP OWNED BY giver; DROP ROLE giver');
        assert.equal(await ownerOf('reassigned'), 'taker');
        assert.deepEqual(await nextData(client), [{ name: 'taker', n: 1 }]);
        assert.deepEqual((await stateClient('reassigned')).first, [{ name: 'taker', n: 1 }]);
    });

    test('DROP OWNED drops topics as it drops tables, and grants to the role', async () => {
        await owned('finished', 'finished');
        await createTopic(use.cluster, 'kept');
        await sql(`SELECT rtd_grant('kept', 'finished', 'publish')`);
        const { client } = await stateClient('finished');
        await sql('DROP OWNED BY finished');
        assert.equal((await client.closed).code, 4410);
        assert.equal(await ownerOf('finished'), undefined);
        assert.equal(await use.cluster.value(`SELECT count(*)::int FROM rtd_topic_grant WHERE topic = 'kept'`), 1);
    });

    test('DROP ROLE leaves a topic that says what is wrong, and that a superuser can adopt', async () => {
        await owned('gone', 'orphaned');
        await sql(`SELECT rtd_grant('orphaned', 'gone', 'publish'); REVOKE CREATE ON DATABASE app FROM gone`);
        const { client } = await stateClient('orphaned');
        const session = await use.cluster.connect();
        const warnings = warningsOf(session);
        await session.query('DROP ROLE gone');
        assert.match(warnings.join(), /the owner of 1 topic was dropped/);
        assert.equal((await client.closed).code, 4500);
        assert.equal(await use.cluster.value(`SELECT problem FROM rtd_topics WHERE name = 'orphaned'`), 'the owner was dropped');
        assert.equal(await use.cluster.value(`SELECT count(*)::int FROM rtd_topic_grant WHERE topic = 'orphaned'`), 1);
        await sql(`SELECT rtd_alter_topic('orphaned', owner => 'postgres')`);
        assert.equal(await use.cluster.value(`SELECT problem FROM rtd_topics WHERE name = 'orphaned'`), null);
        assert.deepEqual((await stateClient('orphaned')).first, [{ name: 'postgres', n: 1 }]);
    });

    test('an owner hands a topic over under connected clients, by the rules of ALTER OWNER', async () => {
        await owned('hander', 'handed');
        const { client } = await stateClient('handed');
        await sql('CREATE ROLE receiver');
        const hand = () => sql(`SET ROLE hander; SELECT rtd_alter_topic('handed', owner => 'receiver'); RESET ROLE`);
        await assert.rejects(hand, { code: '42501' });
        await sql('RESET ROLE; GRANT receiver TO hander');
        await assert.rejects(hand, { code: '42501', message: /permission denied to create a topic/ });
        await sql('RESET ROLE; GRANT CREATE ON DATABASE app TO receiver');
        await hand();
        assert.deepEqual(await nextData(client), [{ name: 'receiver', n: 1 }]);
    });
});
