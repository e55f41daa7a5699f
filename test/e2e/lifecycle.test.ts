// Installing, dropping, stopping: rtd never stands in the way of what an administrator does.

import assert from 'node:assert/strict';
import * as fs from 'node:fs';
import { afterEach, describe, test } from 'node:test';
import { Cluster, ClusterOptions, freePort, isAlive } from '../lib/cluster';
import { createTopic, subscribe, warningsOf } from '../lib/harness';
import { closeSubscribers, Subscriber } from '../lib/subscriber';
import { waitFor, within } from '../lib/wait';

let cluster: Cluster | undefined;
async function start(options: ClusterOptions = {}) {
    cluster = await Cluster.create(options);
    return cluster;
}
afterEach(async () => {
    closeSubscribers();
    await cluster?.destroy();
    cluster = undefined;
});

async function itemsTopic(cluster: Cluster) {
    await cluster.sql('CREATE TABLE items (id int PRIMARY KEY, note text)');
    await createTopic(cluster, 'items', `query => 'SELECT id FROM items ORDER BY id'`);
    await cluster.sql(`SELECT rtd_watch_table('items')`);
    const client = await subscribe(cluster, 'items');
    assert.deepEqual((await client.next()).data, []);
    return client;
}

describe('the extension', () => {
    test('is noticed when it is created long after the server has started', async () => {
        const cluster = await start({ install: false });
        await cluster.install();
        const client = await itemsTopic(cluster);
        await cluster.sql('INSERT INTO items VALUES (1)');
        assert.deepEqual((await client.next()).data, [{ id: 1 }]);
    });

    test('is dropped without being blocked, and leaves tables that work; created again, it serves again', async () => {
        const cluster = await start();
        const client = await itemsTopic(cluster);
        await cluster.sql(`SET lock_timeout = '5s'`);
        await within('DROP EXTENSION', cluster.sql('DROP EXTENSION rtd CASCADE'), 10_000);
        await within('the end of the subscription', client.closed);
        await cluster.sql(`INSERT INTO items VALUES (1); UPDATE items SET note = 'x'; DELETE FROM items; TRUNCATE items`);
        assert.equal(await cluster.value(`SELECT count(*) FROM pg_trigger WHERE tgrelid = 'items'::regclass`), '0');

        await cluster.sql('CREATE EXTENSION rtd; DROP TABLE items');
        await cluster.ready();
        const again = await itemsTopic(cluster);
        await cluster.sql('INSERT INTO items VALUES (2)');
        assert.deepEqual((await again.next()).data, [{ id: 2 }]);
    });

    test('does not block DROP DATABASE of the database it serves', async () => {
        const cluster = await start();
        const client = await itemsTopic(cluster);
        await client.close();
        await cluster.restart(); // ends this test's own sessions
        await cluster.ready();
        const admin = await cluster.connect({ database: 'postgres' });
        await within('DROP DATABASE', admin.query(`DROP DATABASE ${cluster.database}`), 15_000);
        // And a new database of the same name is served.
        await admin.query(`CREATE DATABASE ${cluster.database}`);
        await cluster.sql('CREATE EXTENSION rtd');
        await cluster.ready();
        await itemsTopic(cluster);
    });
});

describe('a watched table', () => {
    test('can be renamed, have columns dropped, and be dropped, and no write ever fails', async () => {
        const cluster = await start();
        const client = await itemsTopic(cluster);
        await createTopic(cluster, 'item-notes');
        await cluster.sql(`SELECT rtd_watch_table('items', topic => 'item-notes', columns => '{id,note}')`);
        await cluster.sql(`ALTER TABLE items DROP COLUMN note; INSERT INTO items VALUES (1)`);
        assert.deepEqual((await client.next()).data, [{ id: 1 }]);
        await cluster.sql(`
            ALTER TABLE items RENAME TO things;
            CREATE VIEW items AS SELECT id FROM things;
            INSERT INTO things VALUES (2)`);
        assert.deepEqual((await client.next()).data, [{ id: 1 }, { id: 2 }]);
        await cluster.sql('DROP TABLE things CASCADE');
        assert.equal(await cluster.value(`SELECT rtd_wait_until_ready('5 s')`), true);
    });

    test('of many partitions is watched through its parent', async () => {
        const cluster = await start();
        await cluster.sql(`
            CREATE TABLE measures (id int PRIMARY KEY, n int) PARTITION BY RANGE (id);
            CREATE TABLE measures_1 PARTITION OF measures FOR VALUES FROM (0) TO (10)`);
        await createTopic(cluster, 'measures');
        await cluster.sql(`SELECT rtd_watch_table('measures')`);
        await cluster.sql('CREATE TABLE measures_2 PARTITION OF measures FOR VALUES FROM (10) TO (20)');
        const client = await subscribe(cluster, 'measures');
        await cluster.sql('INSERT INTO measures VALUES (1, 1), (11, 1)');
        await cluster.sql('INSERT INTO measures_2 VALUES (12, 1)');
        const ids = [];
        while (ids.length < 3) ids.push((await client.next()).data.id);
        assert.deepEqual(ids, [1, 11, 12]);
    });
});

