// A throw-away PostgreSQL server with rtd: a temporary directory, a Unix socket, a free loopback port
// for the gateway. The postmaster is a direct child of the test and dies with it (PDEATHSIG), so
// nothing is left over and only processes of this test are ever signalled.

import { ChildProcess, execFileSync, spawn } from 'node:child_process';
import * as fs from 'node:fs';
import * as net from 'node:net';
import * as os from 'node:os';
import * as path from 'node:path';
import { Client as Connection, ClientConfig, QueryResult, QueryResultRow } from 'pg';
import { waitFor, within } from './wait';

export { Connection };

/** The repository. Compiled files lie in test/build/test/lib. */
export const root = path.resolve(__dirname, '../../../..');

const pgConfig = process.env.PG_CONFIG || 'pg_config';
export const bindir = execFileSync(pgConfig, ['--bindir'], { encoding: 'utf8' }).trim();
const isRoot = process.getuid!() === 0;
const serverUser = process.env.CLUSTER_USER || 'postgres';

/** A server does not run as root: root hands over to another user. setpriv execs, so pids stay. */
export function asServer(command: string, args: string[]): [string, string[]] {
    const identity = isRoot ? ['--reuid', serverUser, '--regid', serverUser, '--init-groups'] : [];
    return ['setpriv', [...identity, '--pdeathsig', 'QUIT', '--', command, ...args]];
}

/** A TCP port that is free on loopback now. */
export async function freePort(): Promise<number> {
    const server = net.createServer();
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    const { port } = server.address() as net.AddressInfo;
    await new Promise((resolve) => server.close(resolve));
    return port;
}

export interface ClusterOptions {
    /** Settings of postgresql.conf, besides those of a test server with rtd. null leaves one out. */
    settings?: Record<string, string | number | null>;
    /** The served database; created, with the extension in it. */
    database?: string;
    /** false: the database and the extension are not created. */
    install?: boolean;
    /** Where the programs of its server are, if it is not the one that PG_CONFIG names. */
    bindir?: string;
}

export type StopMode = 'smart' | 'fast' | 'immediate' | 'kill';
const stopSignals: Record<StopMode, NodeJS.Signals> = {
    smart: 'SIGTERM',
    fast: 'SIGINT',
    immediate: 'SIGQUIT',
    kill: 'SIGKILL',
};

export class Cluster {
    readonly dir: string;
    readonly database: string;
    readonly rtdPort: number;
    private postmaster?: ChildProcess;
    private connections = new Set<Connection>();
    private shared?: Promise<Connection>;
    private queue: Promise<unknown> = Promise.resolve(); // one statement after another in `shared`

    private constructor(dir: string, database: string, rtdPort: number, private readonly programs: string) {
        this.dir = dir;
        this.database = database;
        this.rtdPort = rtdPort;
    }

    /** initdb, start, create database and extension, wait until the gateway serves. */
    static async create(options: ClusterOptions = {}): Promise<Cluster> {
        const dir = fs.mkdtempSync(path.join(os.tmpdir(), 'rtd-e2e-'));
        if (isRoot) execFileSync('chown', [serverUser, dir]);
        const cluster = new Cluster(dir, options.database ?? 'app', await freePort(), options.bindir ?? bindir);
        try {
            execFileSync(
                ...asServer(path.join(cluster.programs, 'initdb'), [
                    ...['--no-sync', '--username=postgres', '--auth=trust', '--encoding=UTF8', '--locale=C'],
                    `--pgdata=${cluster.dataDir}`,
                ]),
                { stdio: ['ignore', 'ignore', 'pipe'], cwd: '/' }, // the tree may be closed to the server's user
            );
            cluster.configure({
                listen_addresses: '',
                unix_socket_directories: dir,
                fsync: 'off',
                autovacuum: 'off', // its WAL and its CPU time are not rtd's
                log_line_prefix: '%m [%p] %b ',
                shared_preload_libraries: 'rtd',
                'rtd.database': cluster.database,
                'rtd.port': cluster.rtdPort,
                'rtd.anonymous_role': 'web_anon',
                ...options.settings,
            });
            await cluster.start();
            if (options.install ?? true) await cluster.install();
        } catch (error) {
            const log = fs.existsSync(cluster.logFile) ? cluster.log() : '';
            await cluster.destroy();
            throw new Error(`${(error as Error).message}\nserver log:\n${log}`, { cause: error });
        }
        return cluster;
    }

