// Deadlocks between a session and a query worker: the one that ends is never the session's statement. A worker gives
// way well before deadlock_timeout, whatever that is, and looks for a deadlock itself before the session does.

import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import type { Connection } from '../lib/cluster';
import { createTopic, subscribe, useCluster } from '../lib/harness';
import { waitFor } from '../lib/wait';

const use = useCluster({ settings: { 'rtd.statement_timeout': '1h', 'rtd.linger': 0 } });

async function setDeadlockTimeout(value: string) {
    await use.cluster.reload({ deadlock_timeout: value });
    await waitFor('the setting', async () => (await use.cluster.value('SHOW deadlock_timeout')) === value);
}

/** The code of the error, if there is one. */
const codeOf = (session: Connection, statement: string) => session.query(statement).then(() => '', (error) => error.code as string);

async function statesOf(tables: string[], topic: string, query: string) {
    for (const table of tables) await use.cluster.sql(`CREATE TABLE ${table} (n int); INSERT INTO ${table} VALUES (0)`);
    await createTopic(use.cluster, topic, `query => $$${query}$$, throttle => '0'`);
    await use.cluster.sql(`SELECT rtd_watch_table('${tables[1]}', '${topic}')`);
    const client = await subscribe(use.cluster, topic);
    await client.next();
    return client;
}

describe('a session that locks the tables of a query in the other order', () => {
    for (const [timeout, rounds, waits] of [['10ms', 20, 0.03], ['50ms', 8, 0.07], ['1s', 4, 0]] as const)
        test(`is not the victim with deadlock_timeout = ${timeout}`, async () => {
            const name = `order_${timeout}`;
            const client = await statesOf([`${name}_a`, `${name}_b`], name.replace('_', '-'), `SELECT b.n FROM ${name}_a a, ${name}_b b`);
            await setDeadlockTimeout(timeout);
            const session = await use.cluster.connect();
            const refresher = await use.cluster.connect();
            for (let round = 1; round <= rounds; round++) {
                await session.query(`BEGIN; LOCK TABLE ${name}_b`);
                await refresher.query(`SELECT rtd_refresh('${name.replace('_', '-')}')`);
                // In the middle of the worker's wait, where it still waits that long.
                await session.query(`DO $$ BEGIN
                    FOR i IN 1..100 LOOP
                        EXIT WHEN EXISTS (SELECT FROM pg_locks WHERE NOT granted AND relation = '${name}_b'::regclass);
                        PERFORM pg_sleep(0.001);
                    END LOOP;
                    PERFORM pg_sleep(${waits}); -- the worker has looked for a deadlock by then, and found none
                    END $$`);
                assert.equal(await codeOf(session, `LOCK TABLE ${name}_a`), '', `in round ${round}`);
                await session.query(`UPDATE ${name}_b SET n = ${round}; COMMIT`);
                await client.next(({ data }) => data[0]?.n === round);
            }
            await use.cluster.release(session);
            await use.cluster.release(refresher);
            client.socket.terminate();
        });

    test('is not the victim where the query asks for its second table shortly before the session looks', async () => {
        await setDeadlockTimeout('1s');
        await use.cluster.sql(`
            CREATE TABLE late_a (n int); CREATE TABLE late_b (n int); INSERT INTO late_a VALUES (0); INSERT INTO late_b VALUES (0);
            CREATE FUNCTION reads_late() RETURNS int LANGUAGE plpgsql AS $$
            DECLARE waited interval;
            BEGIN
                PERFORM n FROM late_a;
                FOR i IN 1..400 LOOP
                    SELECT clock_timestamp() - waitstart INTO waited FROM pg_locks WHERE NOT granted AND relation = 'late_a'::regclass;
                    EXIT WHEN waited > interval '880 ms' OR NOT EXISTS (SELECT FROM pg_locks WHERE granted AND relation = 'late_b'::regclass);
                    PERFORM pg_sleep(0.005);
                END LOOP;
                RETURN (SELECT n FROM late_b);
            END $$`);
        await createTopic(use.cluster, 'late', `query => 'SELECT reads_late() AS n', throttle => '0'`);
        await use.cluster.sql(`SELECT rtd_watch_table('late_b', 'late')`);
        const client = await subscribe(use.cluster, 'late');
        await client.next();
        const session = await use.cluster.connect();
        for (let round = 1; round <= 3; round++) {
            await session.query(`BEGIN; LOCK TABLE late_b`);
            await use.cluster.sql(`SELECT rtd_refresh('late')`);
            await waitFor('the query to have its first table', () =>
                use.cluster.value(`SELECT true FROM pg_locks WHERE granted AND relation = 'late_a'::regclass`));
            assert.equal(await codeOf(session, 'LOCK TABLE late_a'), '', `in round ${round}`);
            await session.query(`UPDATE late_b SET n = ${round}; COMMIT`);
            await client.next(({ data }) => data[0]?.n === round);
        }
        await use.cluster.release(session);
    });
});
