// What PostgreSQL knows to do with transactions and rows, and what is sent of it. The plain cases are
// in delivery.test.ts.

import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { Connection } from '../lib/cluster';
import { messagesUntilNow, subscribe, useCluster, watchedTable } from '../lib/harness';
import { Subscriber } from '../lib/subscriber';
import { waitFor } from '../lib/wait';

const use = useCluster({ settings: { max_prepared_transactions: 5 } });

const topicOf = (table: string) => table.replace(/_/g, '-');

/** What was sent of a table until now, as "INSERT 1". */
async function changes(client: Subscriber, table: string): Promise<string[]> {
    const messages = await messagesUntilNow(use.cluster, client, topicOf(table));
    return messages.map(({ data }) => [data.operation, data.id].filter((part) => part !== undefined).join(' '));
}

const sqlState = (code: string) => (error: any) => {
    assert.equal(error.code, code, error.message);
    return true;
};

/** Runs `body` in a session of its own. */
async function inSession<T>(body: (session: Connection) => Promise<T>): Promise<T> {
    const session = await use.cluster.connect();
    try {
        return await body(session);
    } finally {
        await use.cluster.release(session);
    }
}

describe('subtransactions', () => {
    test('of a hundred nested savepoints only what was not rolled back is sent', async () => {
        const client = await watchedTable(use.cluster, 'nested');
        const steps = ['BEGIN'];
        for (let id = 1; id <= 100; id++) steps.push(`SAVEPOINT s${id}`, `INSERT INTO nested VALUES (${id})`);
        steps.push('RELEASE s91'); // 91 to 100 now belong to 90
        steps.push('ROLLBACK TO s51'); // 51 to 100
        steps.push('INSERT INTO nested VALUES (200)', 'RELEASE s11', 'INSERT INTO nested VALUES (201)', 'COMMIT');
        await use.cluster.query(steps.join(';'));
        const kept = [...Array.from({ length: 50 }, (_, index) => index + 1), 200, 201];
        assert.deepEqual(await changes(client, 'nested'), kept.map((id) => `INSERT ${id}`));
    });

    test('a savepoint can be rolled back again and again', async () => {
        const client = await watchedTable(use.cluster, 'again');
        await use.cluster.query(`
            BEGIN;
            SAVEPOINT a;
            INSERT INTO again VALUES (1);
            ROLLBACK TO a;
            INSERT INTO again VALUES (2);
            ROLLBACK TO a;
            INSERT INTO again VALUES (3);
            RELEASE a;
            COMMIT`);
        assert.deepEqual(await changes(client, 'again'), ['INSERT 3']);
    });

    test('an outer savepoint takes what an inner one had released along', async () => {
        const client = await watchedTable(use.cluster, 'taken_along');
        await use.cluster.query(`
            BEGIN;
            INSERT INTO taken_along VALUES (1);
            SAVEPOINT a;
            SAVEPOINT b;
            INSERT INTO taken_along VALUES (2);
            RELEASE b;
            ROLLBACK TO a;
            COMMIT`);
        assert.deepEqual(await changes(client, 'taken_along'), ['INSERT 1']);
    });

    test('a "changed" of a state topic that a rolled back savepoint made does not swallow the one after it', async () => {
        await use.cluster.sql(`
            CREATE TABLE swallowed (id int PRIMARY KEY);
            SELECT rtd_create_topic('swallowed', query => 'SELECT count(*)::int AS n FROM swallowed', throttle => '0'),
                   rtd_grant('swallowed', 'web_anon'), rtd_watch_table('swallowed')`);
        const client = await subscribe(use.cluster, 'swallowed');
        await client.next();
        await use.cluster.query(`
            BEGIN; SAVEPOINT a; INSERT INTO swallowed VALUES (1); ROLLBACK TO a; INSERT INTO swallowed VALUES (2); COMMIT`);
        assert.deepEqual((await client.next()).data, [{ n: 1 }]);
        await use.cluster.query(`
            BEGIN; SAVEPOINT a; INSERT INTO swallowed VALUES (3); RELEASE a;
            SAVEPOINT b; INSERT INTO swallowed VALUES (4); ROLLBACK TO b; COMMIT`);
        assert.deepEqual((await client.next()).data, [{ n: 2 }]);
    });

    test('a loop in a DO block that catches an error in every other round sends the other rounds', async () => {
        const client = await watchedTable(use.cluster, 'rounds');
        await use.cluster.sql(`
            DO $$ BEGIN
                FOR n IN 1 .. 20 LOOP
                    BEGIN
                        INSERT INTO rounds VALUES (n);
                        IF n % 2 = 0 THEN RAISE EXCEPTION 'even'; END IF;
                    EXCEPTION WHEN raise_exception THEN NULL;
                    END;
                END LOOP;
            END $$`);
        const odd = Array.from({ length: 10 }, (_, index) => `INSERT ${2 * index + 1}`);
        assert.deepEqual(await changes(client, 'rounds'), odd);
    });

    test('exception blocks inside of exception blocks keep what each of them keeps', async () => {
        const client = await watchedTable(use.cluster, 'blocks');
        await use.cluster.sql(`
            CREATE FUNCTION blocks() RETURNS void LANGUAGE plpgsql AS $$
            BEGIN
                INSERT INTO blocks VALUES (1);
                BEGIN
                    INSERT INTO blocks VALUES (2);
                    BEGIN
                        INSERT INTO blocks VALUES (3);
                        INSERT INTO blocks VALUES (1); -- fails: 3 goes
                    EXCEPTION WHEN unique_violation THEN
                        INSERT INTO blocks VALUES (4);
                    END;
                    BEGIN
                        INSERT INTO blocks VALUES (5);
                    EXCEPTION WHEN unique_violation THEN
                        INSERT INTO blocks VALUES (6);
                    END;
                END;
                UPDATE blocks SET note = 'last' WHERE id = 2;
            END $$;
            SELECT blocks()`);
        const kept = ['INSERT 1', 'INSERT 2', 'INSERT 4', 'INSERT 5', 'UPDATE 2'];
        assert.deepEqual(await changes(client, 'blocks'), kept);
    });
});