describe('the server', () => {
    for (const [mode, name] of [
        ['fast', 'SIGINT'],
        ['smart', 'SIGTERM'],
    ] as const) {
        test(`stops at ${name} (${mode}) with a close frame 1001 to every client`, async () => {
            const cluster = await start();
            const client = await itemsTopic(cluster);
            const gateway = await cluster.gatewayPid();
            const begin = Date.now();
            await cluster.closeConnections(); // a smart shutdown waits for sessions
            await cluster.stop(mode, 10_000);
            const { code, reason } = await within('the close', client.closed);
            assert.equal(code, 1001);
            assert.match(reason, /shut/);
            assert.ok(!isAlive(gateway), 'the gateway has ended before the server');
            assert.ok(Date.now() - begin < 8000, `${Date.now() - begin} ms`);
        });
    }

    test('a gateway that gets SIGTERM closes its clients with a frame and is replaced', async () => {
        const cluster = await start();
        const client = await itemsTopic(cluster);
        const gateway = await cluster.gatewayPid();
        process.kill(gateway, 'SIGTERM');
        assert.equal((await within('the close', client.closed)).code, 1001);
        await waitFor('its end', () => !isAlive(gateway));
        await cluster.ready();
        const again = await subscribe(cluster, 'items');
        assert.deepEqual((await again.next()).data, []);
    });

    test('says in its log where it serves, and moves with rtd.port when its settings are read again', async () => {
        const cluster = await start();
        const client = await itemsTopic(cluster);
        assert.match(cluster.log(), new RegExp(`127\\.0\\.0\\.1:${cluster.rtdPort}`));
        const port = await freePort();
        await cluster.reload({ 'rtd.port': port });
        await cluster.waitForLog(new RegExp(`127\\.0\\.0\\.1:${port}`));
        const moved = await Subscriber.open(`ws://127.0.0.1:${port}/ws/items`);
        assert.deepEqual((await moved.next()).data, []);
        await cluster.reload({ 'rtd.port': cluster.rtdPort });
        await client.close();
    });

    test('confines the gateway, and again when it moves with rtd.listen_addresses', async () => {
        const cluster = await start();
        const checkGateway = async () => {
            const status = fs.readFileSync(`/proc/${await cluster.gatewayPid()}/status`, 'utf8');
            assert.match(status, /^NoNewPrivs:\t1$/m);
            assert.doesNotMatch(status, /^Uid:\t0\t/m);
        };
        await checkGateway();
        await cluster.reload({ 'rtd.listen_addresses': '127.0.0.2, localhost' });
        await cluster.waitForLog(new RegExp(`listening on 127\\.0\\.0\\.2:${cluster.rtdPort}`));
        const response = await fetch(`http://127.0.0.2:${cluster.rtdPort}/healthz`);
        assert.equal(response.status, 200);
        await checkGateway();
    });
});

describe('rtd not there', () => {
    /** Watches a table, then takes rtd away, and returns sessions' warnings for writes and broadcasts. */
    async function writesWithout(cluster: Cluster) {
        for (const session of ['first', 'second']) {
            const connection = await cluster.connect();
            const warnings = warningsOf(connection);
            for (let id = 1; id <= 5; id++) await connection.query(`INSERT INTO items VALUES (${id}, '${session}')`);
            await connection.query(`SELECT rtd_broadcast('items', '1')`);
            await connection.query(`DELETE FROM items`);
            assert.equal(warnings.length, 1, `${session}: ${JSON.stringify(warnings)}`);
            await cluster.release(connection);
        }
    }

    test('without shared_preload_libraries writes go on with one warning per session', async () => {
        const cluster = await start();
        await itemsTopic(cluster);
        cluster.configure({ shared_preload_libraries: '' });
        await cluster.restart();
        await writesWithout(cluster);
    });

    test('with the hub serving another database writes go on with one warning per session', async () => {
        const cluster = await start();
        await itemsTopic(cluster);
        cluster.configure({ 'rtd.database': 'no_such_database' });
        await cluster.restart();
        await writesWithout(cluster);
        await cluster.waitForLog(/no_such_database/);
    });
});

describe('scarce resources', () => {
    for (const limit of [0, 1, 2]) {
        test(`max_worker_processes = ${limit} leaves the server unharmed and a clear log line`, async () => {
            const cluster = await start({
                install: false,
                settings: {
                    max_worker_processes: limit,
                    max_logical_replication_workers: 0,
                    max_parallel_workers: 0,
                    'rtd.query_workers': 4,
                },
            });
            const admin = await cluster.connect({ database: 'postgres' });
            await admin.query(`CREATE DATABASE ${cluster.database}`);
            await cluster.sql(`
                CREATE EXTENSION rtd;
                CREATE TABLE items (id int PRIMARY KEY);
                SELECT rtd_create_topic('items', query => 'SELECT id FROM items');
                SELECT rtd_watch_table('items');
                INSERT INTO items VALUES (1)`);
            assert.equal(await cluster.value('SELECT count(*) FROM items'), '1');
            await cluster.waitForLog(/too many background workers|max_worker_processes/);
            assert.doesNotMatch(cluster.log(), /PANIC|terminated by signal/);
        });
    }

    test('a port that is in use is said clearly in the log, and taken as soon as it is free', async () => {
        const { createServer } = await import('node:net');
        const cluster = await start();
        await itemsTopic(cluster);
        await cluster.closeConnections();
        await cluster.stop();
        const blocker = createServer((socket) => socket.destroy());
        await new Promise<void>((resolve) => blocker.listen(cluster.rtdPort, '127.0.0.1', resolve));
        const position = cluster.logPosition();
        await cluster.start();
        await cluster.waitForLog(new RegExp(`${cluster.rtdPort}.*in use`), position);
        await cluster.sql('INSERT INTO items VALUES (1)');
        await new Promise((resolve) => blocker.close(resolve));
        await cluster.ready(30_000);
        const client = await subscribe(cluster, 'items');
        assert.deepEqual((await client.next()).data, [{ id: 1 }]);
    });
});
