// Writers and clients that go on while processes die, and the question after each death: does every
// client that came back have what a query gives now?
//
// State topics: their clients must show the current state. Event topics: their clients keep a copy of
// the table (replica.ts), which must have the current rows. Nothing helps them to it but the events:
// rtd.resync_interval is far longer than a test.

import { isDeepStrictEqual } from 'node:util';
import { Cluster, isAlive } from './cluster';
import { gatewayPids } from './gateways';
import { createTopic } from './harness';
import { Random } from './random';
import { Replica } from './replica';
import { Subscriber } from './subscriber';
import { pause, waitFor } from './wait';

const stateTopics = 3;
const replicas = 2;
const writers = 6;
const rowsOfTable = 20;


/** A state topic's client that comes back, with the newest state it was sent. */
class StateClient {
    connects = 0;
    messages = 0;
    private state?: unknown;
    private ended = false;
    private current?: Subscriber;

    constructor(
        private readonly cluster: Cluster,
        readonly topic: string,
    ) {
        void this.follow();
    }

    private async follow() {
        while (!this.ended) {
            try {
                this.state = undefined; // what was shown before says nothing about now
                this.current = await Subscriber.open(this.cluster.url(this.topic), {}, ({ data }) => {
                    this.messages++;
                    this.state = data;
                });
                this.connects++;
                await this.current.closed;
            } catch {
                await pause(50);
            }
        }
    }

    shows(state: unknown) {
        return isDeepStrictEqual(this.state, state);
    }

    toString() {
        return `${this.topic} shows ${JSON.stringify(this.state)}`;
    }

    close() {
        this.ended = true;
        this.current?.socket.terminate();
    }
}

/** A session that writes one transaction after another, and connects again when it is thrown out. */
class Writer {
    commits = 0;
    failures = 0;
    private running: boolean;
    private stopped: Promise<void>;

    constructor(
        private readonly cluster: Cluster,
        private readonly random: Random,
    ) {
        this.running = true;
        this.stopped = this.write();
    }

    private async write() {
        while (this.running) {
            try {
                const session = await this.cluster.connect({ application_name: 'writer' });
                try {
                    while (this.running) {
                        await session.query(this.transaction());
                        this.commits++;
                    }
                } finally {
                    await this.cluster.release(session).catch(() => {});
                }
            } catch {
                this.failures++;
                await pause(20);
            }
        }
    }

    private transaction(): string {
        const id = this.random.between(1, rowsOfTable);
        const table = this.random.pick(['state_0', 'state_1', 'state_2', 'copied', 'copied']);
        const update = `UPDATE ${table} SET n = n + 1 WHERE id = ${id}`;
        return this.random.pick([
            update,
            `BEGIN; SET LOCAL synchronous_commit = off; ${update}; COMMIT`,
            `BEGIN; ${update}; SAVEPOINT s; UPDATE ${table} SET n = n + 1 WHERE id = ${id}; ROLLBACK TO s; COMMIT`,
            `BEGIN; ${update}; ROLLBACK`,
        ]);
    }

    stop() {
        this.running = false;
        return this.stopped;
    }
}

export type Kill = (cluster: Cluster, random: Random) => Promise<void>;

async function kill(pid: number | undefined, signal: NodeJS.Signals) {
    if (pid === undefined) return;
    process.kill(pid, signal);
    await waitFor('its end', () => !isAlive(pid));
}

/** A server that lost a process ends all sessions and starts anew: waits until it accepts again. */
async function afterCrash(cluster: Cluster, position: number) {
    await cluster.waitForLog(/all server processes terminated; reinitializing/, position, 30_000);
    await cluster.closeConnections();
    await waitFor(
        'the server to accept connections',
        () => cluster.connect().then((session) => cluster.release(session).then(() => true), () => false),
        { deadlineMs: 60_000 },
    );
}

const crash = (choose: (cluster: Cluster, random: Random) => Promise<number | undefined>): Kill => async (cluster, random) => {
    const pid = await choose(cluster, random);
    if (pid === undefined) return;
    const position = cluster.logPosition();
    await kill(pid, 'SIGKILL');
    await afterCrash(cluster, position);
};

/** A writer that commits at this moment, if there is one to be found, or any other that works. */
async function committingBackend(cluster: Cluster): Promise<number | undefined> {
    for (let attempt = 0; attempt < 20; attempt++) {
        const pid = await cluster.value<number>(`
            SELECT pid FROM pg_stat_activity WHERE application_name = 'writer' AND wait_event IN ('WALSync', 'WALWrite', 'CommitDelay')`);
        if (pid) return pid;
    }
    return cluster.value<number>(`
        SELECT pid FROM pg_stat_activity WHERE application_name = 'writer' ORDER BY state = 'active' DESC, random() LIMIT 1`);
}

const someGateway = async (cluster: Cluster, random: Random) => random.pick(await gatewayPids(cluster));

export const killKinds: Record<string, Kill> = {
    'gateway, kill -9': async (cluster, random) => kill(await someGateway(cluster, random), 'SIGKILL'),
    'gateway, SIGSEGV': async (cluster, random) => kill(await someGateway(cluster, random), 'SIGSEGV'),
    'hub, pg_terminate_backend': async (cluster) => kill(await cluster.hubPid(), 'SIGTERM'),
    'query worker, pg_terminate_backend': async (cluster, random) => kill(random.pick(await cluster.pids('rtd query')), 'SIGTERM'),
    'committing backend, kill -9': crash((cluster) => committingBackend(cluster)),
    'query worker, kill -9': crash(async (cluster, random) => random.pick(await cluster.pids('rtd query'))),
    'hub, kill -9': crash((cluster) => cluster.hubPid()),
    'immediate restart': (cluster) => cluster.restart('immediate'),
};