describe('the end of a transaction', () => {
    test('a procedure that commits inside sends what each inner transaction committed, when it did', async () => {
        const client = await watchedTable(use.cluster, 'inner_commits');
        await use.cluster.sql(`
            CREATE PROCEDURE inner_commits(gate bigint) LANGUAGE plpgsql AS $$
            BEGIN
                INSERT INTO inner_commits VALUES (1);
                COMMIT;
                INSERT INTO inner_commits VALUES (2);
                ROLLBACK;
                INSERT INTO inner_commits VALUES (3);
                COMMIT;
                PERFORM pg_advisory_lock(gate);
                INSERT INTO inner_commits VALUES (4);
            END $$`);
        await use.cluster.sql('SELECT pg_advisory_lock(4711)');
        await inSession(async (session) => {
            const call = session.query('CALL inner_commits(4711)');
            // It still runs, and the first of its transactions are here already.
            assert.equal((await client.next()).data.id, 1);
            assert.equal((await client.next()).data.id, 3);
            await use.cluster.sql('SELECT pg_advisory_unlock(4711)');
            await call;
        });
        assert.deepEqual(await changes(client, 'inner_commits'), ['INSERT 4']);
    });

    test('COMMIT AND CHAIN sends, ROLLBACK AND CHAIN does not', async () => {
        const client = await watchedTable(use.cluster, 'chained');
        await use.cluster.query(`
            BEGIN;
            INSERT INTO chained VALUES (1);
            COMMIT AND CHAIN;
            INSERT INTO chained VALUES (2);
            ROLLBACK AND CHAIN;
            INSERT INTO chained VALUES (3);
            COMMIT`);
        assert.deepEqual(await changes(client, 'chained'), ['INSERT 1', 'INSERT 3']);
    });

    test('a COMMIT of a failed transaction sends nothing', async () => {
        const client = await watchedTable(use.cluster, 'failed');
        await inSession(async (session) => {
            await session.query('BEGIN; INSERT INTO failed VALUES (1)');
            await assert.rejects(session.query('SELECT 1 / 0'));
            await session.query('COMMIT');
            await session.query('INSERT INTO failed VALUES (2)');
        });
        assert.deepEqual(await changes(client, 'failed'), ['INSERT 2']);
    });

    test('PREPARE TRANSACTION with events is refused with 0A000 and a hint, and the session goes on', async () => {
        const client = await watchedTable(use.cluster, 'prepared');
        await inSession(async (session) => {
            await session.query('BEGIN; INSERT INTO prepared VALUES (1)');
            await assert.rejects(session.query(`PREPARE TRANSACTION 'with events'`), (error: any) => {
                assert.match(error.message, /cannot PREPARE/);
                assert.ok(error.hint, 'a hint');
                return sqlState('0A000')(error);
            });
            await session.query('ROLLBACK');
            await session.query('INSERT INTO prepared VALUES (2)');
        });
        assert.deepEqual(await changes(client, 'prepared'), ['INSERT 2']);
    });

    test('two-phase commit of a transaction without events works', async () => {
        const client = await watchedTable(use.cluster, 'two_phase');
        await use.cluster.sql('CREATE TABLE unwatched_two_phase (id int)');
        await use.cluster.query(`BEGIN; INSERT INTO unwatched_two_phase VALUES (1); PREPARE TRANSACTION 'a'`);
        await use.cluster.query('INSERT INTO two_phase VALUES (1)');
        await use.cluster.query(`COMMIT PREPARED 'a'`);
        // Events that were rolled back are none.
        await use.cluster.query(`
            BEGIN; SAVEPOINT s; INSERT INTO two_phase VALUES (2); ROLLBACK TO s;
            INSERT INTO unwatched_two_phase VALUES (2); PREPARE TRANSACTION 'b'`);
        await use.cluster.query(`COMMIT PREPARED 'b'`);
        await use.cluster.query(`BEGIN; INSERT INTO unwatched_two_phase VALUES (3); PREPARE TRANSACTION 'c'`);
        await use.cluster.query(`ROLLBACK PREPARED 'c'`);
        assert.deepEqual(await use.cluster.sql('SELECT id FROM unwatched_two_phase ORDER BY id'), [{ id: 1 }, { id: 2 }]);
        assert.deepEqual(await changes(client, 'two_phase'), ['INSERT 1']);
    });

    test('an open prepared transaction holds nobody up', async () => {
        const client = await watchedTable(use.cluster, 'beside_prepared');
        await use.cluster.sql('CREATE TABLE held (id int)');
        await use.cluster.query(`BEGIN; INSERT INTO held VALUES (1); PREPARE TRANSACTION 'held'`);
        await use.cluster.sql('INSERT INTO beside_prepared VALUES (1)');
        assert.equal((await client.next()).data.id, 1);
        await use.cluster.sql(`ROLLBACK PREPARED 'held'`);
    });

    test('a backend that is terminated in an open transaction sends nothing and holds nobody up', async () => {
        const client = await watchedTable(use.cluster, 'terminated');
        const victim = await use.cluster.connect();
        const { rows } = await victim.query('SELECT pg_backend_pid() AS pid');
        await victim.query('BEGIN; INSERT INTO terminated VALUES (1)');
        await use.cluster.sql('SELECT pg_terminate_backend($1)', [rows[0].pid]);
        await waitFor('its end', async () => !(await use.cluster.value('SELECT count(*)::int FROM pg_stat_activity WHERE pid = $1', [rows[0].pid])));
        await use.cluster.sql('INSERT INTO terminated VALUES (2)');
        assert.deepEqual(await changes(client, 'terminated'), ['INSERT 2']);
        await use.cluster.release(victim).catch(() => {});
    });

    test('a statement that is cancelled sends nothing', async () => {
        const client = await watchedTable(use.cluster, 'cancelled');
        await inSession(async (session) => {
            const { rows } = await session.query('SELECT pg_backend_pid() AS pid');
            const statement = session.query(`WITH i AS (INSERT INTO cancelled VALUES (1) RETURNING id) SELECT pg_sleep(60), id FROM i`);
            const refused = assert.rejects(statement, sqlState('57014'));
            await waitFor('the statement to sleep', () =>
                use.cluster.value(`SELECT wait_event = 'PgSleep' FROM pg_stat_activity WHERE pid = $1`, [rows[0].pid]),
            );
            await use.cluster.sql('SELECT pg_cancel_backend($1)', [rows[0].pid]);
            await refused;
        });
        assert.deepEqual(await changes(client, 'cancelled'), []);
    });

    test('with synchronous_commit = off every event arrives, in order', async () => {
        const client = await watchedTable(use.cluster, 'asynchronous');
        await inSession(async (session) => {
            await session.query('SET synchronous_commit = off');
            for (let id = 1; id <= 200; id++) await session.query('INSERT INTO asynchronous VALUES ($1)', [id]);
        });
        const all = Array.from({ length: 200 }, (_, index) => `INSERT ${index + 1}`);
        assert.deepEqual(await changes(client, 'asynchronous'), all);
    });

    test('a transaction that only broadcasts, and writes nothing, is sent between those that write', async () => {
        const client = await watchedTable(use.cluster, 'unwritten');
        for (let id = 1; id <= 20; id += 2) {
            await use.cluster.sql('INSERT INTO unwritten VALUES ($1)', [id]);
            await use.cluster.sql(`SELECT rtd_broadcast('unwritten', jsonb_build_object('operation', 'said', 'id', $1::int))`, [id + 1]);
        }
        const expected = Array.from({ length: 20 }, (_, index) => `${index % 2 ? 'said' : 'INSERT'} ${index + 1}`);
        assert.deepEqual(await changes(client, 'unwritten'), expected);
    });

    test('a transaction that stays open holds nobody up', async () => {
        const client = await watchedTable(use.cluster, 'held_open');
        await inSession(async (session) => {
            await session.query('BEGIN; INSERT INTO held_open VALUES (1)');
            for (let id = 2; id <= 10; id++) await use.cluster.sql('INSERT INTO held_open VALUES ($1)', [id]);
            for (let id = 2; id <= 10; id++) assert.equal((await client.next()).data.id, id);
            await session.query('COMMIT');
        });
        assert.equal((await client.next()).data.id, 1);
    });

    test('a commit that waits for a deferred constraint holds nobody up', async () => {
        const client = await watchedTable(use.cluster, 'slow_commit');
        await use.cluster.sql(`
            CREATE FUNCTION slow_commit() RETURNS trigger LANGUAGE plpgsql AS $$
            BEGIN PERFORM pg_advisory_xact_lock(4712); RETURN NULL; END $$;
            CREATE CONSTRAINT TRIGGER slow AFTER INSERT ON slow_commit DEFERRABLE INITIALLY DEFERRED
                FOR EACH ROW WHEN (NEW.id = 1) EXECUTE FUNCTION slow_commit();
            SELECT pg_advisory_lock(4712)`);
        await inSession(async (session) => {
            const insert = session.query('INSERT INTO slow_commit VALUES (1)');
            await waitFor('its commit to wait', () =>
                use.cluster.value(`SELECT count(*)::int FROM pg_locks WHERE locktype = 'advisory' AND NOT granted AND objid = 4712`),
            );
            await use.cluster.sql('INSERT INTO slow_commit VALUES (2)');
            assert.equal((await client.next()).data.id, 2);
            await use.cluster.sql('SELECT pg_advisory_unlock(4712)');
            await insert;
        });
        assert.equal((await client.next()).data.id, 1);
    });
});

