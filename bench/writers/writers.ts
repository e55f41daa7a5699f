// What rtd costs those who write: the same UPDATEs without a trigger, watched by rtd, and with the
// usual pg_notify trigger, in turns, in one run. bench/method.md says how.

import { spawn } from 'node:child_process';
import * as fs from 'node:fs';
import * as path from 'node:path';
import { bindir, Cluster, processStat } from '../../test/lib/cluster';
import { waitFor } from '../../test/lib/wait';
import { commandOptions } from '../../test/lib/options';
import { Receiver } from '../receiver';

const options = commandOptions({
    flush: 'fast',
    parts: 'update,bulk,broadcast',
    rounds: 3,
    seconds: 5,
    clients: '1,8,32',
    rows: 1_000_000,
    buffer: '64MB',
});
const updateRows = 100_000;
const channel = 'bench_changed';

// ---- who listens ----

/** Somebody at the other end, for as long as one measurement lasts. */
interface Audience {
    /** Messages that came since it was opened, without the first one of a state or retained topic. */
    received(): number;
    /** When the last of them came, by process.hrtime. */
    lastAt(): bigint;
    /** What was wrong with them, or nothing. */
    problem(): string;
    close(): Promise<void>;
}

/** The number whose digits end before `end`. Without a string, because it is done for every message. */
function numberBefore(text: Buffer, end: number): number {
    let value = 0;
    for (let at = end - 1, unit = 1; text[at] >= 48 && text[at] <= 57; at--, unit *= 10) value += (text[at] - 48) * unit;
    return value;
}

/** Epoch and number of a message: `"id":"1795238080123456-2","kind":"event"}` is how it ends. */
function idIn(message: Buffer): [epoch: number, sequence: number] {
    const dash = message.lastIndexOf(45);
    return [numberBefore(message, dash), numberBefore(message, message.indexOf(34, dash))];
}

async function subscribe(cluster: Cluster, topic: string): Promise<Audience> {
    let [epoch, last] = [0, 0];
    let disorder = 0;
    let lastAt = 0n;
    const receiver = await Receiver.open(cluster.rtdPort, `/ws/${topic}`, (message, at) => {
        const [sameEpoch, sequence] = idIn(message);
        // A retained message is of an earlier epoch than what follows it; a new one starts at 1.
        const wanted = sameEpoch === epoch ? last + 1 : epoch && 1;
        if (wanted && sequence !== wanted) disorder++;
        [epoch, last] = [sameEpoch, sequence];
        lastAt = at;
    });
    await waitFor(`the first message of ${topic}`, () => receiver.messages > 0);
    return {
        received: () => receiver.messages - 1,
        lastAt: () => lastAt,
        problem: () =>
            [disorder && `${disorder} ids out of sequence`, receiver.closeCode && `closed with ${receiver.closeCode}`]
                .filter(Boolean)
                .join(', '),
        async close() {
            receiver.socket.removeAllListeners('close');
            receiver.socket.destroy();
        },
    };
}

async function listen(cluster: Cluster): Promise<Audience> {
    let received = 0;
    let lastAt = 0n;
    const connection = await cluster.connect();
    connection.on('notification', () => {
        received++;
        lastAt = process.hrtime.bigint();
    });
    await connection.query(`LISTEN ${channel}`);
    const close = () => cluster.release(connection);
    return { received: () => received, lastAt: () => lastAt, problem: () => '', close };
}

// ---- the variants ----

interface Variant {
    name: string;
    table: string; // and topic; with the part's name before it
    watch?: (table: string) => string;
    listen?: (cluster: Cluster, table: string) => Promise<Audience>;
    messages: 'every row' | 'coalesced';
}

const watchState = (table: string) => `
    SELECT rtd_create_topic('${table}',
        query => 'SELECT jsonb_build_object(''seq'', sum(n)) FROM ${table} WHERE id <= 100');
    SELECT rtd_watch_table('${table}', '${table}');
    SELECT rtd_grant('${table}', 'web_anon')`;

