// The systems under test: rtd and three servers as one writes them by hand. Each is started anew on
// demand, says which processes it consists of, and how a message gets to it.

import { ChildProcess, spawn, spawnSync } from 'node:child_process';
import * as fs from 'node:fs';
import * as net from 'node:net';
import * as path from 'node:path';
import { Cluster, freePort, isAlive, root } from '../../test/lib/cluster';
import { waitFor, within } from '../../test/lib/wait';
import { channel } from './notifications';

/** Process ids by what the process is. */
export type Processes = Record<string, number[]>;

export interface Statement {
    name: string;
    text: string;
    values: unknown[];
}

export interface System {
    readonly name: string;
    readonly path: string;
    port(): number;
    /** A fresh server without clients. */
    start(): Promise<void>;
    stop(): Promise<void>;
    /** What serves the clients: its CPU time and memory are the system's. */
    server(): Processes;
    /** The backend that LISTENs for a peer: named, and not counted. */
    beside(): Processes;
    /** Sends messages `first` to `last` in one transaction; `at` is the time they carry. */
    send(first: number, last: number, at: bigint, messageBytes: number): Statement;
}

/** A message as rtd makes it. Peers get it whole; rtd gets the data and makes the rest. */
const envelope = (data: string, number: string) =>
    `{"type":"fanout_update","data":${data},"timestamp":"2026-11-21T05:14:40.123456+00:00","source":"event",` +
    `"topic":"fanout","params":[],"id":"1795238080123456-${number}","kind":"event"}`;
const bare = envelope('{"n": 12345, "t": 1234567890123456}', '12345');
/** No message is shorter than this, and what of it is not padding. */
export const smallestMessage = bare.length;
/** A notification holds this much; what is longer goes through a table. */
const notificationBytes = 7900;

/** Text that does not compress to nothing, always the same. */
function noise(bytes: number): string {
    const alphabet = 'abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-';
    let seed = 1;
    return Array.from({ length: bytes }, () => {
        seed = (Math.imul(seed, 1664525) + 1013904223) >>> 0;
        return alphabet[seed >>> 26];
    }).join('');
}

/** SQL of the data of message n; $3 is the time, $4 what follows it. */
const data = `'{"n": ' || n || ', "t": ' || $3::text || $4::text || '}'`;
const message = `'${envelope(`' || ${data} || '`, `' || n || '`)}'`;
const series = 'generate_series($1::bigint, $2::bigint) AS n';
const sendSql = {
    rtd: `SELECT rtd_broadcast('fanout', (${data})::jsonb) FROM ${series}`,
    notify: `SELECT pg_notify('${channel}', ${message}) FROM ${series}`,
    store: `WITH stored AS (INSERT INTO fanout_message SELECT n, ${message} FROM ${series} RETURNING id)
            SELECT pg_notify('${channel}', id::text) FROM stored`,
};

const paddings = new Map<number, string>();
function padding(messageBytes: number): string {
    const frame = ', "pad": ""'.length;
    const free = messageBytes - smallestMessage - frame;
    if (free <= 0) return '';
    if (!paddings.has(messageBytes)) paddings.set(messageBytes, `, "pad": "${noise(free)}"`);
    return paddings.get(messageBytes)!;
}

function statement(how: keyof typeof sendSql, first: number, last: number, at: bigint, messageBytes: number): Statement {
    return { name: how, text: sendSql[how], values: [first, last, String(at), padding(messageBytes)] };
}

export async function createTables(cluster: Cluster) {
    await cluster.sql(`
        CREATE TABLE fanout_message (id bigint PRIMARY KEY, body text NOT NULL);
        SELECT rtd_create_topic('fanout');
        SELECT rtd_grant('fanout', 'web_anon')`);
}

class Rtd implements System {
    readonly name = 'rtd';
    readonly path = '/ws/fanout';
    private processes: Processes = {};

    constructor(private readonly cluster: Cluster) {}

    port = () => this.cluster.rtdPort;
    server = () => this.processes;
    beside = () => ({});

    /** The hub starts a gateway that ended anew. */
    async start() {
        const old = await this.cluster.gatewayPid();
        process.kill(old, 'SIGKILL');
        await waitFor('the end of the old gateway', () => !isAlive(old));
        await this.cluster.ready();
        this.processes = {
            hub: [await this.cluster.hubPid()],
            query: await this.cluster.pids('rtd query'),
            gateway: [await this.cluster.gatewayPid()],
        };
    }