describe('serializable transactions', () => {
    test('one that fails with 40001 sends nothing, its repetition sends once', async () => {
        const client = await watchedTable(use.cluster, 'serial');
        await use.cluster.sql('INSERT INTO serial SELECT n, NULL FROM generate_series(1, 2) n');
        await changes(client, 'serial');
        const [a, b] = [await use.cluster.connect(), await use.cluster.connect()];
        // Write skew: each counts what the other is about to change.
        for (const session of [a, b]) await session.query('BEGIN ISOLATION LEVEL SERIALIZABLE; SELECT count(note) FROM serial');
        await a.query(`UPDATE serial SET note = 'a' WHERE id = 1`);
        await b.query(`UPDATE serial SET note = 'b' WHERE id = 2`);
        await a.query('COMMIT');
        await assert.rejects(b.query('COMMIT'), sqlState('40001'));
        await b.query(`BEGIN ISOLATION LEVEL SERIALIZABLE; UPDATE serial SET note = 'b' WHERE id = 2; COMMIT`);
        assert.deepEqual(await changes(client, 'serial'), ['UPDATE 1', 'UPDATE 2']);
        for (const session of [a, b]) await use.cluster.release(session);
    });

    test('under contention, what is sent is exactly what was committed', async (t) => {
        await use.cluster.sql('CREATE TABLE contended_sum (id int PRIMARY KEY, n int); INSERT INTO contended_sum SELECT n, 0 FROM generate_series(1, 4) n');
        const client = await watchedTable(use.cluster, 'contended', 'id bigserial PRIMARY KEY, sum int');
        let failures = 0;
        const attempt = async (session: Connection, cell: number) => {
            try {
                await session.query('BEGIN ISOLATION LEVEL SERIALIZABLE');
                const { rows } = await session.query('SELECT sum(n)::int AS sum FROM contended_sum');
                await session.query('UPDATE contended_sum SET n = n + 1 WHERE id = $1', [cell]);
                await session.query('INSERT INTO contended (sum) VALUES ($1)', [rows[0].sum + 1]);
                await session.query('COMMIT');
                return true;
            } catch (error) {
                await session.query('ROLLBACK');
                sqlState('40001')(error);
                failures++;
                return false;
            }
        };
        const write = async (cell: number) =>
            inSession(async (session) => {
                for (let done = 0; done < 15; ) if (await attempt(session, cell)) done++;
            });
        await Promise.all([1, 2, 3, 4].map(write));
        t.diagnostic(`${failures} serialization failures`);
        assert.ok(failures > 0, 'the test made no conflict');
        const messages = await changes(client, 'contended');
        const rows = await use.cluster.sql('SELECT id::int FROM contended ORDER BY id');
        assert.deepEqual([...messages].sort(), rows.map(({ id }) => `INSERT ${id}`).sort());
    });
});

