// The load generator (load.cpp) as the benchmark sees it: a process that is told what to do a line at a
// time, and answers in JSON.

import { ChildProcess } from 'node:child_process';
import * as path from 'node:path';
import * as readline from 'node:readline';
import { root } from '../../test/lib/cluster';
import { within } from '../../test/lib/wait';
import { System, endProcess, startProcess } from './systems';

export interface LoadOptions {
    clients: number;
    neverRead?: number;
    /** Connections that have not had their first message yet, at most. */
    underWay?: number;
}

/** Times in milliseconds. */
export interface Ready {
    ready: number;
    seconds: number;
    perSecond: number;
    p50: number;
    p99: number;
}

export interface Result {
    deliveries: number;
    /** From the first counted message's time to the last one at the last client. */
    seconds: number;
    messageBytes: number;
    p50: number;
    p99: number;
    p999: number;
    max: number;
    missing: number;
    repeated: number;
    /** Reading clients whose connection the server ended. */
    lost: number;
    /** Connections that the server ended, and those that never read, by close code; 0: without one, -1: by a reset. */
    ends: Record<string, number>;
}

const program = path.join(root, 'build/bench/fanout-load');
const connectDeadlineMs = 120_000;

export class Load {
    private readonly answers: ((answer: any) => void)[] = [];
    private readonly ended: Promise<never>;

    private constructor(private readonly child: ChildProcess) {
        readline.createInterface(child.stdout!).on('line', (line) => this.answers.shift()?.(JSON.parse(line)));
        this.ended = new Promise((_, reject) =>
            child.once('exit', (status) => reject(new Error(`the load generator ended with status ${status}`))),
        );
        this.ended.catch(() => {}); // it may end when nobody waits for an answer
    }

    /** Resolves when each client has its first message. */
    static async start(system: System, { clients, neverRead = 0, underWay = 128 }: LoadOptions): Promise<[Load, Ready]> {
        const options = { port: system.port(), path: system.path, clients, 'never-read': neverRead, 'under-way': underWay };
        const args = Object.entries(options).flatMap(([name, value]) => [`--${name}`, String(value)]);
        const load = new Load(startProcess([program, ...args], 'pipe'));
        try {
            return [load, await load.answer(`${clients} clients of ${system.name}`, connectDeadlineMs)];
        } catch (error) {
            await load.kill();
            throw error;
        }
    }

    get pid() {
        return this.child.pid!;
    }

    /** Resolves once every reading client has that message. */
    async delivered(number: number, deadlineMs: number) {
        this.tell(`await ${number}`);
        await this.answer(`message ${number} at every client`, deadlineMs);
    }

    measureFrom(number: number) {
        this.tell(`measure ${number}`);
    }

    async stop(): Promise<Result> {
        this.tell('stop');
        return this.answer('the load generator', 60_000);
    }

    async kill() {
        await endProcess(this.child);
    }

    private tell(line: string) {
        this.child.stdin!.write(`${line}\n`);
    }

    private answer(what: string, deadlineMs: number): Promise<any> {
        const answer = new Promise((resolve) => this.answers.push(resolve));
        return within(what, Promise.race([answer, this.ended]), deadlineMs);
    }
}
