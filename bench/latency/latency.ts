// From COMMIT to the sockets of many clients: rtd and a hand-written Node server, in turns, in one
// run, with the same table, query, payload, clients and writer. bench/method.md says how.

import { ChildProcess, spawn } from 'node:child_process';
import * as path from 'node:path';
import { monitorEventLoopDelay } from 'node:perf_hooks';
import { Cluster, Connection, freePort, processStat } from '../../test/lib/cluster';
import { measureFor, waitFor } from '../../test/lib/wait';
import { numberOptions } from '../../test/lib/options';
import { Receiver, sequenceIn } from '../receiver';

const options = numberOptions({ seconds: 20, clients: 100, rate: 100, rounds: 2, awake: 0 });

// With --awake 1 the clients never sleep. Those of a browser are on other machines; here the server's
// send() also wakes their process, once a message, and on few cores that is most of what it costs.
let measuring = options.awake !== 0;
const stayAwake = () => void (measuring && setImmediate(stayAwake));
stayAwake();
const warmupSeconds = 2;
const rows = 40;

const query = (table: string) => `
    SELECT jsonb_build_object(
        'seq', max(seq),
        'rows', jsonb_agg(jsonb_build_object('id', id, 'note', note, 'seq', seq) ORDER BY id)) AS state
    FROM ${table}`;

interface System {
    name: string;
    table: string;
    port: number;
    path: string;
    pids: number[];
}

interface Round {
    fromSent: Float64Array;
    fromReturned: Float64Array;
    missing: number;
    messages: number;
    messageBytes: number;
    serverCpu: number; // share of one core
    generatorCpu: number;
    loopDelayMs: number; // 99th percentile
    achievedRate: number;
}

async function prepare(cluster: Cluster) {
    for (const table of ['state_rtd', 'state_peer'])
        await cluster.sql(`
            CREATE TABLE ${table} (id int PRIMARY KEY, note text NOT NULL, seq bigint NOT NULL) WITH (fillfactor = 50);
            INSERT INTO ${table} SELECT id, 'a note of some length for row ' || id, 0 FROM generate_series(1, ${rows}) AS id`);
    await cluster.sql(`
        SELECT rtd_create_topic('bench', query => $$${query('state_rtd')}$$, throttle => '0');
        SELECT rtd_watch_table('state_rtd', topic => 'bench');
        SELECT rtd_grant('bench', 'web_anon');
        CREATE FUNCTION bench_notify() RETURNS trigger LANGUAGE plpgsql AS
            $$ BEGIN PERFORM pg_notify('bench_changed', NEW.id::text); RETURN NULL; END $$;
        CREATE TRIGGER bench AFTER UPDATE ON state_peer FOR EACH ROW EXECUTE FUNCTION bench_notify()`);
    await cluster.sql('VACUUM ANALYZE');
}

async function startPeer(cluster: Cluster): Promise<[ChildProcess, System]> {
    const port = await freePort();
    const script = path.join(__dirname, 'peer.js');
    const child = spawn(process.execPath, [script, cluster.dir, cluster.database, String(port), query('state_peer')], {
        stdio: ['ignore', 'pipe', 'inherit'],
    });
    let output = '';
    child.stdout!.on('data', (chunk) => (output += chunk));
    const [, pids] = await waitFor('the peer', () => output.match(/^ready (.*)$/m));
    const system = { name: 'node', table: 'state_peer', port, path: '/', pids: [child.pid!, ...pids.split(' ').map(Number)] };
    return [child, system];
}

const cpuOf = (pids: number[]) => pids.reduce((sum, pid) => sum + (processStat(pid)?.cpuMs ?? 0), 0);

async function run(system: System, writer: Connection): Promise<Round> {
    const writes = options.rate * (warmupSeconds + options.seconds);
    const first = options.rate * warmupSeconds + 1; // what came before is warm-up
    const sent = new BigInt64Array(writes + 1);
    const returned = new BigInt64Array(writes + 1);
    const received = Array.from({ length: options.clients }, () => new BigInt64Array(writes + 1));
    const newest = new Int32Array(options.clients);

    // A state with sequence s shows every commit up to s.
    const clients = await Promise.all(
        received.map((times, client) =>
            Receiver.open(system.port, system.path, (head, at) => {
                const sequence = sequenceIn(head);
                while (newest[client] < sequence) times[++newest[client]] = at;
            }),
        ),
    );
    await waitFor('first messages', () => clients.every((client) => client.messages > 0));
    const [messagesBefore, bytesBefore] = [sum(clients, 'messages'), sum(clients, 'bytes')];
    const delay = monitorEventLoopDelay({ resolution: 1 });
    delay.enable();
    const [cpuBefore, ownBefore, begin] = [cpuOf(system.pids), process.cpuUsage(), Date.now()];

    const update = `UPDATE ${system.table} SET seq = $1 WHERE id = $2`;
    for (let sequence = 1; sequence <= writes; sequence++) {
        const due = begin + ((sequence - 1) * 1000) / options.rate;
        if (due > Date.now()) await measureFor(due - Date.now());
        await writer.query('BEGIN');
        await writer.query({ name: `update_${system.name}`, text: update, values: [sequence, 1 + (sequence % rows)] });
        sent[sequence] = process.hrtime.bigint();
        await writer.query('COMMIT');
        returned[sequence] = process.hrtime.bigint();
    }
    const elapsed = Date.now() - begin;
    await waitFor('the last state everywhere', () => newest.every((sequence) => sequence >= writes)).catch(() => {});
    const [serverCpu, own] = [cpuOf(system.pids) - cpuBefore, process.cpuUsage(ownBefore)];
    delay.disable();
    const messages = sum(clients, 'messages') - messagesBefore;
    const messageBytes = (sum(clients, 'bytes') - bytesBefore) / messages;
    for (const client of clients) {
        client.socket.removeAllListeners('close');
        client.socket.destroy();
    }

    const fromSent: number[] = [];
    const fromReturned: number[] = [];
    let missing = 0;
    for (const times of received)
        for (let sequence = first; sequence <= writes; sequence++) {
            if (times[sequence] === 0n) missing++;
            else {
                fromSent.push(Number(times[sequence] - sent[sequence]) / 1e6);
                fromReturned.push(Number(times[sequence] - returned[sequence]) / 1e6);
            }
        }
    // Sequences start at 1 again in the next round.
    await writer.query(`UPDATE ${system.table} SET seq = 0`);
    return {
        fromSent: Float64Array.from(fromSent).sort(),
        fromReturned: Float64Array.from(fromReturned).sort(),
        missing,
        messages,
        messageBytes,
        serverCpu: serverCpu / elapsed,
        generatorCpu: (own.user + own.system) / 1000 / elapsed,
        loopDelayMs: delay.percentile(99) / 1e6,
        achievedRate: (writes * 1000) / elapsed,
    };
}

