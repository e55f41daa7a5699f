// Measured is RssAnon: memory of a process's own, without the shared buffers and the event queue that it
// has touched.

import { ChildProcess, fork } from 'node:child_process';
import * as path from 'node:path';
import { Cluster, isAlive } from '../lib/cluster';
import { privateKilobytes } from '../lib/flood';
import { allGateways } from '../lib/gateways';
import { createTopic } from '../lib/harness';
import { Multiplexed } from '../lib/multiplexed';
import { numberOptions } from '../lib/options';
import { newSeed } from '../lib/random';
import { pause, waitFor, within } from '../lib/wait';
import type { Figures, Orders } from './flooder';

const instanceMegabytes = 64;
const hubMegabytes = 64 + instanceMegabytes;
const keptMegabytes = 24;
const clientKilobytes = 64; // rtd.client_buffer
const problems: string[] = [];

async function prepare(cluster: Cluster) {
    await createTopic(cluster, 'room', `parameters => '{name}'`);
    await createTopic(cluster, 'chat', 'history => 1000');
    await createTopic(cluster, 'echo', `parameters => '{name}', query => 'SELECT repeat($1, 20) AS text'`);
    await createTopic(cluster, 'rows', `parameters => '{name}', query => 'SELECT n AS id, $1 || n AS text FROM generate_series(1, 20) n', key => '{id}'`);
    await createTopic(cluster, 'quiet', 'retain => false');
    await cluster.sql(`SELECT rtd_grant('chat', 'web_anon', 'publish'), rtd_grant('quiet', 'web_anon', 'publish')`);
}

/** Memory of processes over time, in MB. */
class Memory {
    readonly before = new Map<string, number>();
    readonly peak = new Map<string, number>();
    private readonly timer = setInterval(() => this.look(), 100);

    constructor(private readonly pids: Map<string, number>) {
        for (const name of pids.keys()) this.before.set(name, this.now(name));
        this.look();
    }

    now(name: string) {
        try {
            return privateKilobytes(this.pids.get(name)!) / 1024;
        } catch {
            return NaN; // it has ended, which is looked for at the end
        }
    }

    look() {
        for (const name of this.pids.keys()) this.peak.set(name, Math.max(this.peak.get(name) ?? 0, this.now(name) || 0));
    }

    grew(name: string) {
        return this.peak.get(name)! - this.before.get(name)!;
    }

    kept(name: string) {
        return this.now(name) - this.before.get(name)!;
    }

    line() {
        return [...this.pids.keys()].map((name) => `${name} ${this.now(name).toFixed(0)}`).join(', ');
    }

    stop() {
        clearInterval(this.timer);
    }
}

class Delays {
    readonly all: number[] = [];
    constructor(readonly what: string) {}
    get worst() {
        return Math.max(0, ...this.all);
    }
    line() {
        const sorted = [...this.all].sort((a, b) => a - b);
        const at = (share: number) => sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? NaN;
        return `${this.what}: ${sorted.length} times, half of them within ${at(0.5)} ms, 99 % within ${at(0.99)} ms, all within ${this.worst} ms`;
    }
}

/** A client that follows a quiet topic all the while, and one after another that come, ask and go. */
class QuietClients {
    readonly messages = new Delays('a message of the quiet topic');
    readonly requests = new Delays('to connect, subscribe and publish');
    private readonly sent = new Map<number, number>();
    private running = true;
    private parts: Promise<void>[] = [];

    constructor(private readonly cluster: Cluster, private readonly delayMs: number) {}

    async start() {
        const follower = await Multiplexed.open(this.cluster);
        await follower.subscribe('quiet');
        let next = 0;
        const seen = (message: any) => {
            if (message.topic !== 'quiet' || message.data?.n === undefined) return;
            if (message.data.n !== next) problems.push(`the quiet client got message ${message.data.n} after ${next - 1}`);
            next = message.data.n + 1;
            this.messages.all.push(Date.now() - this.sent.get(message.data.n)!);
        };
        follower.socket.on('message', (data) => seen(JSON.parse(data.toString())));
        follower.socket.on('close', (code) => this.running && problems.push(`the quiet client was closed with ${code}`));
        this.parts = [this.speak(), this.comeAndGo()];
        return async () => {
            this.running = false;
            await Promise.all(this.parts);
            await waitFor('the last message', () => next === this.sent.size, { deadlineMs: this.delayMs }).catch((error) => problems.push(String(error)));
            follower.socket.close();
        };
    }

