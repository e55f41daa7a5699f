// Fan-out: how fast, how soon and at what cost messages reach many clients, with rtd and with servers as
// one writes them by hand, in turns, in one run. bench/method.md says how.

import * as fs from 'node:fs';
import * as os from 'node:os';
import { Cluster } from '../../test/lib/cluster';
import { commandOptions } from '../../test/lib/options';
import { Cell, Figures, Mode, Publisher, runCell } from './cell';
import { System, createTables, findSystems, smallestMessage } from './systems';

const options = commandOptions({
    ...{ systems: 'rtd,bun,node,fastapi', clients: '100,1000,8000', sizes: '200,2048,51200' },
    ...{ modes: 'paced,burst,connect,slow', rounds: 3, seconds: 5, rate: 100, batch: 100, json: '' },
});
const numbers = (list: string) => list.split(',').map(Number);
const base = 'bun'; // what the others are compared with

/** A schedule is slowed down until it asks for no more than this, so that it stays one. */
const pacedDeliveriesPerSecond = 100_000;
const pacedBytesPerSecond = 500e6;
/** Clients of which a tenth never reads, and the size of message that fills their buffers in time. */
const slow = { clients: 1000, messageBytes: 2048 };

// ---- what is measured ----

function pacedRate(clients: number, messageBytes: number): number {
    return Math.min(options.rate, pacedDeliveriesPerSecond / clients, pacedBytesPerSecond / clients / messageBytes);
}

function cellsOf(mode: Mode, clients: number, sizes: number[]): Cell[] {
    const cell = (messageBytes: number, readers = clients, neverRead = 0): Cell => ({
        ...{ mode, clients: readers + neverRead, neverRead, messageBytes, batch: options.batch, seconds: options.seconds },
        rate: mode === 'burst' || mode === 'connect' ? 0 : pacedRate(readers, messageBytes),
    });
    switch (mode) {
        case 'paced':
        case 'burst':
            return sizes.map((size) => cell(size));
        case 'connect':
            return [cell(Math.min(...sizes))];
        case 'slow': {
            if (clients !== slow.clients) return [];
            const readers = clients * 0.9;
            return [cell(slow.messageBytes, readers), cell(slow.messageBytes, readers, clients - readers)];
        }
    }
}

function grid(): Cell[] {
    const sizes = numbers(options.sizes);
    const limit = Number(fs.readFileSync('/proc/self/limits', 'utf8').match(/^Max open files\s+(\d+)/m)![1]);
    return numbers(options.clients).flatMap((clients) => {
        if (clients + 200 > limit) {
            console.log(`${clients} clients are left out: a process may open ${limit} descriptors here (ulimit -n)`);
            return [];
        }
        return options.modes.split(',').flatMap((mode) => cellsOf(mode as Mode, clients, sizes));
    });
}

// ---- figures ----

interface Column {
    title: string;
    of: (figures: Figures) => number;
    digits: number;
}

const column = (title: string, digits: number, of: Column['of']): Column => ({ title, digits, of });
const cpu = column('CPU us', 2, (figures) => figures.cpuPerDelivery);
const p99 = column('p99 ms', 2, (figures) => figures.result.p99);
const deliveries = column('per second', 0, (figures) => figures.deliveriesPerSecond);
const times = [
    column('p50 ms', 2, (figures) => figures.result.p50),
    p99,
    column('p99.9', 2, (figures) => figures.result.p999),
    column('max', 1, (figures) => figures.result.max),
];
const grown = column('grown MB', 1, (figures) => figures.residentGrowth / 1e6);
const perSecond = column('per second', 0, (figures) => figures.ready.perSecond);
const resident = column('bytes each', 0, (figures) => figures.bytesPerConnection);
const columns: Record<Mode, Column[]> = {
    paced: [deliveries, ...times, cpu],
    burst: [deliveries, ...times, cpu],
    slow: [deliveries, ...times, cpu, grown],
    connect: [
        perSecond,
        column('p50 ms', 2, (figures) => figures.ready.p50),
        column('p99 ms', 2, (figures) => figures.ready.p99),
        column('CPU us', 1, (figures) => figures.cpuPerConnection),
        resident,
    ],
};
/** What the issue is judged by: against the base, within a round. */
const compared: Record<Mode, Column[]> = {
    paced: [p99, cpu],
    burst: [deliveries, cpu],
    slow: [p99, cpu],
    connect: [perSecond, resident],
};

const median = (values: number[]) => {
    const sorted = [...values].sort((a, b) => a - b);
    const middle = sorted.length / 2;
    return sorted.length % 2 ? sorted[Math.floor(middle)] : (sorted[middle - 1] + sorted[middle]) / 2;
};

/** The figures of a cell by system, round by round; a round that failed is left empty. */
type Rounds = Map<string, (Figures | undefined)[]>;
const made = (rounds: (Figures | undefined)[] = []) => rounds.filter((figures) => figures !== undefined);

const percent = (share: number) => `${(share * 100).toFixed(0)} %`;
const wide = (cells: string[]) => cells.map((cell) => cell.padStart(12)).join('');

function describe(cell: Cell): string {
    const clients = `${cell.clients} clients${cell.neverRead ? ` of which ${cell.neverRead} never read` : ''}`;
    if (cell.mode === 'connect') return `connect: ${clients}, each until its first message of ${cell.messageBytes} bytes`;
    const size = `messages of ${Math.max(cell.messageBytes, smallestMessage)} bytes`;
    return `${cell.mode}: ${clients}, ${size}, ${cell.rate ? `${cell.rate.toFixed(1)} a second` : 'as fast as possible'}`;
}

