// From COMMIT to the sockets of many clients, and how many bytes for it: a keyed topic and a state
// topic of the same query over a large table, in turns, in one run. bench/method.md says how.

import { WebSocket } from 'ws';
import { Cluster, Connection, processStat } from '../../test/lib/cluster';
import { numberOptions } from '../../test/lib/options';
import { measureFor, waitFor } from '../../test/lib/wait';
import { Receiver } from '../receiver';

const options = numberOptions({ rows: 1_000_000, shown: 10_000, seconds: 10, clients: 100, rate: 200, rounds: 2, awake: 0 });
const step = Math.round(options.rows / options.shown);

// With --awake 1 the clients never sleep: see bench/method.md.
let measuring = options.awake !== 0;
const stayAwake = () => void (measuring && setImmediate(stayAwake));
stayAwake();
const warmupSeconds = 2;

type Kind = 'keyed' | 'state';

interface Round {
    latencies: number[]; // ms from UPDATE sent, by commit and listening client
    fromReturned: number[]; // the same from its return
    unheard: number;
    updates: number;
    bytesAnUpdate: number; // to each client
    messages: number; // to each client
    serverCpu: number; // share of one core
    generatorCpu: number;
}

/** Two topics of the same query, each of a table of its own, so that neither pays for the other. */
async function prepare(cluster: Cluster) {
    for (const kind of ['keyed', 'state'] as Kind[]) {
        const table = `items_${kind}`;
        await cluster.sql(`
            CREATE TABLE ${table} (id int PRIMARY KEY, shown boolean NOT NULL, note text NOT NULL, seq bigint NOT NULL) WITH (fillfactor = 50);
            INSERT INTO ${table} SELECT id, id % ${step} = 0, 'a note of some length for row ' || id, 0 FROM generate_series(1, ${options.rows}) id;
            CREATE INDEX ON ${table} (id) WHERE shown`);
        const key = kind === 'keyed' ? `, key => '{id}'` : '';
        await cluster.sql(`
            SELECT rtd_create_topic('${kind}', query => 'SELECT id, note, seq FROM ${table} WHERE shown'${key});
            SELECT rtd_watch_table('${table}', '${kind}');
            SELECT rtd_grant('${kind}', 'web_anon')`);
    }
    await cluster.sql('VACUUM ANALYZE');
}

/** The highest number of an update in a message, or in the start of one: a row begins with it. */
function newestIn(text: string): number {
    let newest = 0;
    for (const [, sequence] of text.matchAll(/"seq": (\d+)/g)) newest = Math.max(newest, Number(sequence));
    return newest;
}

const cpuOf = (pids: number[]) => pids.reduce((sum, pid) => sum + (processStat(pid)?.cpuMs ?? 0), 0);

/** When a listening client had heard of each update. Row by row, the last of them comes last. */
class Heard {
    readonly at: BigInt64Array;
    newest = 0;

    constructor(writes: number) {
        this.at = new BigInt64Array(writes + 1);
    }

    hear(sequence: number, at: bigint) {
        while (this.newest < sequence) this.at[++this.newest] = at;
    }
}