/** The names of the kills, hardest last. */
export const killNames = Object.keys(killKinds);

export interface KillFigures {
    kills: Record<string, number>;
    commits: number;
    writesFailed: number;
    messages: number;
    reconnects: number;
    gaps: number;
    /** From the kill until /readyz answers 200 again; of all kills of a kind the longest. */
    slowestReadyMs: Record<string, number>;
    /** From the end of writing until every client was current; the longest. */
    slowestCurrentMs: number;
}

/** Throws at the first client that does not become current. */
export async function runKills(
    cluster: Cluster,
    { kills, seed, names = killNames }: { kills: number; seed: number; names?: string[] },
    say: (line: string) => void,
): Promise<KillFigures> {
    const random = new Random(seed);
    await prepare(cluster);
    const states = Array.from({ length: stateTopics }, (_, n) => new StateClient(cluster, `state-${n}`));
    const copies: Replica[] = [];
    const figures: KillFigures = {
        ...{ kills: {}, commits: 0, writesFailed: 0, messages: 0, reconnects: 0, gaps: 0 },
        ...{ slowestReadyMs: {}, slowestCurrentMs: 0 },
    };
    try {
        for (let n = 0; n < replicas; n++) copies.push(await Replica.open(cluster, 'copied', 'copied'));
        for (let round = 1; round <= kills; round++) {
            const name = round <= names.length && kills >= names.length ? names[round - 1] : random.pick(names);
            const load = Array.from({ length: writers }, () => new Writer(cluster, new Random(random.between(0, 2 ** 31))));
            await waitFor('some commits', () => load.every((writer) => writer.commits > 2));
            await pause(random.between(0, 300)); // not for a condition: anywhere in the load

            say(`${round}: ${name}`);
            const start = Date.now();
            await killKinds[name](cluster, random);
            await cluster.ready(60_000);
            const readyMs = Date.now() - start;
            await waitFor('commits after it', () => load.every((writer) => writer.commits > 4), { deadlineMs: 60_000 });
            await Promise.all(load.map((writer) => writer.stop()));
            const currentMs = await becomeCurrent(cluster, states, copies);

            figures.kills[name] = (figures.kills[name] ?? 0) + 1;
            figures.slowestReadyMs[name] = Math.max(readyMs, figures.slowestReadyMs[name] ?? 0);
            figures.slowestCurrentMs = Math.max(currentMs, figures.slowestCurrentMs);
            for (const writer of load) {
                figures.commits += writer.commits;
                figures.writesFailed += writer.failures;
            }
            say(`    ready after ${readyMs} ms, all clients current ${currentMs} ms after the last write`);
        }
        figures.messages = [...states.map((client) => client.messages), ...copies.map((copy) => copy.events)].reduce((a, b) => a + b);
        figures.reconnects = [...states, ...copies].reduce((sum, client) => sum + client.connects - 1, 0);
        figures.gaps = copies.reduce((sum, copy) => sum + copy.gaps, 0);
        return figures;
    } finally {
        for (const client of states) client.close();
        await Promise.all(copies.map((copy) => copy.close()));
    }
}

async function prepare(cluster: Cluster) {
    for (let n = 0; n < stateTopics; n++) {
        await cluster.sql(`CREATE TABLE state_${n} (id int PRIMARY KEY, n int); INSERT INTO state_${n} SELECT id, 0 FROM generate_series(1, ${rowsOfTable}) id`);
        await createTopic(cluster, `state-${n}`, `query => 'SELECT id, n FROM state_${n} ORDER BY id'`);
        await cluster.sql(`SELECT rtd_watch_table('state_${n}')`);
    }
    await cluster.sql(`CREATE TABLE copied (id int PRIMARY KEY, n int); INSERT INTO copied SELECT id, 0 FROM generate_series(1, ${rowsOfTable}) id`);
    await createTopic(cluster, 'copied');
    await cluster.sql(`SELECT rtd_watch_table('copied', columns => '{id,n}')`);
}

/** Waits until every client has what a query gives now; milliseconds. Nobody writes meanwhile. */
async function becomeCurrent(cluster: Cluster, states: StateClient[], copies: Replica[]): Promise<number> {
    const start = Date.now();
    // A replica that came back knows that it is subscribed when something comes: the retained message,
    // or, if that died unwritten, this. State topics get no such help.
    await cluster.sql('UPDATE copied SET n = n + 1 WHERE id = 1');
    const rows = await cluster.sql('SELECT id, n FROM copied');
    const expected = await Promise.all(states.map(({ topic }) => cluster.sql(`SELECT id, n FROM ${topic.replace('-', '_')} ORDER BY id`)));
    const stale = () => [
        ...states.filter((client, index) => !client.shows(expected[index])).map((client) => `${client}`),
        ...copies.filter((copy) => !copy.equals(rows)).map((copy) => `the copy of a table: ${copy.difference(rows) || 'still reading'}`),
    ];
    await waitFor('every client to be current', () => stale().length === 0, { deadlineMs: 30_000 }).catch((error) => {
        const expectations = expected.map((state, n) => `state-${n} is ${JSON.stringify(state)}`);
        throw new Error([error.message, ...stale(), ...expectations].join('\n'));
    });
    return Date.now() - start;
}
