// What is measured is RssAnon: memory of a process's own, without the shared buffers and the event
// queue that it has touched. The load has everything that is kept anywhere for a while: instances that
// come and go with their clients, retained messages, transactions beyond their bound, savepoints, large
// messages, errors, topics that are made and dropped, and clients that read slowly.

import * as fs from 'node:fs';
import { Cluster, Connection } from '../lib/cluster';
import { createTopic } from '../lib/harness';
import { numberOptions } from '../lib/options';
import { newSeed, Random } from '../lib/random';
import { Stream } from '../lib/stream';
import { measureFor } from '../lib/wait';

const rowsOfTable = 1000;
const places = 200; // instances of the topic with a parameter

async function prepare(cluster: Cluster) {
    await cluster.sql(`
        CREATE TABLE things (id int PRIMARY KEY, place int, n int, note text);
        INSERT INTO things SELECT id, id % ${places}, 0, repeat('x', 100) FROM generate_series(1, ${rowsOfTable}) id`);
    await createTopic(cluster, 'state', `query => 'SELECT id, n FROM things WHERE id <= 200 ORDER BY id'`);
    await createTopic(cluster, 'place', `parameters => '{place}', query => 'SELECT id, n FROM things WHERE place = $1 ORDER BY id'`);
    await createTopic(cluster, 'events');
    await createTopic(cluster, 'messages', `parameters => '{place}'`);
    await cluster.sql(`
        SELECT rtd_watch_table('things', 'state'), rtd_watch_table('things', 'place', parameters => '{place}'),
               rtd_watch_table('things', 'events', columns => '{id,n}')`);
}

/** One transaction of the load. */
function transaction(random: Random): string {
    const id = random.between(1, rowsOfTable);
    const update = `UPDATE things SET n = n + 1 WHERE id = ${id}`;
    const place = random.between(0, places - 1);
    const dice = random.between(1, 1000);
    if (dice <= 600) return update;
    if (dice <= 700) return `BEGIN; SAVEPOINT a; ${update}; ROLLBACK TO a; SAVEPOINT b; ${update}; RELEASE b; COMMIT`;
    if (dice <= 750) return `BEGIN; ${update}; ROLLBACK`;
    if (dice <= 900) return `SELECT rtd_broadcast('messages', '{"small": true}', '{${place}}')`;
    if (dice <= 910) return `SELECT rtd_broadcast('messages', to_jsonb(repeat('x', ${random.between(1, 300_000)})), '{${place}}')`;
    if (dice <= 960) return `SELECT rtd_broadcast('events', '1', transactional => false)`;
    if (dice <= 970) return `SELECT rtd_refresh('state')`;
    if (dice <= 980) return `SELECT rtd_broadcast('no-such-topic', '1')`; // an error
    if (dice <= 984) return `UPDATE things SET n = n + 1 WHERE id <= 500`; // beyond the bound
    if (dice <= 986)
        return `SELECT rtd_create_topic('brief', query => 'SELECT 1 AS n', if_not_exists => true), rtd_drop_topic('brief', if_exists => true)`;
    return `SELECT pg_notify('nobody_listens', 'x')`;
}

class Load {
    transactions = 0;
    messages = 0;
    connects = 0;
    private running = true;
    private readonly parts: Promise<void>[] = [];

    constructor(
        private readonly cluster: Cluster,
        private readonly random: Random,
    ) {}

    start(writers: Connection[], clients: number) {
        for (const writer of writers) this.parts.push(this.write(writer));
        for (let n = 0; n < clients; n++) this.parts.push(this.comeAndGo());
    }

    private async write(session: Connection) {
        while (this.running) {
            await session.query(transaction(this.random)).catch(() => {});
            this.transactions++;
        }
    }

    /** A client that subscribes to something, stays a while, perhaps reads slowly, and leaves. */
    private async comeAndGo() {
        while (this.running) {
            const place = String(this.random.between(0, places - 1));
            const path = this.random.pick([['state'], ['events'], ['place', place], ['messages', place]]);
            try {
                const stream = await Stream.open(this.cluster.url(path[0], ...path.slice(1)), () => this.messages++);
                this.connects++;
                if (this.random.next() < 0.05) stream.pause();
                await Promise.race([stream.closed, measureFor(this.random.between(50, 5000))]);
                stream.close();
            } catch {
                await measureFor(100);
            }
        }
    }

    async stop() {
        this.running = false;
        await Promise.all(this.parts);
    }
}

const privateKilobytes = (pid: number) =>
    Number(fs.readFileSync(`/proc/${pid}/status`, 'utf8').match(/^RssAnon:\s*(\d+)/m)?.[1]);

async function main() {
    const { minutes, clients, growth, seed } = numberOptions({ minutes: 10, clients: 50, growth: 4096, seed: newSeed() });
    console.log(`seed ${seed}`);
    const cluster = await Cluster.create({ settings: { 'rtd.max_transaction_events': 400, 'rtd.client_buffer': '256kB' } });
    try {
        await prepare(cluster);
        const writers = [await cluster.connect(), await cluster.connect()];
        const processes: Record<string, number> = { hub: await cluster.hubPid(), gateway: await cluster.gatewayPid() };
        (await cluster.pids('rtd query')).forEach((pid, index) => (processes[`query ${index + 1}`] = pid));
        for (const [index, writer] of writers.entries())
            processes[`backend ${index + 1}`] = (await writer.query('SELECT pg_backend_pid() AS pid')).rows[0].pid;
        const measure = () => Object.values(processes).map(privateKilobytes);

        const load = new Load(cluster, new Random(seed));
        load.start(writers, clients);
        const half = minutes * 30_000;
        const warmUp = Math.min(10_000, half / 2); // caches of catalogs and plans fill
        await measureFor(warmUp);
        const start = measure();
        await measureFor(half - warmUp);
        const middle = measure();
        await measureFor(half);
        const end = measure();
        await load.stop();

        console.log(`${load.transactions} transactions, ${load.messages} messages, ${load.connects} connections in ${minutes} minutes`);
        console.log(`${'kB'.padEnd(12)}${['start', 'middle', 'end'].map((title) => title.padStart(10)).join('')}`);
        Object.keys(processes).forEach((name, index) => {
            const figures = [start, middle, end].map((figure) => String(figure[index]).padStart(10));
            const grew = end[index] - middle[index] > growth;
            console.log(`${name.padEnd(12)}${figures.join('')}${grew ? '  grew' : ''}`);
            if (grew) process.exitCode = 1;
        });
    } finally {
        await cluster.destroy();
    }
}

main().catch((error) => {
    console.error(error);
    process.exitCode = 1;
});
