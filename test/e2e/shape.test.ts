// The shape of a topic's data is decided when the topic is made, and does not depend on how many rows
// its query happens to return.

import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { createTopic, subscribe, useCluster } from '../lib/harness';
import { Subscriber } from '../lib/subscriber';

const use = useCluster();

/** A table of one column that a state topic of the same name shows, and a client of it. */
async function shownColumn(name: string, type: string, options = '') {
    const topic = name.replace(/_/g, '-');
    await use.cluster.sql(`CREATE TABLE ${name} (id int GENERATED ALWAYS AS IDENTITY, v ${type})`);
    await createTopic(use.cluster, topic, `query => 'SELECT v FROM ${name} ORDER BY id', throttle => '0'${options}`);
    await use.cluster.sql(`SELECT rtd_watch_table('${name}')`);
    return subscribe(use.cluster, topic);
}

const nextData = async (client: Subscriber) => (await client.next(({ kind }) => kind !== 'control')).data;

describe('the number of rows does not change the shape', () => {
    for (const type of ['text', 'varchar(20)', 'int', 'numeric'])
        test(`one column of type ${type} with 0, 1, 2 and 1 rows is an array of rows each time`, async () => {
            const name = `rows_${type.replace(/\W.*/, '')}`;
            const client = await shownColumn(name, type);
            const value = /int|num/.test(type) ? 1 : '1';
            assert.deepEqual(await nextData(client), []);
            await use.cluster.sql(`INSERT INTO ${name} (v) VALUES ('1')`);
            assert.deepEqual(await nextData(client), [{ v: value }]);
            await use.cluster.sql(`INSERT INTO ${name} (v) VALUES ('1')`);
            assert.deepEqual(await nextData(client), [{ v: value }, { v: value }]);
            await use.cluster.sql(`DELETE FROM ${name} WHERE id = 1`);
            assert.deepEqual(await nextData(client), [{ v: value }]);
        });

    for (const [type, options] of [['json', ''], ['jsonb', ''], ['text', `, shape => 'value'`]])
        test(`one column of type ${type}${options} is a value with 0 and 1 rows, and 2 rows are a failure`, async () => {
            const name = `value_${type}`;
            const client = await shownColumn(name, type, options);
            assert.equal(await nextData(client), null);
            await use.cluster.sql(`INSERT INTO ${name} (v) VALUES ('{"a": 1}')`);
            assert.deepEqual(await nextData(client), { a: 1 });
            const position = use.cluster.logPosition();
            await use.cluster.sql(`INSERT INTO ${name} (v) VALUES ('{"a": 2}')`);
            await use.cluster.waitForLog(/returned more than one row.*jsonb_agg.*SQLSTATE 21000/, position);
            await use.cluster.sql(`DELETE FROM ${name} WHERE id = 1`);
            assert.deepEqual(await nextData(client), { a: 2 });
            await use.cluster.sql(`UPDATE ${name} SET v = NULL`);
            assert.equal(await nextData(client), null);
            assert.equal(client.messages.filter(({ kind }) => kind === 'snapshot').length, 4);
        });

    test('a json column that was declared to be rows stays in its row', async () => {
        const client = await shownColumn('json_rows', 'json', `, shape => 'rows'`);
        assert.deepEqual(await nextData(client), []);
        await use.cluster.sql(`INSERT INTO json_rows (v) VALUES ('[1]')`);
        assert.deepEqual(await nextData(client), [{ v: [1] }]);
    });

    test('another shape reaches those who are connected', async () => {
        const client = await shownColumn('reshaped', 'text');
        await use.cluster.sql(`INSERT INTO reshaped (v) VALUES ('{"a": 1}')`);
        await client.next(({ data }) => data.length === 1);
        await use.cluster.sql(`SELECT rtd_alter_topic('reshaped', shape => 'value')`);
        assert.deepEqual(await nextData(client), { a: 1 });
        await use.cluster.sql(`SELECT rtd_alter_topic('reshaped', shape => 'rows')`);
        assert.deepEqual(await nextData(client), [{ v: '{"a": 1}' }]);
    });
});

describe('what the query reads changes its columns', () => {
    test('a value that becomes two columns is a failure, and not another shape', async () => {
        await use.cluster.sql(`CREATE VIEW widened AS SELECT '{"a": 1}'::jsonb AS v`);
        await createTopic(use.cluster, 'widened', `query => 'SELECT * FROM widened'`);
        const client = await subscribe(use.cluster, 'widened');
        assert.deepEqual(await nextData(client), { a: 1 });
        const position = use.cluster.logPosition();
        await use.cluster.sql(`CREATE OR REPLACE VIEW widened AS SELECT '{"a": 1}'::jsonb AS v, 2 AS w;
            SELECT rtd_refresh('widened')`);
        await use.cluster.waitForLog(/topic "widened" is one value, but its query returns 2 columns.*SQLSTATE 42804/, position);
        await use.cluster.sql(`DROP VIEW widened; CREATE VIEW widened AS SELECT '{"a": 2}'::jsonb AS v;
            SELECT rtd_refresh('widened')`);
        assert.deepEqual(await nextData(client), { a: 2 });
    });

    test('rows that become a single json column are rows still', async () => {
        await use.cluster.sql(`CREATE VIEW narrowed AS SELECT 1 AS a, 2 AS b`);
        await createTopic(use.cluster, 'narrowed', `query => 'SELECT * FROM narrowed'`);
        const client = await subscribe(use.cluster, 'narrowed');
        assert.deepEqual(await nextData(client), [{ a: 1, b: 2 }]);
        await use.cluster.sql(`DROP VIEW narrowed; CREATE VIEW narrowed AS SELECT '[7]'::jsonb AS v;
            SELECT rtd_refresh('narrowed')`);
        assert.deepEqual(await nextData(client), [{ v: [7] }]);
    });

    test('a second column of one name, which comes later with SELECT *, is a failure and drops nothing', async () => {
        await use.cluster.sql(`
            CREATE TABLE left_side (id int); CREATE TABLE right_side (other int);
            INSERT INTO left_side VALUES (70); INSERT INTO right_side VALUES (1)`);
        await createTopic(use.cluster, 'sides', `query => 'SELECT * FROM left_side, right_side'`);
        await use.cluster.sql(`SELECT rtd_watch_table('left_side', 'sides', columns => '{id}'),
                                      rtd_watch_table('right_side', 'sides', columns => '{}')`);
        const client = await subscribe(use.cluster, 'sides');
        assert.deepEqual(await nextData(client), [{ id: 70, other: 1 }]);
        const position = use.cluster.logPosition();
        await use.cluster.sql('ALTER TABLE right_side RENAME COLUMN other TO id');
        await use.cluster.waitForLog(/returns more than one column named "id".*SQLSTATE 42701.*topic "sides"/, position);
        await use.cluster.sql('ALTER TABLE right_side RENAME COLUMN id TO customer');
        assert.deepEqual(await nextData(client), [{ id: 70, customer: 1 }]);
    });
});