// The broadcast is what a subscriber gets first.
const watchEvents = (table: string) => `
    SELECT rtd_watch_table('${table}');
    SELECT rtd_grant('${table}', 'web_anon');
    SELECT rtd_broadcast('${table}', 'null')`;

const notifyRows = (table: string) => `
    CREATE TRIGGER bench AFTER UPDATE ON ${table} FOR EACH ROW EXECUTE FUNCTION bench_notify()`;

const variants: Variant[] = [
    { name: 'no trigger', table: 'plain', messages: 'coalesced' },
    { name: 'rtd state, no subscriber', table: 'state', watch: watchState, messages: 'coalesced' },
    { name: 'rtd state, 1 subscriber', table: 'watched', watch: watchState, listen: subscribe, messages: 'coalesced' },
    { name: 'rtd events, 1 subscriber', table: 'events', watch: watchEvents, listen: subscribe, messages: 'every row' },
    { name: 'pg_notify, 1 listener', table: 'notified', watch: notifyRows, listen, messages: 'every row' },
];

async function createTables(cluster: Cluster, part: string, rows: number) {
    for (const { table, watch } of variants) {
        const name = part + table;
        await cluster.sql(`
            CREATE TABLE ${name} (id int PRIMARY KEY, n bigint NOT NULL, note text NOT NULL) WITH (fillfactor = 50);
            INSERT INTO ${name} SELECT id, 0, 'a note of row ' || id FROM generate_series(1, ${rows}) AS id`);
        if (watch) await cluster.sql(watch(name));
    }
    await cluster.sql('VACUUM ANALYZE');
    await cluster.sql('CHECKPOINT');
}

// ---- figures ----

const median = (values: number[]) => {
    const sorted = [...values].sort((a, b) => a - b);
    const middle = sorted.length / 2;
    return sorted.length % 2 ? sorted[Math.floor(middle)] : (sorted[middle - 1] + sorted[middle]) / 2;
};

/** One variant's figures of all rounds, to be compared round by round with another's. */
class Series {
    readonly figures: number[] = [];
    /** CPU time of the writers' backends: microseconds a transaction, or a row. */
    readonly cpu: number[] = [];
    readonly remarks: string[] = [];

    constructor(readonly name: string) {}

    ratioTo(base: Series, of: 'figures' | 'cpu' = 'figures') {
        return median(this[of].map((figure, round) => figure / base[of][round]));
    }

    print(base: Series, digits: number) {
        const [low, high] = [Math.min(...this.figures), Math.max(...this.figures)];
        const cells = [median(this.figures), low, high].map((figure) => figure.toFixed(digits));
        cells.push(this.ratioTo(base).toFixed(2), median(this.cpu).toFixed(2), this.ratioTo(base, 'cpu').toFixed(2));
        console.log(`  ${this.name.padEnd(27)}${row(cells)}  ${this.remarks.filter(Boolean).join('; ')}`);
    }
}

const row = (cells: string[]) => cells.map((cell) => cell.padStart(9)).join('');

function heading(title: string, unit: string, per: string) {
    console.log(`\n${title}`);
    console.log(`${''.padEnd(29)}${row([unit, 'lowest', 'highest', 'ratio'])}  CPU us/${per}   ratio`);
}

// ---- measuring ----

interface Load {
    tps: number;
    transactions: number;
    cpu: number;
}

/** CPU time of the server's processes that have ended, in microseconds. */
function endedCpu(cluster: Cluster): number {
    const stat = fs.readFileSync(`/proc/${cluster.postmasterPid}/stat`, 'utf8');
    const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
    return (Number(fields[13]) + Number(fields[14])) * 10_000; // USER_HZ is 100 on Linux
}

/** The server's processes, those included that have ended and wait to be reaped: only then they count. */
function serverProcesses({ postmasterPid }: Cluster): string[] {
    return fs.readFileSync(`/proc/${postmasterPid}/task/${postmasterPid}/children`, 'utf8').split(' ').filter(Boolean);
}

