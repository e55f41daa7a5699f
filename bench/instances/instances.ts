// What an event costs the hub among one instance and among many, and how long one topic's work delays
// another topic. bench/method.md says how.

import WebSocket from 'ws';
import { Cluster, Connection, processStat } from '../../test/lib/cluster';
import { createTopic } from '../../test/lib/harness';
import { numberOptions } from '../../test/lib/options';
import { measureFor, waitFor, within } from '../../test/lib/wait';

const options = numberOptions({ topics: 10_000, instances: 200_000, states: 10_000, events: 20_000, seconds: 3 });
const subscriptionsPerClient = 2000;

/** Holds many subscriptions, and counts what comes without decoding it. */
class Crowd {
    private readonly clients: WebSocket[] = [];
    private answers = 0;
    messages = 0;

    constructor(private readonly cluster: Cluster) {}

    private async open(): Promise<WebSocket> {
        const socket = new WebSocket(`ws://127.0.0.1:${this.cluster.rtdPort}/ws`, { perMessageDeflate: false, maxPayload: 64 << 20 });
        await within('a WebSocket', new Promise<void>((resolve, reject) => socket.once('open', resolve).on('error', reject)));
        socket.on('message', (data: Buffer) => {
            if (data.includes('"kind":"control"')) {
                if (!data.includes('rtd_subscribed')) throw new Error(`refused: ${data}`);
                this.answers++;
            } else if (data.includes('"kind":"gap"')) throw new Error(`events were lost: ${data}`);
            else this.messages++;
        });
        this.clients.push(socket);
        return socket;
    }

    /** Subscribes to the instances of the topic that the numbers `from` to `to` name. */
    async subscribe(topic: string, from: number, to: number) {
        for (let first = from; first <= to; first += subscriptionsPerClient) {
            const socket = await this.open();
            const last = Math.min(to, first + subscriptionsPerClient - 1);
            const expected = this.answers + last - first + 1;
            for (let n = first; n <= last; n++) socket.send(JSON.stringify({ action: 'subscribe', topic, params: [String(n)] }));
            await waitFor(`subscriptions ${first} to ${last} of ${topic}`, () => this.answers >= expected, { deadlineMs: 120_000, everyMs: 2 });
        }
    }

    close() {
        for (const socket of this.clients) socket.terminate();
    }
}

const quantile = (sorted: number[], q: number) => sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * q))];

async function main() {
    const cluster = await Cluster.create({
        settings: {
            'rtd.max_instances': Math.max(200_000, options.instances + options.states + 1000),
            'rtd.max_subscriptions_per_client': 100_000,
            'rtd.client_message_rate': 0,
            'rtd.client_buffer': '256MB',
            'rtd.resync_interval': 0,
            max_wal_size: '8GB',
        },
    });
    const crowd = new Crowd(cluster);
    try {
        await prepare(cluster, crowd);
        const hub = await cluster.hubPid();
        console.log(`${options.topics} topics, ${options.instances + options.states} instances`);
        await measureEvents(cluster, crowd, hub);
        await measureDelays(cluster);
    } finally {
        crowd.close();
        await cluster.destroy();
    }
}

async function prepare(cluster: Cluster, crowd: Crowd) {
    await cluster.sql(`SELECT count(rtd_create_topic('filler-' || n)) FROM generate_series(1, ${options.topics}) n`);
    await createTopic(cluster, 'single', `parameters => '{id}', retain => false`);
    await createTopic(cluster, 'many', `parameters => '{id}', retain => false`);
    await createTopic(cluster, 'other', `retain => false`);
    await cluster.sql(`CREATE TABLE items (id int PRIMARY KEY, n int NOT NULL);
                       INSERT INTO items SELECT n, 0 FROM generate_series(1, ${options.states}) n;
                       CREATE TABLE everywhere (id int PRIMARY KEY);
                       CREATE TABLE imported (id int PRIMARY KEY, place int NOT NULL)`);
    await createTopic(cluster, 'states', `query => 'SELECT n FROM items WHERE id = $1', parameters => '{id}', throttle => '0'`);
    await createTopic(cluster, 'imported', `parameters => '{place}'`);
    await cluster.sql(`SELECT rtd_watch_table('items', 'states'), rtd_watch_table('imported'),
                              rtd_watch_table('everywhere', 'many', parameters => '{NULL}')`);
    await crowd.subscribe('single', 1, 1);
    await crowd.subscribe('many', 1, options.instances);
    await crowd.subscribe('states', 1, options.states);
    await waitFor('the first states', () => crowd.messages >= options.states, { deadlineMs: 300_000 });
}

