// pg_upgrade: a cluster with live topics moves to a new one, whose functions and collations have other
// OIDs, and every topic works as before. OLD_PG_CONFIG names an older server, for which rtd is installed
// too (make install PG_CONFIG=... in a copy of the tree); without it both are the same.

import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { readdirSync, readFileSync } from 'node:fs';
import { after, afterEach, before, test } from 'node:test';
import { asServer, bindir, Cluster } from '../lib/cluster';
import { createTopic, expectMessage, subscribe } from '../lib/harness';
import { closeSubscribers, parseId, Subscriber } from '../lib/subscriber';

const oldBindir = process.env.OLD_PG_CONFIG ? execFileSync(process.env.OLD_PG_CONFIG, ['--bindir'], { encoding: 'utf8' }).trim() : bindir;
let old: Cluster;
let cluster: Cluster; // the new one
let lastId: string; // of the durable topic's second message
let oidsBefore: unknown;
let logOfUpgrade: string;
let logOfServers: string; // that pg_upgrade ran

const oids = (where: Cluster) =>
    where.sql(`SELECT '"My Tests".moved(jsonb,jsonb)'::regprocedure::oid AS moved, '"My Tests".ci'::regcollation::oid AS ci`);

async function fill() {
    await old.sql(`
        CREATE SCHEMA "My Tests";
        CREATE FUNCTION dropped(old jsonb, new jsonb) RETURNS boolean LANGUAGE sql RETURN true;
        CREATE COLLATION dropped (provider = icu, locale = 'und');
        CREATE TYPE "My Tests".mood AS ENUM ('happy', 'sad');
        CREATE COLLATION "My Tests".ci (provider = icu, locale = 'und-u-ks-level2', deterministic = false);
        CREATE FUNCTION "My Tests".moved(old jsonb, new jsonb) RETURNS boolean LANGUAGE sql
            RETURN abs((new ->> 'count')::int - (old ->> 'count')::int) > 10;
        DROP FUNCTION dropped;
        DROP COLLATION dropped;
        CREATE TABLE counter (count int);
        INSERT INTO counter VALUES (100);
        CREATE TABLE feeling (id int PRIMARY KEY, mood "My Tests".mood);
        CREATE TABLE person (name text COLLATE "My Tests".ci PRIMARY KEY, age int);
        INSERT INTO person VALUES ('anna', 1);`);
    await createTopic(old, 'counter', `significant => '"My Tests".moved(jsonb,jsonb)', throttle => '0',
        query => 'SELECT jsonb_build_object(''count'', count) FROM counter'`);
    await createTopic(old, 'feeling', `parameters => '{mood}'`);
    await createTopic(old, 'person', `parameters => '{name}', query => 'SELECT age FROM person WHERE name = $1'`);
    await createTopic(old, 'log', 'durable => true');
    await old.sql(`SELECT rtd_watch_table('counter'), rtd_watch_table('feeling'), rtd_watch_table('person'),
        rtd_listen('said', 'log')`);
    const client = await subscribe(old, 'log');
    for (const n of [1, 2, 3]) await old.sql(`SELECT rtd_broadcast('log', $1)`, [String(n)]);
    const ids = [await client.next(), await client.next(), await client.next()].map(({ id }) => id);
    lastId = ids[1];
    oidsBefore = await oids(old);
}

