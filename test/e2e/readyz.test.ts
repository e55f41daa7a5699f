// /readyz is for everybody who reaches the port: it tells the truth, and asking it often costs the
// server neither transaction ids nor WAL.

import assert from 'node:assert/strict';
import * as net from 'node:net';
import { test } from 'node:test';
import { createTopic, subscribe, useCluster } from '../lib/harness';
import { waitFor } from '../lib/wait';

const use = useCluster();
const status = async () => {
    const response = await fetch(`${use.cluster.httpUrl}/readyz`);
    await response.text();
    return response.status;
};
const used = async () => {
    const [row] = await use.cluster.sql(`SELECT pg_snapshot_xmax(pg_current_snapshot())::text AS xid, pg_current_wal_insert_lsn() - '0/0' AS wal`);
    return { xids: Number(row.xid), wal: Number(row.wal) };
};

/** What the server used while `ask` ran over and over for so long. */
async function cost(forMs: number, ask: () => Promise<unknown>) {
    const before = await used();
    const end = Date.now() + forMs;
    let asked = 0;
    await Promise.all(
        Array.from({ length: 8 }, async () => {
            while (Date.now() < end) {
                await ask();
                asked++;
            }
        }),
    );
    const after = await used();
    return { asked, xids: after.xids - before.xids, wal: after.wal - before.wal };
}

test('asking often uses a transaction id a second at most', async () => {
    const { asked, xids, wal } = await cost(2000, async () => assert.equal(await status(), 200));
    assert.ok(asked > 100, `${asked} requests`);
    assert.ok(xids <= 4, `${asked} requests used ${xids} transaction ids`);
    assert.ok(wal < 16_384, `${asked} requests wrote ${wal} bytes of WAL`); // running transactions are logged besides
});

test('so does asking without waiting for the answer', async () => {
    const leave = () =>
        new Promise<void>((resolve) => {
            const socket = net.connect(use.cluster.rtdPort, '127.0.0.1', () => {
                socket.write('GET /readyz HTTP/1.1\r\nHost: x\r\n\r\n', () => socket.destroy());
            });
            socket.on('error', () => {});
            socket.on('close', () => resolve());
        });
    const { asked, xids } = await cost(2000, leave);
    assert.ok(asked > 100, `${asked} requests`);
    assert.ok(xids <= 4, `${asked} requests used ${xids} transaction ids`);
    assert.equal(await status(), 200);
});

test('what was committed before the question holds when it is answered', async () => {
    for (const turn of [1, 2, 3]) {
        const name = `heard-${turn}`;
        await createTopic(use.cluster, name);
        const client = await subscribe(use.cluster, name);
        await use.cluster.sql(`SELECT rtd_listen('${name}', '${name}')`);
        assert.equal(await status(), 200);
        await use.cluster.sql(`NOTIFY "${name}", '1'`);
        assert.equal((await client.next()).data, 1);
    }
});

test('it is not ready while the hub hangs, and ready when it goes on', async () => {
    assert.equal(await status(), 200);
    const hub = await use.cluster.hubPid();
    process.kill(hub, 'SIGSTOP');
    try {
        assert.equal(await status(), 503);
    } finally {
        process.kill(hub, 'SIGCONT');
    }
    await waitFor('/readyz to answer 200', async () => (await status()) === 200);
});
