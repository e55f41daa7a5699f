// DROP EXTENSION while the hub and its workers are at work on rtd's tables. They take their locks in another order
// than it does; whoever gives way is never the user.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { useCluster } from '../lib/harness';
import { Random } from '../lib/random';
import { Subscriber } from '../lib/subscriber';
import { pause } from '../lib/wait';

const use = useCluster({ settings: { deadlock_timeout: '1s', log_lock_waits: 'on', 'rtd.query_workers': 3 } });

test('an extension that is dropped and made again beside live durable and retained topics', { timeout: 300_000 }, async (t) => {
    const random = new Random(Number(process.env.RTD_SEED ?? 7));
    const position = use.cluster.logPosition();
    let longest = 0;
    for (let round = 0; round < 40; round++) {
        await use.cluster.sql(`SELECT rtd_create_topic('log', durable => true), rtd_create_topic('news', parameters => '{n}'),
                                      rtd_create_topic('state', 'SELECT 1 AS n')`);
        await use.cluster.sql(`SELECT rtd_grant(name, 'web_anon') FROM rtd_topics`);
        const clients = await Promise.all(
            ['log', 'state'].map((topic) => Subscriber.open(use.cluster.url(topic)).catch(() => undefined)),
        );
        await use.cluster.sql(`SELECT rtd_broadcast('log', to_jsonb(n)), rtd_broadcast('news', to_jsonb(n), ARRAY[n::text])
                               FROM generate_series(1, 200) n`);
        const writers = Array.from({ length: 3 }, async () => {
            const connection = await use.cluster.connect();
            for (let n = 0; n < 10; n++)
                await connection.query(`SELECT rtd_broadcast('news', '1', '{${n}}'), rtd_broadcast('log', '1')`).catch(() => undefined);
            await use.cluster.release(connection);
        });
        await Promise.all(writers);
        await pause(random.between(0, 30)); // somewhere in what the hub still has to do
        const start = Date.now();
        await use.cluster.sql('DROP EXTENSION rtd CASCADE');
        longest = Math.max(longest, Date.now() - start);
        await Promise.all(clients.map((client) => client?.close()));
        await use.cluster.sql('CREATE EXTENSION rtd');
    }
    t.diagnostic(`the longest DROP EXTENSION took ${longest} ms`);
    assert.doesNotMatch(use.cluster.logSince(position), /deadlock detected/);
    assert.ok(longest < 1000, `${longest} ms`);
    await use.cluster.ready();
});
