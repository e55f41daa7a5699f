// An error that comes back at every attempt: it degrades what it is about, and does not fill the log.

import assert from 'node:assert/strict';
import * as fs from 'node:fs';
import * as path from 'node:path';
import { test } from 'node:test';
import { createTopic, subscribe, useCluster } from '../lib/harness';
import { waitFor } from '../lib/wait';

const use = useCluster({ settings: { dynamic_shared_memory_type: 'mmap', max_parallel_workers_per_gather: 0 } });

test('a hub that cannot start query workers serves all else, says so now and then, and starts them later', async () => {
    const { cluster } = use;
    await cluster.sql('CREATE TABLE counted (n int); INSERT INTO counted VALUES (0)');
    await createTopic(cluster, 'counted', `query => 'SELECT n FROM counted', throttle => '0'`);
    await cluster.sql(`SELECT rtd_watch_table('counted', 'counted', columns => '{n}')`);
    await createTopic(cluster, 'events');
    const [state, events] = [await subscribe(cluster, 'counted'), await subscribe(cluster, 'events')];
    await state.next();
    const memory = path.join(cluster.dataDir, 'pg_dynshmem');
    const position = cluster.logPosition();
    const hub = await cluster.hubPid();
    fs.renameSync(memory, `${memory}.away`);
    try {
        for (const pid of await cluster.pids('rtd query')) await cluster.sql(`SELECT pg_terminate_backend(${pid})`);
        await cluster.waitForLog(/rtd hub could not start a query worker/, position);
        await cluster.sql('UPDATE counted SET n = 1');
        for (let n = 0; n < 500; n++) {
            await cluster.sql(`SELECT rtd_broadcast('events', '${n}')`);
            assert.equal((await events.next()).data, n, 'nothing is lost, and there is no gap');
        }
        const lines = cluster.logSince(position).split('\n').filter((line) => /rtd/.test(line) && /WARNING|ERROR/.test(line));
        assert.ok(lines.length <= 20, `${lines.length} lines: ${lines.slice(0, 30).join('\n')}`);
    } finally {
        fs.renameSync(`${memory}.away`, memory);
    }
    await state.next(({ data }) => Array.isArray(data) && data[0]?.n === 1, 60_000);
    assert.equal(await cluster.hubPid(), hub, 'the hub did not end');
    await waitFor('query workers', async () => (await cluster.pids('rtd query')).length > 0);
});
