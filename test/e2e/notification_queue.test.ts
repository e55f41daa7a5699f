// The hub's warning about a notification queue that fills because a session that LISTENs does not take
// its notifications.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { useCluster } from '../lib/harness';
import { waitFor } from '../lib/wait';

// 1 % of the queue would be 80 MB on a server before PostgreSQL 17; this is about 1 MB.
const use = useCluster({ settings: { 'rtd.notification_queue_warning': 0.00012 } });

test('a listening session in an open transaction fills the queue, and the log says so, once', async () => {
    const holder = await use.cluster.connect();
    await holder.query('LISTEN held_back');
    await holder.query('BEGIN; SELECT txid_current()');
    const usage = () => use.cluster.value('SELECT pg_notification_queue_usage()').then(Number);
    assert.ok((await usage()) < 0.00012);
    const position = use.cluster.logPosition();
    // The hub looks when notifications come, every ten seconds at most.
    const warning = /WARNING: +\[DB_LISTENER\] the server's notification queue is (\S+) % full/g;
    const warnings = () => [...use.cluster.logSince(position).matchAll(warning)];
    await use.cluster.sql(`
        SELECT count(pg_notify('held_back', lpad(n::text, 7000, 'x'))) FROM generate_series(1, 250) AS n`);
    assert.ok((await usage()) > 0.00012);
    await waitFor(
        'the warning',
        async () => {
            await use.cluster.sql(`NOTIFY held_back, 'more'`);
            return warnings().length > 0;
        },
        { deadlineMs: 25_000, everyMs: 200 },
    );
    const percent = Number(warnings()[0][1]);
    assert.ok(percent >= 0.012 && percent < 1, `${percent} %`);
    assert.match(use.cluster.logSince(position), /HINT: +Look in pg_stat_activity for a session that LISTENs/);

    // It takes its notifications: the queue empties, and a later filling is news.
    await holder.query('COMMIT');
    await waitFor('the queue to empty', async () => {
        await use.cluster.sql(`NOTIFY held_back, 'more'`);
        return (await usage()) < 0.0001;
    });
    assert.equal(warnings().length, 1);
});
