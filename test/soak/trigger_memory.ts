// RssAnon leaves out the shared buffers that the UPDATE touches. It is looked at while the statement
// and its commit run.

import * as fs from 'node:fs';
import { Cluster } from '../lib/cluster';
import { createTopic } from '../lib/harness';
import { numberOptions } from '../lib/options';
import { Stream } from '../lib/stream';
import { measureFor } from '../lib/wait';

const rssAnonKb = (pid: number) => Number(fs.readFileSync(`/proc/${pid}/status`, 'utf8').match(/^RssAnon:\s*(\d+)/m)![1]);

/** One UPDATE of all rows in a fresh session: its largest RssAnon in kB, and what rtd's contexts hold. */
async function measure(cluster: Cluster, name: string) {
    const session = await cluster.connect();
    const { pid } = (await session.query('SELECT pg_backend_pid() AS pid')).rows[0];
    const before = rssAnonKb(pid);
    let largest = before;
    let running = true;
    const start = Date.now();
    const update = session.query('UPDATE things SET n = n + 1').finally(() => (running = false));
    while (running) {
        largest = Math.max(largest, rssAnonKb(pid));
        await measureFor(5);
    }
    await update;
    const seconds = (Date.now() - start) / 1000;
    const contexts = await session.query(`
        SELECT coalesce(sum(total_bytes), 0)::int AS bytes FROM pg_backend_memory_contexts WHERE name LIKE 'rtd%'`);
    await cluster.release(session);
    const grown = largest - before;
    console.log(`${name.padEnd(42)} ${String(grown).padStart(8)} kB at most, ${contexts.rows[0].bytes} bytes in rtd's contexts after it, ${seconds.toFixed(1)} s`);
    return grown;
}

async function main() {
    const { rows, slack } = numberOptions({ rows: 2_000_000, slack: 65_536 });
    const cluster = await Cluster.create({ settings: { max_wal_size: '8GB', shared_buffers: '256MB' } });
    try {
        await cluster.sql(`
            CREATE TABLE things (id int PRIMARY KEY, place int, n int);
            INSERT INTO things SELECT id, id % 1000, 0 FROM generate_series(1, ${rows}) AS id;
            CREATE FUNCTION nothing() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END'`);
        console.log(`an UPDATE of ${rows} rows; its backend grew by`);
        await measure(cluster, 'no trigger');
        await cluster.sql('CREATE TRIGGER nothing AFTER UPDATE ON things FOR EACH ROW EXECUTE FUNCTION nothing()');
        const nothing = await measure(cluster, 'a row trigger that does nothing');
        await cluster.sql('DROP TRIGGER nothing ON things');
        await createTopic(cluster, 'place', `parameters => '{place}', query => 'SELECT sum(n) FROM things WHERE place = $1::int'`);
        await createTopic(cluster, 'events');
        const grown: number[] = [];
        for (const [topic, options] of [['place', `parameters => '{place}'`], ['events', `columns => '{id,n}'`]]) {
            await cluster.sql(`SELECT rtd_watch_table('things', '${topic}', ${options})`);
            const client = await Stream.open(cluster.url(topic, ...(topic === 'place' ? ['1'] : [])), () => {});
            grown.push(await measure(cluster, topic === 'place' ? 'a state topic with a parameter, 1,000 instances' : 'an event topic'));
            client.close();
            await cluster.sql(`SELECT rtd_unwatch_table('things')`);
        }
        const most = Math.max(...grown) - nothing;
        console.log(`rtd: ${most} kB more than the trigger that does nothing; ${slack} kB are accepted`);
        process.exitCode = most > slack ? 1 : 0;
    } finally {
        await cluster.destroy();
    }
}

main().catch((error) => {
    console.error(error);
    process.exitCode = 1;
});