async function run(cluster: Cluster, writer: Connection, pids: number[], kind: Kind): Promise<Round> {
    const writes = options.rate * (warmupSeconds + options.seconds);
    const first = options.rate * warmupSeconds + 1;
    const sent = new BigInt64Array(writes + 1);
    const returned = new BigInt64Array(writes + 1);
    // A delta says at its start what changed, so every client listens. A state must be read to its end:
    // one client does that, and the others only take it.
    const heard = Array.from({ length: kind === 'keyed' ? options.clients : 1 }, () => new Heard(writes));
    const clients = await Promise.all(
        Array.from({ length: options.clients }, (_, n) =>
            Receiver.open(cluster.rtdPort, `/ws/${kind}`, (head, at) => {
                if (kind === 'keyed' && head.includes('"upsert"')) heard[n].hear(newestIn(head.toString('latin1')), at);
            }),
        ),
    );
    const reader = kind === 'state' ? new WebSocket(cluster.url(kind), { maxPayload: 64 << 20, perMessageDeflate: false }) : undefined;
    reader?.on('message', (data) => {
        const at = process.hrtime.bigint();
        heard[0].hear(newestIn(data.toString()), at);
    });
    await waitFor('first messages', () => clients.every((client) => client.messages > 0 && client.isBetweenMessages), { deadlineMs: 60_000 });

    const [bytesBefore, messagesBefore] = [sum(clients, 'bytes'), sum(clients, 'messages')];
    const [cpuBefore, ownBefore, begin] = [cpuOf(pids), process.cpuUsage(), Date.now()];
    const update = { name: `update_${kind}`, text: `UPDATE items_${kind} SET seq = $1 WHERE id = $2` };
    for (let sequence = 1; sequence <= writes; sequence++) {
        const due = begin + ((sequence - 1) * 1000) / options.rate;
        if (due > Date.now()) await measureFor(due - Date.now());
        const id = step * (1 + ((sequence * 7919) % options.shown)); // a row that is shown, another one each time
        sent[sequence] = process.hrtime.bigint();
        await writer.query({ ...update, values: [sequence, id] });
        returned[sequence] = process.hrtime.bigint();
    }
    await waitFor('the last update', () => heard.every(({ newest }) => newest >= writes), { deadlineMs: 60_000 });
    const elapsed = Date.now() - begin;
    const own = process.cpuUsage(ownBefore);
    const [cpu, bytes, messages] = [cpuOf(pids) - cpuBefore, sum(clients, 'bytes') - bytesBefore, sum(clients, 'messages') - messagesBefore];
    for (const client of clients) {
        client.socket.removeAllListeners('close');
        client.socket.destroy();
    }
    reader?.terminate();
    await writer.query(`UPDATE items_${kind} SET seq = 0 WHERE shown AND seq > 0`);

    const latencies: number[] = [];
    const fromReturned: number[] = [];
    let unheard = 0;
    for (const { at } of heard)
        for (let sequence = first; sequence <= writes; sequence++) {
            if (at[sequence] === 0n) unheard++;
            else {
                latencies.push(Number(at[sequence] - sent[sequence]) / 1e6);
                fromReturned.push(Number(at[sequence] - returned[sequence]) / 1e6);
            }
        }
    return {
        latencies,
        fromReturned,
        unheard,
        updates: writes,
        bytesAnUpdate: bytes / options.clients / writes,
        messages: messages / options.clients,
        serverCpu: cpu / elapsed,
        generatorCpu: (own.user + own.system) / 1000 / elapsed,
    };
}

const sum = (clients: Receiver[], what: 'messages' | 'bytes') => clients.reduce((all, client) => all + client[what], 0);

function line(label: string, rounds: Round[]) {
    const sortedBy = (pick: (round: Round) => number[]) => Float64Array.from(rounds.flatMap(pick)).sort();
    const quantile = (sorted: Float64Array, q: number) => sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * q))];
    const sent = sortedBy(({ latencies }) => latencies);
    const returned = sortedBy(({ fromReturned }) => fromReturned);
    const mean = (pick: (round: Round) => number) => rounds.reduce((all, round) => all + pick(round), 0) / rounds.length;
    const figures = [quantile(returned, 0.5), quantile(returned, 0.99), quantile(sent, 0.5), quantile(sent, 0.99)].map((ms) => ms.toFixed(2).padStart(9));
    const rest = [mean((round) => round.bytesAnUpdate).toFixed(0), mean((round) => round.messages).toFixed(0)];
    const cpu = [mean((round) => round.serverCpu), mean((round) => round.generatorCpu)].map((share) => `${(share * 100).toFixed(0)} %`);
    const unheard = rounds.reduce((all, round) => all + round.unheard, 0);
    console.log(`${label.padEnd(10)}${figures.join(' ')} ${rest.map((text) => text.padStart(12)).join(' ')} ${cpu.map((text) => text.padStart(7)).join(' ')} ${String(unheard).padStart(7)}`);
}

async function main() {
    const cluster = await Cluster.create({ settings: { fsync: 'on', autovacuum: 'on' } });
    try {
        await prepare(cluster);
        const pids = [await cluster.hubPid(), await cluster.gatewayPid(), ...(await cluster.pids('rtd query'))];
        const writer = await cluster.connect();
        console.log(
            `${options.rows} rows, ${options.shown} shown, ${options.clients} clients, ${options.rate} updates/s, ` +
                `${options.seconds} s a round after ${warmupSeconds} s of warm-up; milliseconds`,
        );
        console.log('            from COMMIT returned      from UPDATE sent');
        console.log('             median       p99    median       p99 bytes/update     messages  server    load unheard');
        const results: Record<Kind, Round[]> = { keyed: [], state: [] };
        for (let round = 1; round <= options.rounds; round++)
            for (const kind of ['keyed', 'state'] as Kind[]) {
                results[kind].push(await run(cluster, writer, pids, kind));
                line(`${kind} #${round}`, results[kind].slice(-1));
            }
        for (const kind of ['keyed', 'state'] as Kind[]) line(kind, results[kind]);
    } finally {
        measuring = false;
        await cluster.destroy();
    }
}

main().catch((error) => {
    console.error(error);
    process.exitCode = 1;
});