    async stop() {}

    send(first: number, last: number, at: bigint, messageBytes: number) {
        return statement('rtd', first, last, at, messageBytes);
    }
}

class Peer implements System {
    readonly path = '/';
    private child?: ChildProcess;
    private listenPort = 0;
    private backend = 0;

    constructor(
        readonly name: string,
        private readonly cluster: Cluster,
        private readonly command: string[],
    ) {}

    port = () => this.listenPort;
    server = () => ({ [this.name]: [this.child!.pid!] });
    beside = () => ({ backend: [this.backend] });

    async start() {
        await this.stop();
        this.listenPort = await freePort();
        const args = [...this.command, this.cluster.dir, this.cluster.database, String(this.listenPort)];
        const child = startProcess(args);
        this.child = child;
        let output = '';
        child.stdout!.on('data', (chunk) => (output += chunk));
        const ready = () => {
            if (child.exitCode !== null) throw new Error(`${this.name} ended with status ${child.exitCode}`);
            return output.match(/^ready (\d+)$/m);
        };
        const [, pid] = await waitFor(`${this.name} to be ready`, ready, { deadlineMs: 20_000 });
        this.backend = Number(pid);
        await waitFor(`${this.name} to listen`, () => accepts(this.listenPort));
    }

    async stop() {
        if (this.child) await endProcess(this.child);
        this.child = undefined;
    }

    send(first: number, last: number, at: bigint, messageBytes: number) {
        return statement(messageBytes > notificationBytes ? 'store' : 'notify', first, last, at, messageBytes);
    }
}

/** Starts a program that ends with this process, whatever ends this process. */
export function startProcess(command: string[], stdin: 'ignore' | 'pipe' = 'ignore'): ChildProcess {
    return spawn('setpriv', ['--pdeathsig', 'KILL', '--', ...command], { stdio: [stdin, 'pipe', 'inherit'] });
}

export async function endProcess(child: ChildProcess) {
    if (child.exitCode !== null || child.signalCode !== null) return;
    const ended = new Promise<void>((resolve) => child.once('exit', () => resolve()));
    child.kill('SIGKILL');
    await within('a process to end', ended);
}

function accepts(port: number): Promise<boolean> {
    return new Promise((resolve) => {
        const socket = net.connect({ port, host: '127.0.0.1' });
        const answer = (accepted: boolean) => {
            socket.destroy();
            resolve(accepted);
        };
        socket.once('connect', () => answer(true)).once('error', () => answer(false));
    });
}

// ---- what there is ----

const here = path.join(root, 'bench/fanout');
const bun = path.join(here, 'node_modules/.bin/bun');
const peers: Record<string, { command: string[]; probe: string[] }> = {
    bun: { command: [bun, path.join(__dirname, 'peer_bun.js')], probe: [bun, '--version'] },
    node: { command: [process.execPath, path.join(__dirname, 'peer_node.js')], probe: [process.execPath, '--version'] },
    fastapi: {
        command: ['/usr/bin/python3', path.join(here, 'peer_fastapi.py')],
        probe: ['/usr/bin/python3', '-c', 'import asyncpg, fastapi, uvicorn, uvloop, websockets as w; print(fastapi.__version__)'],
    },
};

/** Those of the named systems that can be had; says which ones cannot, and why. */
export function findSystems(names: string[], cluster: Cluster): System[] {
    return names.flatMap((name): System[] => {
        if (name === 'rtd') return [new Rtd(cluster)];
        const peer = peers[name];
        if (!peer) throw new Error(`there is no system ${name}: rtd, ${Object.keys(peers).join(', ')}`);
        const { error, status, stderr } = spawnSync(peer.probe[0], peer.probe.slice(1), { encoding: 'utf8' });
        if (status === 0) return [new Peer(name, cluster, peer.command)];
        console.log(`${name} is missing: ${(error?.message ?? stderr).trim().split('\n').at(-1)}`);
        return [];
    });
}

/** Memory of its own that a process has, in bytes: without what it shares with the server. */
export function residentBytes(pid: number): number {
    const status = fs.readFileSync(`/proc/${pid}/status`, 'utf8');
    const kilobytes = (name: string) => Number(status.match(new RegExp(`^${name}:\\s*(\\d+) kB`, 'm'))![1]);
    return (kilobytes('RssAnon') + kilobytes('RssFile')) * 1024;
}