function upgrade(): string {
    return execFileSync(
        ...asServer(`${bindir}/pg_upgrade`, [
            ...['-b', oldBindir, '-B', bindir, '-d', old.dataDir, '-D', cluster.dataDir],
            ...['-U', 'postgres', '-s', cluster.dir, '-p', '5433', '-P', '5434', '--retain'],
        ]),
        { cwd: cluster.dir, encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe'] },
    );
}

const serverLogs = (folder: string) =>
    readdirSync(folder, { recursive: true })
        .map(String)
        .filter((name) => name.endsWith('pg_upgrade_server.log'))
        .map((name) => readFileSync(`${folder}/${name}`, 'utf8'))
        .join('');

before(async () => {
    old = await Cluster.create({ bindir: oldBindir });
    await fill();
    closeSubscribers();
    await old.closeConnections();
    cluster = await Cluster.create({ install: false });
    await cluster.closeConnections();
    await Promise.all([old.stop(), cluster.stop()]);
    try {
        logOfUpgrade = upgrade();
    } catch (error) {
        throw new Error(`pg_upgrade failed: ${(error as { stdout?: string }).stdout}`, { cause: error });
    }
    logOfServers = serverLogs(`${cluster.dataDir}/pg_upgrade_output.d`);
    await cluster.start();
    await cluster.ready();
});
afterEach(closeSubscribers);
after(async () => {
    await old?.destroy();
    await cluster?.destroy();
});

test('pg_upgrade takes the cluster, with rtd asleep meanwhile', async () => {
    assert.match(logOfUpgrade, /Upgrade Complete/);
    assert.notDeepEqual(await oids(cluster), oidsBefore, 'the function and the collation have other OIDs');
    assert.match(logOfServers, /database system is ready to accept connections/);
    assert.equal(/rtd hub|rtd could|topics did/.exec(logOfServers)?.[0], undefined, 'no hub ran, and nothing followed DDL');
});

test('a significant function is still asked', async () => {
    assert.equal(await cluster.value(`SELECT significant FROM rtd_topics WHERE name = 'counter'`), '"My Tests".moved(jsonb,jsonb)');
    const client = await subscribe(cluster, 'counter');
    assert.equal((await client.next()).data.count, 100);
    await cluster.sql('UPDATE counter SET count = 105');
    await cluster.sql('UPDATE counter SET count = 120');
    assert.equal((await client.next()).data.count, 120, '105 is not sent');
});

test('parameters keep their types and collations', async () => {
    assert.deepEqual(await cluster.sql(`SELECT name, parameter_types FROM rtd_topics WHERE parameters <> '{}' ORDER BY name`), [
        { name: 'feeling', parameter_types: ['"My Tests".mood'] },
        { name: 'person', parameter_types: ['text'] },
    ]);
    const happy = await subscribe(cluster, 'feeling', 'happy');
    const sad = await subscribe(cluster, 'feeling', 'sad');
    await cluster.sql(`INSERT INTO feeling VALUES (1, 'sad'), (2, 'happy')`);
    assert.equal((await happy.next()).data.id, 2);
    assert.equal((await sad.next()).data.id, 1);
    const anna = await subscribe(cluster, 'person', 'ANNA');
    assert.deepEqual((await anna.next()).data, [{ age: 1 }]);
    await cluster.sql(`UPDATE person SET age = 2 WHERE name = 'anna'`);
    assert.deepEqual((await anna.next()).data, [{ age: 2 }]);
});

test('a durable topic is resumed where its client stopped, and goes on counting', async () => {
    const client = await Subscriber.open(`${cluster.url('log')}?since=${lastId}`);
    const third = await client.next();
    expectMessage(third, { type: 'log_update', data: 3, source: 'event', topic: 'log', params: [], kind: 'event' });
    await cluster.sql(`NOTIFY said, '4'`);
    const fourth = await client.next();
    assert.equal(fourth.data, 4);
    assert.deepEqual(parseId(fourth.id), [parseId(third.id)[0], 4n]);
});

test('tables are watched, and watched anew', async () => {
    assert.deepEqual(await cluster.sql('SELECT topic, enabled, problem FROM rtd_watched_tables ORDER BY topic'), [
        { topic: 'counter', enabled: true, problem: null },
        { topic: 'feeling', enabled: true, problem: null },
        { topic: 'person', enabled: true, problem: null },
    ]);
    await cluster.sql(`SELECT rtd_watch_table('feeling', columns => '{id,mood}')`);
    const client = await subscribe(cluster, 'feeling', 'sad');
    await cluster.sql(`INSERT INTO feeling VALUES (3, 'sad')`);
    assert.equal((await client.next(({ data }) => data.id === 3)).data.mood, 'sad');
});
