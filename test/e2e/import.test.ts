// An import into a watched table whose topic has a parameter, while nobody subscribes: one instance for
// each value. The hub once compared every row with all instances so far, every other topic stood still
// for a minute, and one row of rtd_retained stayed for each value for ever.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { createTopic, subscribe, subscriberCount, useCluster } from '../lib/harness';
import { Subscriber } from '../lib/subscriber';
import { waitFor } from '../lib/wait';

const most = 1000;
const use = useCluster({ settings: { 'rtd.max_retained_messages': most, 'rtd.linger': 0 } });

const retained = (topic: string) =>
    use.cluster.value(`SELECT count(*)::int FROM rtd_retained WHERE topic = '${topic}'`) as Promise<number>;

/** The value's message is in the table: it was written last. */
const isStored = async (topic: string, value: string) =>
    (await use.cluster.value(`SELECT count(*)::int FROM rtd_retained WHERE topic = $1 AND params = ARRAY[$2]`, [topic, value])) === 1;

async function importRows(table: string, transactions: number, rows: number) {
    await use.cluster.sql(`CREATE TABLE ${table} (id int PRIMARY KEY, place text NOT NULL)`);
    await createTopic(use.cluster, table, `parameters => '{place}'`);
    await use.cluster.sql(`SELECT rtd_watch_table('${table}')`);
    for (let n = 0; n < transactions; n++)
        await use.cluster.sql(`INSERT INTO ${table} SELECT id, 'place ' || id FROM generate_series(${n * rows + 1}, ${(n + 1) * rows}) id`);
    return `place ${transactions * rows}`;
}

test('an import of many values leaves as many retained messages as are allowed, the newest', async () => {
    const last = await importRows('imported', 8, 5000);
    await waitFor('the last row to be stored', () => isStored('imported', last), { deadlineMs: 60_000 });
    await waitFor('the bound', async () => (await retained('imported')) <= most, { deadlineMs: 10_000 });
    assert.equal(await retained('imported'), most);
    const oldest = await use.cluster.value(
        `SELECT min(substr(params[1], 7)::int) FROM rtd_retained WHERE topic = 'imported'`);
    assert.equal(Number(oldest), 40_000 - most + 1);
    const client = await Subscriber.open(use.cluster.url('imported', last));
    assert.equal((await client.next()).data.id, 40_000);
    const told = use.cluster.log().match(/topic "imported" retains the messages of 1000 instances/g);
    assert.equal(told?.length, 1, 'the log says it once');
});

test('values that come again and again are the newest', async () => {
    const last = await importRows('again', 1, most);
    await waitFor('all to be stored', () => isStored('again', last), { deadlineMs: 30_000 });
    await use.cluster.sql(`UPDATE again SET id = -id WHERE place = 'place 1'`);
    await waitFor('the update to be stored', async () =>
        (await use.cluster.value(`SELECT message FROM rtd_retained WHERE topic = 'again' AND params = '{place 1}'`)).includes('-1'), { deadlineMs: 10_000 });
    await use.cluster.sql(`INSERT INTO again VALUES (0, 'another place')`);
    await waitFor('the other place to be stored', () => isStored('again', 'another place'), { deadlineMs: 10_000 });
    assert.equal(await retained('again'), most);
    assert.ok(await isStored('again', 'place 1'));
    assert.ok(!(await isStored('again', 'place 2')), 'the oldest went');
});

test('broadcasts to many values are bounded too, and each topic has a bound of its own', async () => {
    await createTopic(use.cluster, 'sent', `parameters => '{place,room}'`);
    await createTopic(use.cluster, 'single');
    await use.cluster.sql(`SELECT rtd_broadcast('single', '1')`);
    await use.cluster.sql(`SELECT count(rtd_broadcast('sent', '1', ARRAY[id::text, 'a'])) FROM generate_series(1, 5000) id`);
    const isLastStored = async () =>
        (await use.cluster.value(`SELECT count(*)::int FROM rtd_retained WHERE topic = 'sent' AND params = '{5000,a}'`)) === 1;
    await waitFor('the last one to be stored', isLastStored, { deadlineMs: 30_000 });
    assert.equal(await retained('sent'), most);
    assert.equal(await retained('single'), 1);
});

test('a topic that somebody subscribes to gets its messages during an import', async () => {
    await createTopic(use.cluster, 'quiet');
    const client = await subscribe(use.cluster, 'quiet');
    const importing = importRows('meanwhile', 4, 5000);
    for (let n = 0; n < 20; n++) {
        await use.cluster.sql('SELECT rtd_broadcast($1, to_jsonb($2::int))', ['quiet', n]);
        assert.equal((await client.next()).data, n);
    }
    await waitFor('the end of the import to be stored', async () => isStored('meanwhile', await importing), { deadlineMs: 60_000 });
    assert.equal(await subscriberCount(use.cluster, 'quiet'), 1);
    assert.equal(await retained('meanwhile'), most);
});