    private async speak() {
        const session = await this.cluster.connect();
        for (let n = 0; this.running; n++) {
            this.sent.set(n, Date.now());
            await session.query(`SELECT rtd_broadcast('quiet', jsonb_build_object('n', $1::int))`, [n]);
            await pause(200);
        }
    }

    private async comeAndGo() {
        while (this.running) {
            const begin = Date.now();
            try {
                const client = await within('a connection', Multiplexed.open(this.cluster), this.delayMs);
                const answered = async (request: object, type: string) => {
                    client.send({ ...request, ref: type });
                    const deadlineMs = Math.max(1, this.delayMs - (Date.now() - begin));
                    const answer = await waitFor(`the answer to ${JSON.stringify(request)}`, () => client.messages.find(({ data }) => data?.ref === type), { deadlineMs, everyMs: 5 });
                    if (answer.type !== type) problems.push(`a quiet client was answered ${answer.text}`);
                };
                await answered({ action: 'subscribe', topic: 'quiet' }, 'rtd_subscribed');
                await answered({ action: 'publish', topic: 'quiet', data: {} }, 'rtd_published');
                this.requests.all.push(Date.now() - begin);
                client.socket.terminate();
            } catch (error) {
                problems.push(`a quiet client: ${(error as Error).message}`);
            }
            await pause(500);
        }
    }
}

class Flood {
    private readonly children: ChildProcess[] = [];
    private readonly figures: Figures[] = [];

    start(orders: Omit<Orders, 'address' | 'seed'>, processes: number, seed: number) {
        for (let n = 0; n < processes; n++) {
            const own: Orders = { ...orders, address: `127.0.0.${2 + n}`, seed: seed + n };
            const child = fork(path.join(__dirname, 'flooder.js'), [JSON.stringify(own)]);
            child.on('message', (figures: Figures) => (this.figures[n] = figures));
            child.on('exit', (status) => status !== 0 && problems.push(`a process of clients exited with ${status}`));
            this.children.push(child);
        }
    }

    sum(of: (figures: Figures) => number) {
        return this.figures.filter(Boolean).reduce((sum, figures) => sum + of(figures), 0);
    }

    line() {
        const megabytes = (of: (figures: Figures) => number) => `${(this.sum(of) / 1e6).toFixed(0)} MB`;
        return `${this.sum(({ connected }) => connected)} connections of ${this.sum(({ opened }) => opened)}, ${megabytes(({ sent }) => sent)} sent, ${megabytes(({ received }) => received)} received`;
    }

    rounds() {
        const names = new Set(this.figures.filter(Boolean).flatMap(({ rounds }) => Object.keys(rounds)));
        return [...names].map((name) => `${name} ${this.sum(({ rounds }) => rounds[name] ?? 0)}`).join(', ');
    }

    async stop() {
        const ended = this.children.map((child) => new Promise((resolve) => (child.exitCode !== null ? resolve(0) : child.on('exit', resolve))));
        for (const child of this.children) if (child.connected) child.send('stop');
        await within('the clients to leave', Promise.all(ended), 120_000).finally(() => this.children.forEach((child) => child.kill('SIGKILL')));
    }
}

/** Messages of the topics that the flood subscribes to: they wait for those who do not read. */
async function write(cluster: Cluster, isOver: () => boolean) {
    const session = await cluster.connect();
    while (!isOver()) {
        await session.query(`SELECT rtd_broadcast('chat', to_jsonb(repeat('y', 5000)))`);
        await session.query(`SELECT rtd_refresh('echo'), rtd_refresh('rows')`);
        await pause(500);
    }
    await cluster.release(session);
}