    /** A base backup of this server, not started: what comes later here is not in it. */
    async backup(): Promise<Cluster> {
        const dir = fs.mkdtempSync(path.join(os.tmpdir(), 'rtd-e2e-'));
        if (isRoot) execFileSync('chown', [serverUser, dir]);
        const copy = new Cluster(dir, this.database, await freePort(), this.programs);
        execFileSync(
            ...asServer(path.join(this.programs, 'pg_basebackup'), ['--no-sync', '--checkpoint=fast', '-h', this.dir, '-U', 'postgres', '-D', copy.dataDir]),
            { stdio: ['ignore', 'ignore', 'pipe'], cwd: '/' },
        );
        copy.configure({ unix_socket_directories: dir, 'rtd.port': copy.rtdPort });
        return copy;
    }

    /** Starts a backup as what becomes the primary where the other one is lost: on a new timeline. */
    async startRecovered() {
        this.configure({ restore_command: 'false' }); // it has all the WAL that there is
        fs.writeFileSync(path.join(this.dataDir, 'recovery.signal'), '');
        if (isRoot) execFileSync('chown', [serverUser, path.join(this.dataDir, 'recovery.signal')]);
        await this.start();
        await this.ready();
    }

    /** Loses this server, and goes on, at the same address, as a copy that lags behind it: what is committed
     *  `meanwhile` is gone. */
    async failOver(meanwhile: () => Promise<unknown>) {
        const copy = await this.backup();
        try {
            await meanwhile();
            await this.stop('immediate');
            fs.rmSync(this.dataDir, { recursive: true });
            fs.renameSync(copy.dataDir, this.dataDir);
        } finally {
            fs.rmSync(copy.dir, { recursive: true, force: true });
        }
        this.configure({ unix_socket_directories: this.dir, 'rtd.port': this.rtdPort });
        await this.startRecovered();
    }

    get dataDir() {
        return path.join(this.dir, 'data');
    }

    get logFile() {
        return path.join(this.dir, 'server.log');
    }

    get postmasterPid(): number {
        if (!this.postmaster?.pid) throw new Error('the server is not running');
        return this.postmaster.pid;
    }

    get httpUrl() {
        return `http://127.0.0.1:${this.rtdPort}`;
    }

    /** The WebSocket address of a topic instance; the parts are escaped here. */
    url(topic: string, ...params: string[]) {
        const parts = [topic, ...params].map(encodeURIComponent).join('/');
        return `ws://127.0.0.1:${this.rtdPort}/ws/${parts}`;
    }

    /** Appends settings; they hold after the next start or reload. null leaves one out. */
    configure(settings: Record<string, string | number | null>) {
        const lines = Object.entries(settings)
            .filter(([, value]) => value !== null)
            .map(([name, value]) => `${name} = '${String(value).replace(/'/g, "''")}'\n`);
        fs.appendFileSync(path.join(this.dataDir, 'postgresql.conf'), lines.join(''));
    }

    async reload(settings: Record<string, string | number | null>) {
        this.configure(settings);
        await this.sql('SELECT pg_reload_conf()');
    }

    async start() {
        const log = fs.openSync(this.logFile, 'a');
        const [command, args] = asServer(path.join(this.programs, 'postgres'), ['-D', this.dataDir]);
        const child = spawn(command, args, { stdio: ['ignore', log, log], cwd: '/' });
        fs.closeSync(log);
        this.postmaster = child;
        const accepting = async () => {
            if (child.exitCode !== null) throw new Error(`the server exited with status ${child.exitCode}`);
            try {
                const connection = await this.connect({ database: 'postgres' });
                await this.release(connection);
                return true;
            } catch {
                return false;
            }
        };
        await waitFor('the server to accept connections', accepting, { deadlineMs: 30_000 });
    }

    /** Creates the served database with the extension and the role of anonymous clients. */
    async install() {
        const admin = await this.connect({ database: 'postgres' });
        const exists = await admin.query('SELECT FROM pg_database WHERE datname = $1', [this.database]);
        if (exists.rowCount === 0) await admin.query(`CREATE DATABASE ${admin.escapeIdentifier(this.database)}`);
        await admin.query('CREATE ROLE web_anon NOLOGIN');
        await this.release(admin);
        await this.sql('CREATE EXTENSION rtd');
        await this.ready();
    }

    /** Waits until an event travels through queue, hub and gateway. */
    async ready(deadlineMs = 20_000) {
        const served = async () => {
            try {
                const response = await fetch(`${this.httpUrl}/readyz`);
                await response.text();
                return response.status === 200;
            } catch {
                return false;
            }
        };
        await waitFor('/readyz to answer 200', served, { deadlineMs });
    }

    async stop(mode: StopMode = 'fast', deadlineMs = 20_000) {
        const child = this.postmaster;
        if (!child || child.exitCode !== null || child.signalCode !== null) return;
        const exited = new Promise<void>((resolve) => child.once('exit', () => resolve()));
        child.kill(stopSignals[mode]);
        await within(`the server to stop (${mode})`, exited, deadlineMs);
        this.postmaster = undefined;
        this.shared = undefined;
        for (const connection of this.connections) connection.end().catch(() => {});
        this.connections.clear();
    }