const sum = (clients: Receiver[], what: 'messages' | 'bytes') =>
    clients.reduce((total, client) => total + client[what], 0);
const quantile = (sorted: Float64Array, q: number) => sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * q))];
const ms = (value: number) => value.toFixed(2).padStart(9);
const percent = (value: number) => `${(value * 100).toFixed(0)} %`.padStart(7);

function line(label: string, round: Round) {
    const { fromSent, fromReturned } = round;
    const figures = [quantile(fromSent, 0.5), quantile(fromSent, 0.99), fromSent.at(-1)!];
    figures.push(quantile(fromReturned, 0.5), quantile(fromReturned, 0.99));
    const cpu = [round.serverCpu, round.generatorCpu].map(percent).join(' ');
    console.log(
        `${label.padEnd(10)}${figures.map(ms).join(' ')} ${cpu} ${ms(round.loopDelayMs)} ` +
            `${String(round.messages).padStart(8)} ${String(round.missing).padStart(7)}`,
    );
}

function merge(rounds: Round[]): Round {
    const mean = (pick: (round: Round) => number) => rounds.reduce((total, round) => total + pick(round), 0) / rounds.length;
    const all = (pick: (round: Round) => Float64Array) => Float64Array.from(rounds.flatMap((round) => [...pick(round)])).sort();
    return {
        fromSent: all((round) => round.fromSent),
        fromReturned: all((round) => round.fromReturned),
        missing: rounds.reduce((total, round) => total + round.missing, 0),
        messages: rounds.reduce((total, round) => total + round.messages, 0),
        messageBytes: mean((round) => round.messageBytes),
        serverCpu: mean((round) => round.serverCpu),
        generatorCpu: mean((round) => round.generatorCpu),
        loopDelayMs: mean((round) => round.loopDelayMs),
        achievedRate: mean((round) => round.achievedRate),
    };
}

async function main() {
    const cluster = await Cluster.create({ settings: { fsync: 'on', autovacuum: 'on' } });
    let peerProcess: ChildProcess | undefined;
    try {
        await prepare(cluster);
        const [child, peer] = await startPeer(cluster);
        peerProcess = child;
        const rtd: System = {
            name: 'rtd',
            table: 'state_rtd',
            port: cluster.rtdPort,
            path: '/ws/bench',
            pids: [await cluster.hubPid(), await cluster.gatewayPid(), ...(await cluster.pids('rtd query'))],
        };
        const writer = await cluster.connect();
        console.log(
            `${options.clients} clients, ${options.rate} commits/s, ${options.seconds} s a round after ${warmupSeconds} s of warm-up, ` +
                `${rows} rows; milliseconds`,
        );
        console.log('              from COMMIT sent            from COMMIT returned     CPU (1 core)   loop p99');
        console.log('             median       p99       max    median       p99  server    load         ms messages missing');
        const results = new Map<string, Round[]>([['rtd', []], ['node', []]]);
        for (let round = 1; round <= options.rounds; round++)
            for (const system of [rtd, peer]) {
                const result = await run(system, writer);
                results.get(system.name)!.push(result);
                line(`${system.name} #${round}`, result);
            }
        const [mine, other] = ['rtd', 'node'].map((name) => merge(results.get(name)!));
        line('rtd', mine);
        line('node', other);
        const ratio = (q: number, pick: (round: Round) => Float64Array) =>
            (quantile(pick(other), q) / quantile(pick(mine), q)).toFixed(2);
        const both = (pick: (round: Round) => Float64Array) => `median ${ratio(0.5, pick)}, p99 ${ratio(0.99, pick)}`;
        console.log(`node / rtd from COMMIT sent: ${both((round) => round.fromSent)}; ` +
            `from COMMIT returned: ${both((round) => round.fromReturned)}`);
        console.log(`bytes a message: rtd ${mine.messageBytes.toFixed(0)}, node ${other.messageBytes.toFixed(0)}; ` +
            `commits/s reached: rtd ${mine.achievedRate.toFixed(1)}, node ${other.achievedRate.toFixed(1)}`);
    } finally {
        measuring = false;
        peerProcess?.kill();
        await cluster.destroy();
    }
}

main().catch((error) => {
    console.error(error);
    process.exitCode = 1;
});