/** Runs a pgbench script; the SQL is sent prepared. */
async function pgbench(cluster: Cluster, script: string, clients: number, seconds: number): Promise<Load> {
    const file = path.join(cluster.dir, 'bench.sql');
    fs.writeFileSync(file, script);
    const threads = Math.min(clients, 2);
    const args = ['--no-vacuum', '--protocol=prepared', `--client=${clients}`, `--jobs=${threads}`, `--time=${seconds}`];
    const place = ['--host', cluster.dir, '--port', '5432', '--username', 'postgres', cluster.database];
    const others = new Set(serverProcesses(cluster));
    const cpuBefore = endedCpu(cluster);
    const child = spawn(path.join(bindir, 'pgbench'), [...args, '--file', file, ...place]);
    let output = '';
    for (const stream of [child.stdout, child.stderr]) stream.on('data', (chunk) => (output += chunk));
    const status = await new Promise((resolve) => child.on('close', resolve));
    const tps = output.match(/^tps = ([\d.]+)/m);
    const transactions = output.match(/actually processed: (\d+)/);
    if (status !== 0 || !tps || !transactions) throw new Error(`pgbench ended with ${status}:\n${output}`);
    await waitFor('the end of its backends', () => serverProcesses(cluster).every((pid) => others.has(pid)));
    const cpu = (endedCpu(cluster) - cpuBefore) / Number(transactions[1]);
    return { tps: Number(tps[1]), transactions: Number(transactions[1]), cpu };
}

/** What the audience got, once no more comes. */
async function settle(audience: Audience, expected?: number): Promise<string> {
    let before = -1;
    const quiet = async () => {
        const now = audience.received();
        if (now === expected || now === before) return true;
        before = now;
        return false;
    };
    const begin = process.hrtime.bigint();
    await waitFor('the last message', quiet, { deadlineMs: 120_000, everyMs: 500 });
    const lateMs = Number(audience.lastAt() - begin) / 1e6;
    const late = lateMs > 200 ? `, the last ${lateMs.toFixed(0)} ms after the load` : '';
    const missing = expected !== undefined && audience.received() !== expected ? ` of ${expected}` : '';
    const problem = audience.problem();
    return `${audience.received()}${missing} messages${late}${problem && `, ${problem}`}`;
}

/** One load with somebody listening; the remark says what they heard. */
async function measure(
    cluster: Cluster,
    listening: ((cluster: Cluster) => Promise<Audience>) | undefined,
    load: () => Promise<{ figure: number; cpu: number; messages?: number }>,
    series: Series,
) {
    const audience = await listening?.(cluster);
    const { figure, cpu, messages } = await load();
    series.figures.push(figure);
    series.cpu.push(cpu);
    if (audience) series.remarks.push(await settle(audience, messages));
    await audience?.close();
}

// ---- the parts ----

async function measureUpdates(cluster: Cluster) {
    await createTables(cluster, 'update', updateRows);
    const script = (table: string) => `\\set id random(1, ${updateRows})\nUPDATE update${table} SET n = n + 1 WHERE id = :id;\n`;
    for (const { table } of variants) await pgbench(cluster, script(table), 8, 1); // pages, plans, full page images
    for (const clients of options.clients.split(',').map(Number)) {
        const all = variants.map((variant) => new Series(variant.name));
        for (let round = 0; round < options.rounds; round++)
            for (const [i, { table, listen, messages }] of variants.entries()) {
                const load = async () => {
                    const { tps, transactions, cpu } = await pgbench(cluster, script(table), clients, options.seconds);
                    return { figure: tps, cpu, messages: messages === 'every row' ? transactions : undefined };
                };
                await measure(cluster, listen && (() => listen(cluster, `update${table}`)), load, all[i]);
            }
        heading(`UPDATE of one row by primary key, ${clients} clients`, 'tps', 'tx');
        for (const series of all) series.print(all[0], 0);
        console.log(`  rtd state, 1 subscriber / pg_notify: ${all[2].ratioTo(all[4]).toFixed(2)}`);
    }
}

