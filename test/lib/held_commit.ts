// A commit that is announced and does not end: it waits for a synchronous standby that is not there.

import { Cluster } from './cluster';
import { waitFor } from './wait';

/** Runs the statement, whose commit waits until the function returned is called. Sessions that are not to wait
 *  as well have `synchronous_commit = local`. */
export async function commitThatWaits(cluster: Cluster, statement: string): Promise<() => Promise<void>> {
    const setStandby = async (name: string) => {
        await cluster.reload({ synchronous_standby_names: name });
        await waitFor('the setting', async () => (await cluster.value('SHOW synchronous_standby_names')) === name);
    };
    await setStandby('nobody');
    const session = await cluster.connect();
    const { rows } = await session.query('SELECT pg_backend_pid() AS pid');
    const pid = rows[0].pid;
    await session.query('SET synchronous_commit = on');
    const committed = session.query(statement);
    const waits = async () => (await cluster.value('SELECT wait_event FROM pg_stat_activity WHERE pid = $1', [pid])) === 'SyncRep';
    await waitFor('the wait for the standby', waits);
    return async () => {
        await cluster.value('SELECT pg_cancel_backend($1)', [pid]); // it is committed all the same
        await committed;
        await cluster.release(session);
        await setStandby('');
    };
}