async function main() {
    const { clients, seconds, gateways, processes, delay, seed } = numberOptions({ clients: 10_000, seconds: 120, gateways: 2, processes: 8, delay: 10_000, seed: newSeed() });
    console.log(`seed ${seed}`);
    const cluster = await Cluster.create({
        settings: {
            'rtd.gateways': gateways,
            'rtd.max_clients': 4 * clients,
            'rtd.connection_rate': 0,
            'rtd.client_message_rate': 0, // the bounds must hold without it
            'rtd.instance_memory': `${instanceMegabytes}MB`,
            'rtd.client_buffer': `${clientKilobytes}kB`,
            'rtd.linger': '2s',
        },
    });
    try {
        await prepare(cluster);
        const gatewayMegabytes = 64 + (((clients + processes) / gateways) * 1.2 * clientKilobytes) / 1024; // the kernel spreads them about evenly
        const pids = new Map([['hub', await cluster.hubPid()]]);
        (await allGateways(cluster, gateways)).forEach((pid, n) => pids.set(`gateway ${n + 1}`, pid));
        (await cluster.pids('rtd query')).forEach((pid, n) => pids.set(`worker ${n + 1}`, pid));
        const quiet = new QuietClients(cluster, delay);
        const memory = new Memory(pids);
        console.log(`before: ${memory.line()} MB`);
        const stopQuiet = await quiet.start();

        const flood = new Flood();
        const rampSeconds = Math.min(20, seconds / 4);
        flood.start({ port: cluster.rtdPort, clients: clients / processes, clientsPerSecond: clients / processes / rampSeconds }, processes, seed);
        const end = Date.now() + seconds * 1000;
        const writing = write(cluster, () => Date.now() > end);
        let most = 0;
        while (Date.now() < end) {
            await pause(5000);
            most = Math.max(most, flood.sum(({ connected }) => connected));
            console.log(`${memory.line()} MB; ${flood.line()}; worst ${quiet.messages.worst} and ${quiet.requests.worst} ms`);
        }
        await writing;
        await stopQuiet();
        await flood.stop();
        await waitFor('the hub to be idle again', async () => Number(await cluster.value(`SELECT rtd_broadcast('chat', '1')`)) === 0, { deadlineMs: 60_000 });
        const kept = () => [...pids.keys()].filter((name) => !(memory.kept(name) < keptMegabytes));
        await waitFor('memory to be given back', () => kept().length === 0, { deadlineMs: 60_000 }).catch((error) => problems.push(`${error.message}: by ${kept()}`));

        console.log(`after: ${memory.line()} MB`);
        console.log(`grew at most by: ${[...pids.keys()].map((name) => `${name} ${memory.grew(name).toFixed(0)}`).join(', ')} MB`);
        console.log(flood.rounds());
        for (const delays of [quiet.messages, quiet.requests]) {
            console.log(delays.line());
            if (delays.worst > delay) problems.push(`${delays.line()}, which should be ${delay} ms`);
        }
        memory.stop();
        if (most < clients * 0.95) problems.push(`only ${most} clients were connected at a time`);
        if (memory.grew('hub') > hubMegabytes) problems.push(`the hub grew by ${memory.grew('hub').toFixed(0)} MB, which should be ${hubMegabytes} at most`);
        for (const name of pids.keys())
            if (name.startsWith('gateway') && memory.grew(name) > gatewayMegabytes) problems.push(`${name} grew by ${memory.grew(name).toFixed(0)} MB, which should be ${gatewayMegabytes.toFixed(0)} at most`);
        for (const [name, pid] of pids) if (!isAlive(pid)) problems.push(`${name} ended`);
    } finally {
        if (problems.length > 0) console.log(cluster.log().split('\n').filter((line) => /WARNING|ERROR|FATAL|PANIC|connection failed/.test(line)).slice(-20).join('\n'));
        await cluster.destroy();
    }
    for (const problem of [...new Set(problems)].slice(0, 20)) console.log(`PROBLEM: ${problem}`);
    if (problems.length > 0) process.exitCode = 1;
    process.exit();
}

main().catch((error) => {
    console.error(error);
    process.exit(1);
});
