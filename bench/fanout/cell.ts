// One cell of bench/fanout: one system, fresh, with so many clients, messages of one size, sent in one
// way. bench/method.md says what is measured and why.

import * as os from 'node:os';
import { Cluster, Connection, processStat } from '../../test/lib/cluster';
import { measureFor, waitFor } from '../../test/lib/wait';
import { Load, Ready, Result } from './load';
import { Processes, System, residentBytes } from './systems';

/**
 * paced: on a schedule. burst: as fast as the slowest client takes them. connect: all connect at once,
 * and then rest. slow: paced, and some clients never read.
 */
export type Mode = 'paced' | 'burst' | 'connect' | 'slow';

export interface Cell {
    mode: Mode;
    clients: number;
    /** Of these, so many never read. */
    neverRead: number;
    messageBytes: number;
    /** Messages a second, where the mode has a schedule. */
    rate: number;
    /** Messages a transaction of a burst, at most. */
    batch: number;
    seconds: number;
}

/** Shares are of one core, while the cell was measured. */
export interface Figures {
    result: Result;
    ready: Ready;
    /** Messages a second that were really sent. */
    sentPerSecond: number;
    deliveriesPerSecond: number;
    cpuPerDelivery: number; // microseconds, of the whole server side
    cpuPerConnection: number; // the same, until the first message
    bytesPerConnection: number; // resident, at rest
    residentGrowth: number; // bytes, from before the first client to the end
    shares: Record<string, number>;
    /** What others took of the machine. */
    otherShare: number;
    bottleneck: string;
}

const warmupSeconds = 1;
const drainDeadlineMs = 60_000;
/** A burst never has more than this under way to a client, nor this many deliveries to all of them. */
const windowBytes = 512 << 10;
const windowDeliveries = 400_000;
/**
 * Slow clients have this much before them when measuring begins: more than the kernel's buffers and
 * rtd.client_buffer hold. In large messages, so that it does not take long.
 */
const fill = { bytes: 6 << 20, messageBytes: 50 << 10 };
const settledBytes = 256 << 10;

/** Numbers messages and sends them: one connection, so that they commit in their order. */
export class Publisher {
    private constructor(
        private readonly connection: Connection,
        private readonly cluster: Cluster,
        /** Of the newest message. */
        public number = 0,
    ) {}

    static async connect(cluster: Cluster): Promise<Publisher> {
        return new Publisher(await cluster.connect(), cluster);
    }

    get backend(): number {
        return (this.connection as any).processID;
    }

    /** Sends `count` messages in one transaction. */
    async send(system: System, messageBytes: number, count = 1) {
        const first = this.number + 1;
        this.number += count;
        await this.connection.query(system.send(first, this.number, process.hrtime.bigint(), messageBytes));
    }

    async paced(system: System, { messageBytes, rate }: Cell, seconds: number) {
        const begin = Date.now();
        for (let i = 0; i < rate * seconds; i++) {
            const due = begin + (i * 1000) / rate;
            if (due > Date.now()) await measureFor(due - Date.now());
            await this.send(system, messageBytes);
        }
    }

    /** Keeps a window of messages under way until the time is over, or so many bytes have gone to each client. */
    async burst(system: System, load: Load, { messageBytes, clients, batch: most }: Cell, seconds: number, bytes = Infinity) {
        const window = Math.max(2, Math.floor(Math.min(windowBytes / messageBytes, windowDeliveries / clients)));
        const batch = Math.max(1, Math.min(most, Math.floor(window / 4)));
        const first = this.number;
        const end = Date.now() + seconds * 1000;
        while (Date.now() < end && (this.number - first) * messageBytes < bytes) {
            await this.send(system, messageBytes, batch);
            await load.delivered(Math.max(1, this.number - window + batch), drainDeadlineMs);
        }
    }

    /** Forgets the messages that peers read from a table. */
    async clear() {
        await this.cluster.sql('TRUNCATE fanout_message');
    }
}

// ---- processor time and memory ----

const pidsOf = (processes: Processes) => Object.values(processes).flat();
const cpuOf = (pids: number[]) => pids.reduce((sum, pid) => sum + (processStat(pid)?.cpuMs ?? 0), 0);
const memoryOf = (system: System) => pidsOf(system.server()).reduce((sum, pid) => sum + residentBytes(pid), 0);
const idleOfMachine = () => os.cpus().reduce((sum, { times }) => sum + times.idle, 0);

class Usage {
    private readonly begin = process.hrtime.bigint();
    private readonly before: Record<string, number>;
    private readonly idle = idleOfMachine();

    constructor(private readonly processes: Processes) {
        this.before = this.read();
    }