describe('ways to write', () => {
    test('COPY into a watched table sends every row, in order', async () => {
        const client = await watchedTable(use.cluster, 'copied', 'id int PRIMARY KEY');
        await use.cluster.sql(`COPY copied FROM PROGRAM 'seq 1 500'`);
        assert.deepEqual(await changes(client, 'copied'), Array.from({ length: 500 }, (_, index) => `INSERT ${index + 1}`));
    });

    test('a COPY that fails in its last line sends nothing', async () => {
        const client = await watchedTable(use.cluster, 'badly_copied', 'id int PRIMARY KEY');
        await assert.rejects(use.cluster.sql(`COPY badly_copied FROM PROGRAM 'seq 1 500; echo x'`), sqlState('22P02'));
        assert.deepEqual(await changes(client, 'badly_copied'), []);
    });

    test('INSERT ON CONFLICT tells what it did: inserted, updated, or nothing', async () => {
        const client = await watchedTable(use.cluster, 'upserted');
        await use.cluster.sql(`INSERT INTO upserted VALUES (1, 'a')`);
        await use.cluster.sql(`INSERT INTO upserted VALUES (1, 'b'), (2, 'b') ON CONFLICT (id) DO UPDATE SET note = EXCLUDED.note`);
        await use.cluster.sql(`INSERT INTO upserted VALUES (1, 'c'), (3, 'c') ON CONFLICT DO NOTHING`);
        await use.cluster.sql(`INSERT INTO upserted VALUES (1, 'b') ON CONFLICT (id) DO UPDATE SET note = EXCLUDED.note`);
        assert.deepEqual(await changes(client, 'upserted'), ['INSERT 1', 'UPDATE 1', 'INSERT 2', 'INSERT 3']);
    });

    test('MERGE tells what it did to each row', async () => {
        const client = await watchedTable(use.cluster, 'merged');
        await use.cluster.sql(`INSERT INTO merged VALUES (1, 'keep'), (2, 'change'), (3, 'delete')`);
        await changes(client, 'merged');
        await use.cluster.sql(`
            MERGE INTO merged USING (VALUES (2, 'changed'), (3, NULL), (4, 'new')) AS source (id, note) ON merged.id = source.id
            WHEN MATCHED AND source.note IS NULL THEN DELETE
            WHEN MATCHED THEN UPDATE SET note = source.note
            WHEN NOT MATCHED THEN INSERT VALUES (source.id, source.note)`);
        assert.deepEqual((await changes(client, 'merged')).sort(), ['DELETE 3', 'INSERT 4', 'UPDATE 2']);
    });

    test('data-modifying WITH tells of every table it writes', async () => {
        const [from, to] = [await watchedTable(use.cluster, 'moved_from'), await watchedTable(use.cluster, 'moved_to')];
        await use.cluster.sql(`INSERT INTO moved_from VALUES (1), (2)`);
        await use.cluster.sql(`WITH gone AS (DELETE FROM moved_from RETURNING *) INSERT INTO moved_to SELECT * FROM gone`);
        assert.deepEqual(await changes(from, 'moved_from'), ['INSERT 1', 'INSERT 2', 'DELETE 1', 'DELETE 2']);
        assert.deepEqual(await changes(to, 'moved_to'), ['INSERT 1', 'INSERT 2']);
    });

    test('foreign keys tell of the rows they delete, update and set to NULL', async () => {
        await use.cluster.sql('CREATE TABLE parents (id int PRIMARY KEY); INSERT INTO parents VALUES (1), (2), (3)');
        const cascading = await watchedTable(
            use.cluster,
            'cascading',
            'id int PRIMARY KEY, parent int REFERENCES parents ON DELETE CASCADE ON UPDATE CASCADE',
        );
        const nulling = await watchedTable(use.cluster, 'nulling', 'id int PRIMARY KEY, parent int REFERENCES parents ON DELETE SET NULL ON UPDATE CASCADE');
        await use.cluster.sql('INSERT INTO cascading VALUES (11, 1), (12, 1), (21, 2); INSERT INTO nulling VALUES (13, 1), (23, 2)');
        await Promise.all([changes(cascading, 'cascading'), changes(nulling, 'nulling')]);
        await use.cluster.sql('DELETE FROM parents WHERE id = 1');
        await use.cluster.sql('UPDATE parents SET id = 22 WHERE id = 2');
        assert.deepEqual(await changes(cascading, 'cascading'), ['DELETE 11', 'DELETE 12', 'UPDATE 21']);
        assert.deepEqual(await changes(nulling, 'nulling'), ['UPDATE 13', 'UPDATE 23']);
    });

    test('TRUNCATE of several tables is one event of each, CASCADE included, and of none if it is rolled back', async () => {
        const [first, second] = [await watchedTable(use.cluster, 'truncated_a'), await watchedTable(use.cluster, 'truncated_b')];
        const referring = await watchedTable(use.cluster, 'truncated_c', 'id int PRIMARY KEY, a int REFERENCES truncated_a');
        await use.cluster.query('BEGIN; TRUNCATE truncated_a, truncated_b CASCADE; ROLLBACK');
        await use.cluster.sql('TRUNCATE truncated_a, truncated_b CASCADE');
        assert.deepEqual(await changes(first, 'truncated_a'), ['TRUNCATE']);
        assert.deepEqual(await changes(second, 'truncated_b'), ['TRUNCATE']);
        assert.deepEqual(await changes(referring, 'truncated_c'), ['TRUNCATE']);
    });

    test('a deferred constraint trigger that writes at commit has its rows sent', async () => {
        const client = await watchedTable(use.cluster, 'late_rows');
        await use.cluster.sql(`
            CREATE TABLE causes (id int);
            CREATE FUNCTION late() RETURNS trigger LANGUAGE plpgsql AS $$
            BEGIN INSERT INTO late_rows VALUES (NEW.id, 'at commit'); RETURN NULL; END $$;
            CREATE CONSTRAINT TRIGGER late AFTER INSERT ON causes DEFERRABLE INITIALLY DEFERRED
                FOR EACH ROW EXECUTE FUNCTION late()`);
        await use.cluster.query('BEGIN; INSERT INTO causes VALUES (2); INSERT INTO late_rows VALUES (1); COMMIT');
        await use.cluster.sql('INSERT INTO causes VALUES (3)'); // makes its first event while it commits
        assert.deepEqual(await changes(client, 'late_rows'), ['INSERT 1', 'INSERT 2', 'INSERT 3']);
    });

    test('a deferred constraint that fails at commit sends nothing', async () => {
        const client = await watchedTable(use.cluster, 'late_failure', 'id int PRIMARY KEY, place int UNIQUE DEFERRABLE INITIALLY DEFERRED');
        await inSession(async (session) => {
            await session.query('BEGIN; INSERT INTO late_failure VALUES (1, 1), (2, 1)');
            await assert.rejects(session.query('COMMIT'), sqlState('23505'));
        });
        assert.deepEqual(await changes(client, 'late_failure'), []);
    });

    test('a transaction with parallel queries sends what it wrote, before and after them', async () => {
        const client = await watchedTable(use.cluster, 'beside_parallel');
        await use.cluster.sql('CREATE TABLE much AS SELECT n FROM generate_series(1, 20000) AS n; ANALYZE much');
        await inSession(async (session) => {
            await session.query(`SET parallel_setup_cost = 0; SET parallel_tuple_cost = 0;
                SET min_parallel_table_scan_size = 0; SET max_parallel_workers_per_gather = 2`);
            const { rows: plan } = await session.query('EXPLAIN SELECT count(*) FROM much');
            assert.match(JSON.stringify(plan), /Gather/, 'the query is parallel');
            await session.query('BEGIN; INSERT INTO beside_parallel VALUES (1)');
            const { rows } = await session.query('SELECT count(*)::int AS n FROM much');
            assert.equal(rows[0].n, 20000);
            await session.query('INSERT INTO beside_parallel SELECT 1 + count(*)::int FROM much');
            await session.query('COMMIT');
        });
        assert.deepEqual(await changes(client, 'beside_parallel'), ['INSERT 1', 'INSERT 20001']);
    });

    test('a cursor and a prepared statement are statements like others', async () => {
        const client = await watchedTable(use.cluster, 'by_cursor');
        await use.cluster.query(`
            INSERT INTO by_cursor VALUES (1), (2);
            BEGIN;
            DECLARE c CURSOR FOR SELECT * FROM by_cursor ORDER BY id FOR UPDATE;
            MOVE 2 FROM c;
            UPDATE by_cursor SET note = 'here' WHERE CURRENT OF c;
            PREPARE p AS DELETE FROM by_cursor WHERE id = $1;
            EXECUTE p(1);
            COMMIT`);
        assert.deepEqual(await changes(client, 'by_cursor'), ['INSERT 1', 'INSERT 2', 'UPDATE 2', 'DELETE 1']);
    });

    test('a temporary table beside a watched one changes nothing', async () => {
        const client = await watchedTable(use.cluster, 'beside_temporary');
        await use.cluster.query(`
            BEGIN; CREATE TEMP TABLE mine ON COMMIT DROP AS SELECT 7 AS id; INSERT INTO beside_temporary SELECT id FROM mine; COMMIT`);
        assert.deepEqual(await changes(client, 'beside_temporary'), ['INSERT 7']);
    });
});