    async restart(mode: StopMode = 'fast') {
        await this.closeConnections();
        await this.stop(mode);
        await this.start();
    }

    async destroy() {
        await this.closeConnections();
        try {
            await this.stop('fast');
        } catch {
            await this.stop('kill');
        }
        if (process.env.RTD_KEEP) console.log(`kept ${this.dir}`);
        else fs.rmSync(this.dir, { recursive: true, force: true });
    }

    /** A connection of its own: its own session, transaction and role. */
    async connect(config: ClientConfig = {}): Promise<Connection> {
        const connection = new Connection({
            host: this.dir,
            port: 5432,
            user: 'postgres',
            database: this.database,
            ...config,
        });
        connection.on('error', () => {}); // a server that was killed ends connections
        await connection.connect();
        this.connections.add(connection);
        return connection;
    }

    async release(connection: Connection) {
        this.connections.delete(connection);
        await connection.end();
    }

    async closeConnections() {
        this.shared = undefined;
        const all = [...this.connections];
        this.connections.clear();
        await Promise.all(all.map((connection) => connection.end().catch(() => {})));
    }

    /** Runs SQL in a shared session of the superuser. */
    async query<Row extends QueryResultRow = any>(text: string, values?: unknown[]): Promise<QueryResult<Row>> {
        this.shared ??= this.connect();
        const shared = this.shared;
        const result = this.queue.then(async () => (await shared).query<Row>(text, values));
        this.queue = result.catch(() => {});
        return result;
    }

    /** The rows of the last statement. */
    async sql<Row extends QueryResultRow = any>(text: string, values?: unknown[]): Promise<Row[]> {
        const result = await this.query<Row>(text, values);
        return (Array.isArray(result) ? result[result.length - 1] : result).rows;
    }

    /** The first column of the first row. */
    async value<T = any>(text: string, values?: unknown[]): Promise<T> {
        const [row] = await this.sql(text, values);
        return row && (Object.values(row)[0] as T);
    }

    log(): string {
        return fs.readFileSync(this.logFile, 'utf8');
    }

    /** Where the log ends now: pass it to logSince or waitForLog to look only at what is new. */
    logPosition(): number {
        return fs.statSync(this.logFile).size;
    }

    logSince(position: number): string {
        return fs.readFileSync(this.logFile).subarray(position).toString('utf8');
    }

    async waitForLog(pattern: RegExp, since = 0, deadlineMs = 10_000): Promise<RegExpMatchArray> {
        return waitFor(`${pattern} in the server log`, () => this.logSince(since).match(pattern), { deadlineMs });
    }

    /** Pids of the server's processes of a kind: 'rtd hub', 'rtd query'. */
    async pids(backendType: string): Promise<number[]> {
        const rows = await this.sql<{ pid: number }>(
            'SELECT pid FROM pg_stat_activity WHERE backend_type = $1 ORDER BY pid',
            [backendType],
        );
        return rows.map((row) => row.pid);
    }

    async hubPid(): Promise<number> {
        return waitFor('the hub', async () => (await this.pids('rtd hub'))[0]);
    }

    /** The gateway: the process that is a child of the hub. */
    async gatewayPid(): Promise<number> {
        return waitFor('the gateway', async () => childrenOf(await this.hubPid())[0]);
    }
}

interface ProcessStat {
    state: string;
    parent: number;
    /** User and system time, in milliseconds; finer than clock ticks where the kernel says so. */
    cpuMs: number;
}

/** undefined once the process is gone. A zombie is gone. */
export function processStat(pid: number): ProcessStat | undefined {
    try {
        const stat = fs.readFileSync(`/proc/${pid}/stat`, 'utf8');
        // The command, in parentheses, may hold anything.
        const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
        if (fields[0] === 'Z') return undefined;
        let cpuMs = (Number(fields[11]) + Number(fields[12])) * 10; // USER_HZ is 100 on Linux
        try {
            // Per thread, in nanoseconds.
            cpuMs = fs
                .readdirSync(`/proc/${pid}/task`)
                .map((task) => fs.readFileSync(`/proc/${pid}/task/${task}/schedstat`, 'utf8'))
                .reduce((sum, line) => sum + Number(line.split(' ')[0]) / 1e6, 0);
        } catch {
            // No schedstat in this kernel: ticks have to do.
        }
        return { state: fields[0], parent: Number(fields[1]), cpuMs };
    } catch {
        return undefined;
    }
}

export function childrenOf(parent: number): number[] {
    return fs
        .readdirSync('/proc')
        .filter((name) => /^\d+$/.test(name))
        .map(Number)
        .filter((pid) => processStat(pid)?.parent === parent);
}

export const isAlive = (pid: number) => processStat(pid) !== undefined;