    private read() {
        return Object.fromEntries(Object.entries(this.processes).map(([name, pids]) => [name, cpuOf(pids)]));
    }

    /** CPU milliseconds since the beginning. */
    cpu(names: string[]): number {
        const now = this.read();
        return names.reduce((sum, name) => sum + now[name] - this.before[name], 0);
    }

    shares() {
        const elapsedMs = Number(process.hrtime.bigint() - this.begin) / 1e6;
        const names = Object.keys(this.processes);
        const shares = Object.fromEntries(names.map((name) => [name, this.cpu([name]) / elapsedMs]));
        const own = names.reduce((sum, name) => sum + shares[name], 0);
        const busy = os.cpus().length - (idleOfMachine() - this.idle) / elapsedMs;
        return { shares, busy, otherShare: Math.max(0, busy - own) };
    }
}

/** Who had nothing left to give. */
function findBottleneck(shares: Record<string, number>, busy: number): string {
    const full = Object.entries(shares).filter(([, share]) => share > 0.85);
    if (full.length) return full.map(([name]) => name).join(' + ');
    return busy > 0.93 * os.cpus().length ? 'all cores' : '-';
}

async function settledMemory(system: System): Promise<number> {
    let last = Infinity;
    const settled = () => {
        const before = last;
        last = memoryOf(system);
        return Math.abs(last - before) < settledBytes;
    };
    await waitFor('memory at rest', settled, { everyMs: 500, deadlineMs: 20_000 }).catch(() => {}); // then as it is
    return last;
}

// ---- a cell ----

/** Starts the system and gives it a message that everybody who connects gets. */
async function startFresh(system: System, publisher: Publisher, messageBytes: number) {
    await system.start();
    await publisher.clear();
    await publisher.send(system, messageBytes);
    const [probe] = await Load.start(system, { clients: 1 });
    try {
        await probe.delivered(publisher.number, 10_000);
        await probe.stop();
    } finally {
        await probe.kill();
    }
}

async function sendAll(system: System, publisher: Publisher, load: Load, cell: Cell, seconds: number) {
    if (cell.mode === 'burst') await publisher.burst(system, load, cell, seconds);
    else await publisher.paced(system, cell, seconds);
    await load.delivered(publisher.number, drainDeadlineMs);
}

async function warmUp(system: System, publisher: Publisher, load: Load, cell: Cell) {
    await sendAll(system, publisher, load, cell, warmupSeconds);
    if (cell.mode !== 'slow') return;
    await publisher.burst(system, load, { ...cell, messageBytes: fill.messageBytes }, drainDeadlineMs / 1000, fill.bytes);
    await load.delivered(publisher.number, drainDeadlineMs);
}

export async function runCell(system: System, publisher: Publisher, cell: Cell): Promise<Figures> {
    await startFresh(system, publisher, cell.messageBytes);
    const memoryBefore = cell.mode === 'connect' ? await settledMemory(system) : memoryOf(system);
    const serverNames = Object.keys(system.server());
    const connecting = new Usage(system.server());
    const [load, ready] = await Load.start(system, cell);
    try {
        const cpuPerConnection = (connecting.cpu(serverNames) * 1000) / cell.clients;
        const atRest = cell.mode === 'connect' ? await settledMemory(system) : 0;
        const measures = cell.mode !== 'connect';
        if (measures) await warmUp(system, publisher, load, cell);

        load.measureFrom(publisher.number + 1);
        const publishing = { publisher: [process.pid], 'its backend': [publisher.backend] };
        const usage = new Usage({ ...system.server(), ...system.beside(), load: [load.pid], ...publishing });
        const [begin, numberBefore] = [Date.now(), publisher.number];
        if (measures) await sendAll(system, publisher, load, cell, cell.seconds);
        const sentPerSecond = ((publisher.number - numberBefore) * 1000) / Math.max(1, Date.now() - begin);
        const cpu = usage.cpu(serverNames);
        const { shares, busy, otherShare } = usage.shares();
        const residentGrowth = memoryOf(system) - memoryBefore;
        const result = await load.stop();
        if (measures && result.deliveries === 0) throw new Error(`nothing arrived: ${JSON.stringify(result.ends)} by close code`);
        return {
            ...{ result, ready, sentPerSecond, cpuPerConnection, residentGrowth, shares, otherShare },
            deliveriesPerSecond: result.deliveries / result.seconds,
            cpuPerDelivery: (cpu * 1000) / result.deliveries,
            bytesPerConnection: (atRest - memoryBefore) / cell.clients,
            bottleneck: findBottleneck(shares, busy),
        };
    } finally {
        await load.kill();
        await system.stop();
    }
}