describe('partitions', () => {
    test('rows of every partition are told by their parent, one that moves as it is: gone and new', async () => {
        const client = await watchedTable(use.cluster, 'parted', 'id int, region text, note text, PRIMARY KEY (id, region)', 'PARTITION BY LIST (region)');
        await use.cluster.sql(`
            CREATE TABLE parted_north PARTITION OF parted FOR VALUES IN ('north');
            CREATE TABLE parted_south PARTITION OF parted FOR VALUES IN ('south');
            CREATE TABLE parted_rest PARTITION OF parted DEFAULT`);
        const say = async () =>
            (await messagesUntilNow(use.cluster, client, 'parted')).map(({ data }) => `${data.operation} ${data.id} ${data.region}`);
        await use.cluster.sql(`INSERT INTO parted VALUES (1, 'north'), (2, 'south'), (3, 'elsewhere')`);
        await use.cluster.sql(`INSERT INTO parted_north VALUES (4, 'north')`);
        await use.cluster.sql(`UPDATE parted SET note = 'x' WHERE id = 2`);
        assert.deepEqual(await say(), ['INSERT 1 north', 'INSERT 2 south', 'INSERT 3 elsewhere', 'INSERT 4 north', 'UPDATE 2 south']);
        await use.cluster.sql(`UPDATE parted SET region = 'south' WHERE id = 1`);
        assert.deepEqual(await say(), ['DELETE 1 north', 'INSERT 1 south']);
        await use.cluster.query(`BEGIN; UPDATE parted SET region = 'north' WHERE id = 1; ROLLBACK`);
        assert.deepEqual(await say(), []);
    });

    test('a partition that is attached is told of from then on, a detached one no more', async () => {
        const client = await watchedTable(use.cluster, 'attached', 'id int PRIMARY KEY', 'PARTITION BY RANGE (id)');
        await use.cluster.sql(`CREATE TABLE attached_1 (id int PRIMARY KEY); INSERT INTO attached_1 VALUES (1)`);
        await use.cluster.sql('ALTER TABLE attached ATTACH PARTITION attached_1 FOR VALUES FROM (1) TO (10)');
        await use.cluster.sql('INSERT INTO attached VALUES (2); INSERT INTO attached_1 VALUES (3)');
        await use.cluster.sql('ALTER TABLE attached DETACH PARTITION attached_1');
        await use.cluster.sql('INSERT INTO attached_1 VALUES (4)');
        assert.deepEqual(await changes(client, 'attached'), ['INSERT 2', 'INSERT 3']);
    });
});