function ratio(column: Column, mine: Rounds, name: string): string {
    const pairs = (mine.get(name) ?? []).flatMap((figures, round) => {
        const other = mine.get(base)?.[round];
        return figures && other ? [column.of(figures) / column.of(other)] : [];
    });
    return pairs.length ? median(pairs).toFixed(2) : '-';
}

function sum(rounds: Figures[], of: (figures: Figures) => number) {
    return rounds.reduce((total, figures) => total + of(figures), 0);
}

const unclosed: { [code: string]: string } = { '-1': 'reset', '0': 'ended without a close code' };

/** What a reader of the table must not overlook. */
function remarks(rounds: Figures[]): string[] {
    const faults = {
        missing: sum(rounds, ({ result }) => result.missing),
        'out of order': sum(rounds, ({ result }) => result.repeated),
        'clients lost': sum(rounds, ({ result }) => result.lost),
    };
    const odd = rounds.flatMap(({ result }) => Object.entries(result.ends)).filter(([code]) => code !== '1000');
    return [
        ...Object.entries(faults).flatMap(([name, count]) => (count ? [`${count} ${name}`] : [])),
        ...odd.map(([code, count]) => `${count} ${unclosed[code] ?? `closed with ${code}`}`),
    ];
}

function print(cell: Cell, results: Rounds) {
    const shown = columns[cell.mode];
    const ratios = compared[cell.mode];
    console.log(`\n${describe(cell)}`);
    console.log(`  ${''.padEnd(9)}${wide(shown.map(({ title }) => title))}   ${base} = 1: ${ratios.map(({ title }) => title).join(', ')}`);
    for (const [name, rounds] of results) {
        const done = made(rounds);
        if (done.length === 0) continue;
        const cells = shown.map(({ of, digits }) => median(done.map(of)).toFixed(digits));
        const against = ratios.map((column) => ratio(column, results, name)).join(', ');
        console.log(`  ${name.padEnd(9)}${wide(cells)}   ${[against, ...remarks(done)].join('; ')}`);
    }
    if (cell.mode === 'connect') return;
    console.log('  shares of a core, and who had no more to give:');
    for (const [name, rounds] of results) {
        const done = made(rounds);
        if (done.length === 0) continue;
        const names = Object.keys(done[0].shares);
        const shares = names.map((of) => `${of} ${percent(median(done.map(({ shares }) => shares[of])))}`);
        shares.push(`others ${percent(median(done.map(({ otherShare }) => otherShare)))}`);
        const limits = [...new Set(done.map(({ bottleneck }) => bottleneck))].join(' or ');
        console.log(`  ${name.padEnd(9)}${shares.join(', ')}: ${limits}`);
    }
}

// ---- the run ----

interface Measurement {
    cell: Cell;
    system: string;
    round: number;
    figures?: Figures;
    error?: string;
}

/** All rounds of a cell: systems in turns, each round beginning with another one. */
async function runRounds(cell: Cell, systems: System[], publisher: Publisher, records: Measurement[]): Promise<Rounds> {
    const results: Rounds = new Map(systems.map(({ name }) => [name, []]));
    for (let round = 0; round < options.rounds; round++)
        for (let turn = 0; turn < systems.length; turn++) {
            const system = systems[(round + turn) % systems.length];
            const record: Measurement = { cell, system: system.name, round };
            try {
                record.figures = await runCell(system, publisher, cell);
            } catch (error) {
                record.error = (error as Error).message;
                console.log(`  ${describe(cell)}: ${system.name} failed: ${record.error}`);
            }
            results.get(system.name)!.push(record.figures);
            records.push(record);
        }
    return results;
}

function save(records: Measurement[]) {
    if (!options.json) return;
    const machine = { cores: os.cpus().length, model: os.cpus()[0].model, kernel: os.release() };
    fs.writeFileSync(options.json, JSON.stringify({ machine, options, records }, undefined, 1));
}

async function measure(cluster: Cluster, systems: System[]): Promise<Measurement[]> {
    await createTables(cluster);
    const cells = grid();
    const publisher = await Publisher.connect(cluster);
    const records: Measurement[] = [];
    console.log(
        `${systems.map(({ name }) => name).join(', ')}; ${options.rounds} rounds of ${options.seconds} s; figures are medians, ` +
            'ratios medians of the ratios within a round; CPU microseconds of the whole server side for each delivery',
    );
    for (const cell of cells) {
        print(cell, await runRounds(cell, systems, publisher, records));
        save(records);
    }
    return records;
}

/** Rejects when somebody wants to stop. */
function interruption(): Promise<never> {
    return new Promise((_, reject) => {
        for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => reject(new Error(`stopped by ${signal}`)));
    });
}

async function main() {
    process.env.TMPDIR = '/dev/shm'; // where Cluster makes its directory: a flush is not what is measured
    const interrupted = interruption();
    const cluster = await Cluster.create({ settings: { fsync: 'on', shared_buffers: '256MB', max_wal_size: '4GB' } });
    const systems = findSystems(options.systems.split(','), cluster);
    try {
        const records = await Promise.race([measure(cluster, systems), interrupted]);
        if (records.some(({ error }) => error)) process.exitCode = 1;
    } finally {
        for (const system of systems) await system.stop();
        await cluster.destroy();
    }
}

main().catch((error) => {
    console.error(error.message);
    process.exit(1); // also what was under way: it ends with this process
});
