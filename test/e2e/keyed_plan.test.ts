// The query that reads changed rows takes the index, on a table of a million rows: the plans are those
// that the query workers run, as auto_explain logs them.

import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { escapeLiteral } from 'pg';
import { Cluster } from '../lib/cluster';
import { createTopic, useCluster } from '../lib/harness';
import { Subscriber } from '../lib/subscriber';
import { waitFor } from '../lib/wait';

const rows = 1_000_000;

async function prepare(cluster: Cluster) {
    await cluster.sql(`
        CREATE TABLE item (id int PRIMARY KEY, tenant int NOT NULL, number int NOT NULL, shown boolean NOT NULL, owner int NOT NULL, price numeric NOT NULL);
        INSERT INTO item SELECT id, id % 10, id / 10, id % 10000 = 0, id % 1000, 1 FROM generate_series(1, ${rows}) id;
        ALTER TABLE item ADD UNIQUE (tenant, number);
        CREATE TABLE owner (id int PRIMARY KEY, name text);
        INSERT INTO owner SELECT id, 'owner ' || id FROM generate_series(0, 999) id;
        CREATE TABLE part (id int PRIMARY KEY, item_id int NOT NULL, weight int NOT NULL);
        INSERT INTO part SELECT id, id, 1 FROM generate_series(1, ${rows}) id;
        CREATE INDEX ON part (item_id);
        CREATE VIEW heavy AS
            SELECT i.id, o.name, i.price, sum(p.weight) AS weight
              FROM item i JOIN owner o ON o.id = i.owner JOIN part p ON p.item_id = i.id
             WHERE i.shown GROUP BY i.id, o.id;
        ANALYZE`);
}

const settings = { shared_preload_libraries: 'rtd,auto_explain', 'auto_explain.log_min_duration': -1, max_wal_size: '2GB' };
const use = useCluster({ settings }, prepare);

/** The plan of the query that a change makes a query worker run. */
async function planOf(topic: string, query: string, key: string, change: (n: number) => string, tables = ['item']): Promise<string> {
    const { cluster } = use;
    await createTopic(cluster, topic, `query => ${escapeLiteral(query)}, key => '${key}'`);
    for (const table of tables) await cluster.sql(`SELECT rtd_watch_table('${table}', '${topic}')`);
    const client = await Subscriber.open(cluster.url(topic));
    await client.next(({ kind }) => kind === 'snapshot', 60_000);
    // After five runs the server may change its mind about a plan.
    for (let n = 1; n <= 7; n++) {
        await cluster.sql(change(n));
        await client.next(({ kind }) => kind === 'delta', 60_000);
    }
    await cluster.reload({ 'auto_explain.log_min_duration': 0 });
    const position = cluster.logPosition();
    let n = 8; // until the worker that is asked has heard of the setting
    const [plan] = await waitFor('a plan in the log', async () => {
        await cluster.sql(change(n++));
        await client.next(({ kind }) => kind === 'delta', 60_000);
        return cluster.logSince(position).match(/rtd_r\.row FROM[\s\S]*?\n(?=\d{4}-)/);
    });
    await cluster.reload({ 'auto_explain.log_min_duration': -1 });
    await client.close();
    return plan;
}

function assertIndexed(plan: string, indexes: string[]) {
    assert.doesNotMatch(plan, /Seq Scan on (item|part)/, plan);
    for (const index of indexes) assert.match(plan, new RegExp(`${index}[\\s\\S]*?Index Cond: `), plan);
}

describe('changed rows are read by index', () => {
    test('by one column, with a filter', async () => {
        const plan = await planOf('by-id', 'SELECT id, price FROM item WHERE shown', '{id}', (n) => `UPDATE item SET price = price + ${n} WHERE id = 20000`);
        assertIndexed(plan, ['item_pkey']);
    });

    test('by several columns', async () => {
        const query = 'SELECT tenant, number, price FROM item WHERE shown';
        const plan = await planOf('by-two', query, '{tenant,number}', (n) => `UPDATE item SET price = price + ${n} WHERE id = 20000`);
        assertIndexed(plan, ['item_tenant_number_key']);
    });

    test('below joins and GROUP BY, for each of the tables', async () => {
        for (const [topic, change] of [
            ['by-item', (n: number) => `UPDATE item SET price = price + ${n} WHERE id = 30000`],
            ['by-part', (n: number) => `UPDATE part SET weight = weight + ${n} WHERE item_id = 40000`],
        ] as const) {
            const plan = await planOf(topic, 'SELECT * FROM heavy', '{id}', change, ['item', 'part']);
            assertIndexed(plan, ['item_pkey', 'part_item_id_idx']);
        }
    });

    test('also a thousand at once', async () => {
        const change = (n: number) => `UPDATE item SET price = price + ${n} WHERE id % 1000 = 0`;
        assertIndexed(await planOf('by-thousand', 'SELECT id, price FROM item WHERE shown', '{id}', change), ['item_pkey']);
    });
});