async function measureBulk(cluster: Cluster) {
    await createTables(cluster, 'bulk', options.rows);
    const writer = await cluster.connect();
    const pid = (writer as any).processID as number;
    const all = variants.map((variant) => new Series(variant.name));
    for (let round = 0; round < options.rounds; round++)
        for (const [i, { table, listen, messages }] of variants.entries()) {
            await writer.query(`VACUUM bulk${table}`);
            await writer.query('CHECKPOINT');
            const load = async () => {
                const cpuBefore = processStat(pid)!.cpuMs;
                const begin = process.hrtime.bigint();
                await writer.query(`UPDATE bulk${table} SET n = n + 1`);
                const figure = Number(process.hrtime.bigint() - begin) / 1e9;
                const cpu = ((processStat(pid)!.cpuMs - cpuBefore) * 1000) / options.rows;
                return { figure, cpu, messages: messages === 'every row' ? options.rows : undefined };
            };
            await measure(cluster, listen && (() => listen(cluster, `bulk${table}`)), load, all[i]);
        }
    await cluster.release(writer);
    heading(`UPDATE of ${options.rows} rows in one statement`, 'seconds', 'row');
    for (const series of all) series.print(all[0], 2);
}

async function measureBroadcasts(cluster: Cluster) {
    await cluster.sql(`
        SELECT rtd_create_topic('news');
        SELECT rtd_grant('news', 'web_anon');
        SELECT rtd_broadcast('news', '{"seq": 0}')`);
    const contenders = [
        { name: 'SELECT 1', sql: 'SELECT 1' },
        { name: 'rtd_broadcast, 1 subscriber', sql: `SELECT rtd_broadcast('news', '{"seq": 1}')`, listening: () => subscribe(cluster, 'news') },
        { name: 'pg_notify, 1 listener', sql: `SELECT pg_notify('${channel}', '{"seq": 1}')`, listening: () => listen(cluster) },
    ];
    const all = contenders.map(({ name }) => new Series(name));
    for (let round = 0; round < options.rounds; round++)
        for (const [i, { sql, listening }] of contenders.entries()) {
            const load = async () => {
                const { tps, transactions, cpu } = await pgbench(cluster, `${sql};\n`, 8, options.seconds);
                return { figure: tps, cpu, messages: transactions };
            };
            await measure(cluster, listening, load, all[i]);
        }
    heading('One message a transaction, 8 clients', 'tps', 'tx');
    for (const series of all) series.print(all[0], 0);
    console.log(`  rtd_broadcast / pg_notify: ${all[1].ratioTo(all[2]).toFixed(2)}`);
}

async function main() {
    const fast = options.flush === 'fast';
    if (fast) process.env.TMPDIR = '/dev/shm'; // where Cluster makes its directory
    const settings = {
        ...{ fsync: 'on', shared_buffers: '1GB', max_wal_size: '16GB', checkpoint_timeout: '1h' },
        'rtd.client_buffer': options.buffer,
    };
    const cluster = await Cluster.create({ settings });
    try {
        await cluster.sql(`
            CREATE FUNCTION bench_notify() RETURNS trigger LANGUAGE plpgsql AS
                $$ BEGIN PERFORM pg_notify('${channel}', NEW.id::text); RETURN NULL; END $$`);
        console.log(
            `${fast ? 'fast flush: data directory in /dev/shm' : 'normal flush: data directory on disk'}, fsync on; ` +
                `${options.rounds} rounds; figures are medians, ratios medians of the ratios within a round`,
        );
        const parts: Record<string, (cluster: Cluster) => Promise<void>> = {
            update: measureUpdates,
            bulk: measureBulk,
            broadcast: measureBroadcasts,
        };
        for (const part of options.parts.split(',')) await parts[part](cluster);
    } finally {
        await cluster.destroy();
    }
}

main().catch((error) => {
    console.error(error);
    process.exitCode = 1;
});
