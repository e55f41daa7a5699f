// A synchronous standby that is not there: writers wait for it as the administrator wished, and rtd's own
// transactions do not.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { createTopic, subscribe, useCluster } from '../lib/harness';
import { waitFor } from '../lib/wait';

const use = useCluster();

test('a fast shutdown ends while the synchronous standby is missing, and what was retained is stored', async () => {
    const { cluster } = use;
    await createTopic(cluster, 'kept', 'retain => true');
    await createTopic(cluster, 'logged', 'durable => true, history => 10');
    await cluster.sql(`SELECT rtd_listen('heard', 'logged')`);
    await cluster.ready();
    const kept = await subscribe(cluster, 'kept');
    const logged = await subscribe(cluster, 'logged');
    await cluster.reload({ synchronous_standby_names: 'nobody' });
    await waitFor('the setting', async () => (await cluster.value('SHOW synchronous_standby_names')) === 'nobody');
    const local = await cluster.connect();
    await local.query('SET synchronous_commit = local');
    await local.query(`SELECT rtd_broadcast('kept', '1')`);
    assert.equal((await kept.next()).data, 1);
    await waitFor('it to be stored', async () => Number(await cluster.value('SELECT count(*) FROM rtd_retained')) === 1);
    await local.query(`SELECT rtd_broadcast('logged', '1')`);
    await local.query(`NOTIFY heard, '{"n": 2}'`);
    await local.query(`SELECT rtd_broadcast('kept', '2')`);
    assert.equal((await kept.next()).data, 2);
    await cluster.closeConnections();
    await cluster.stop('fast');
    cluster.configure({ synchronous_standby_names: '' });
    await cluster.start();
    await cluster.ready();
    const again = await subscribe(cluster, 'kept');
    assert.equal((await again.next()).data, 2);
    // Committed messages that no client had seen get their numbers now.
    await waitFor('the messages to be numbered', async () =>
        Number(await cluster.value(`SELECT count(*) FROM rtd_message WHERE topic = 'logged' AND sequence IS NOT NULL`)) >= 1);
    void logged;
});