/** Hub CPU of an event for one instance, in turns for the only one of its topic and for one of many. */
async function measureEvents(cluster: Cluster, crowd: Crowd, hub: number) {
    const costs: Record<string, number[]> = { single: [], many: [] };
    const portion = 5000; // below rtd.max_transaction_events
    for (let round = 0; round < 5; round++)
        for (const topic of ['single', 'many']) {
            const [cpu, expected] = [processStat(hub)!.cpuMs, crowd.messages + options.events];
            const values = topic === 'single' ? 1 : options.instances;
            for (let sent = 0; sent < options.events; sent += portion)
                await cluster.sql(`SELECT count(rtd_broadcast('${topic}', '1', ARRAY[(1 + n * 7919 % ${values})::text]))
                                   FROM generate_series(${sent + 1}, ${Math.min(options.events, sent + portion)}) n`);
            await waitFor(`${options.events} messages of ${topic}`, () => crowd.messages >= expected, { deadlineMs: 120_000 });
            if (round > 0) costs[topic].push(((processStat(hub)!.cpuMs - cpu) * 1000) / options.events);
        }
    const median = (topic: string) => quantile([...costs[topic]].sort((a, b) => a - b), 0.5);
    console.log('hub CPU of an event, median of 4 rounds');
    console.log(`  the only instance of its topic  ${median('single').toFixed(2).padStart(8)} us`);
    console.log(`  one of ${String(options.instances).padEnd(24)} ${median('many').toFixed(2).padStart(8)} us  (x ${(median('many') / median('single')).toFixed(2)})`);
}

/** From the COMMIT of a broadcast to another topic to its client, while one topic has much to do. */
async function measureDelays(cluster: Cluster) {
    const socket = new WebSocket(cluster.url('other'), { perMessageDeflate: false });
    const arrivals = new Map<number, bigint>();
    socket.on('message', (data) => arrivals.set(JSON.parse(data.toString()).data, process.hrtime.bigint()));
    await within('a client of the other topic', new Promise<void>((resolve, reject) => socket.once('open', resolve).on('error', reject)));
    const writer = await cluster.connect();
    const worker = await cluster.connect();
    let number = 0;
    await waitFor('the first message', async () => {
        await send(writer, ++number);
        return arrivals.size > 0;
    });
    console.log('delay of another topic, ms from the return of its COMMIT     p50       p99       max');
    const works: [string, string][] = [
        ['nothing else', 'SELECT 1'],
        [`${options.states} states change, one by one`, `UPDATE items SET n = n + 1`],
        [`an event for all ${options.states} states`, `SELECT rtd_refresh('states')`],
        [`an event for all ${options.instances} instances`, `INSERT INTO everywhere VALUES (1)`],
        ['an import of 5000 values', `INSERT INTO imported SELECT i, i FROM generate_series((SELECT count(*) FROM imported) + 1, (SELECT count(*) FROM imported) + 5000) i`],
        ['a topic is made', `SELECT rtd_create_topic('made-' || (SELECT count(*) FROM rtd_topics))`],
        ['a role is made', `CREATE ROLE made_by_bench`],
    ];
    for (const [what, work] of works) {
        const delays: number[] = [];
        const returned = new Map<number, bigint>();
        const first = number + 1;
        const end = Date.now() + options.seconds * 1000;
        let working: Promise<unknown> | undefined;
        while (Date.now() < end) {
            await send(writer, ++number);
            returned.set(number, process.hrtime.bigint());
            if (number === first + 10) working = worker.query(work);
            await measureFor(5);
        }
        await working;
        await waitFor('the last message', () => arrivals.has(number), { deadlineMs: 120_000 });
        for (let n = first; n <= number; n++) delays.push(Number(arrivals.get(n)! - returned.get(n)!) / 1e6);
        delays.sort((a, b) => a - b);
        console.log(`  ${what.padEnd(52)} ${[0.5, 0.99, 1].map((q) => quantile(delays, q).toFixed(2).padStart(9)).join(' ')}`);
    }
    await worker.query('DROP ROLE made_by_bench');
    socket.terminate();
}

const send = (writer: Connection, n: number) =>
    writer.query({ name: 'send', text: `SELECT rtd_broadcast('other', to_jsonb($1::int))`, values: [n] });

main().catch((error) => {
    console.error(error);
    process.exitCode = 1;
});
