// Tables whose rows come by logical replication: a real publication, in another database of the server,
// and a real subscription in the served one.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { createTopic, subscribe, useCluster } from '../lib/harness';
import { Cluster } from '../lib/cluster';
import { waitFor } from '../lib/wait';

const use = useCluster({ settings: { wal_level: 'logical' } }, async (cluster) => {
    await cluster.sql('CREATE DATABASE origin');
    const origin = await cluster.connect({ database: 'origin' });
    for (const connection of [origin, await cluster.connect()])
        await connection.query('CREATE TABLE goods (id int PRIMARY KEY, name text); CREATE TABLE quiet (id int PRIMARY KEY)');
    await origin.query('CREATE PUBLICATION everything FOR ALL TABLES');
    // Within one server the slot must exist before, or CREATE SUBSCRIPTION would wait for itself.
    await origin.query(`SELECT pg_create_logical_replication_slot('to_app', 'pgoutput')`);
    await cluster.release(origin);
});

async function subscribeToPublication(cluster: Cluster) {
    await cluster.sql(`
        CREATE SUBSCRIPTION from_origin CONNECTION 'host=${cluster.dir} port=5432 user=postgres dbname=origin'
        PUBLICATION everything WITH (create_slot = false, slot_name = 'to_app', copy_data = false)`);
}

test('a replicated row is an event where the watch has a row trigger that fires always', async () => {
    await createTopic(use.cluster, 'goods-state', `query => 'SELECT id, name FROM goods ORDER BY id', throttle => '0'`);
    await createTopic(use.cluster, 'goods-events');
    await createTopic(use.cluster, 'quiet-state', `query => 'SELECT id FROM quiet', throttle => '0'`);
    await use.cluster.sql(`
        SELECT rtd_watch_table('goods', 'goods-state', condition => 'true', operations => '{INSERT,UPDATE,DELETE}'),
               rtd_watch_table('goods', 'goods-events', columns => '{id,name}'),
               rtd_watch_table('quiet', 'quiet-state');
        ALTER TABLE goods ENABLE ALWAYS TRIGGER "rtd_goods-state", ENABLE ALWAYS TRIGGER "rtd_goods-events"`);
    await subscribeToPublication(use.cluster);
    try {
        const [state, events, quiet] = [
            await subscribe(use.cluster, 'goods-state'),
            await subscribe(use.cluster, 'goods-events'),
            await subscribe(use.cluster, 'quiet-state'),
        ];
        assert.deepEqual((await state.next()).data, []);
        await quiet.next();
        const origin = await use.cluster.connect({ database: 'origin' });
        await origin.query(`INSERT INTO quiet VALUES (1); INSERT INTO goods VALUES (1, 'tea'), (2, 'salt')`);
        assert.deepEqual((await state.next()).data, [{ id: 1, name: 'tea' }, { id: 2, name: 'salt' }]);
        await origin.query(`UPDATE goods SET name = 'sea salt' WHERE id = 2`);
        assert.deepEqual((await state.next()).data[1], { id: 2, name: 'sea salt' });
        await origin.query(`DELETE FROM goods WHERE id = 1`);
        assert.deepEqual((await state.next()).data, [{ id: 2, name: 'sea salt' }]);
        await waitFor('the events', () => events.messages.length === 4);
        assert.deepEqual(
            events.messages.map(({ data }) => `${data.operation} ${data.id} ${data.name}`),
            ['INSERT 1 tea', 'INSERT 2 salt', 'UPDATE 2 sea salt', 'DELETE 1 tea'],
        );
        assert.equal(await use.cluster.value('SELECT count(*)::int FROM quiet'), 1);
        assert.equal(quiet.messages.length, 1, 'a plain watch does not see it, as docs/TOPICS.md says');
    } finally {
        await use.cluster.sql(`
            ALTER SUBSCRIPTION from_origin DISABLE;
            ALTER SUBSCRIPTION from_origin SET (slot_name = NONE);
            DROP SUBSCRIPTION from_origin`);
    }
});
