// Concurrent writers and clients of a keyed topic, and the question again and again: do the rows of
// every client equal a fresh query?
//
// The topic shows orders of a joined table, filtered, with the sum of their lines: rows enter and
// leave, keys change, lines move from one order to another, tables are truncated, customers (which
// concern any order) are renamed, savepoints are rolled back, and the gateway is killed. Clients
// leave and come back, with and without the id of the last message they have.
//
// Every transaction also moves money: the balances of one account are raised by what those of others
// are lowered, so the sum over a snapshot of the database is always the same. A second topic shows
// the accounts. A client that ever has another sum than that has seen half a transaction.

import { Cluster, isAlive } from './cluster';
import { createTopic } from './harness';
import { KeyedRows, Row } from './keyed_client';
import { Random } from './random';
import { Envelope, Subscriber } from './subscriber';
import { pause, waitFor } from './wait';

const orders = 60;
const lines = 200;
const customers = 5;
const accounts = 40;
const balance = 1000;

export interface KeyedFigures {
    seed: number;
    seconds: number;
    commits: number;
    rollbacks: number;
    deltas: number;
    snapshots: number;
    reconnects: number;
    recovered: number;
    gatewayKills: number;
    /** How often all clients were compared with a fresh query. */
    comparisons: number;
    /** From the end of writing until every client had the rows; the longest. */
    slowestCurrentMs: number;
    /** Messages after which the accounts did not add up. */
    torn: number;
    /** Transactions of a single writer that came as another number of messages than one. */
    split: number;
}

/** Pauses of writers and clients: not for a condition, but for a load of a certain shape. */

async function prepare(cluster: Cluster) {
    await cluster.sql(`
        CREATE TABLE customer (id int PRIMARY KEY, name text NOT NULL);
        CREATE TABLE purchase (region int, id int, customer_id int NOT NULL REFERENCES customer, state text NOT NULL, n int NOT NULL DEFAULT 0, PRIMARY KEY (region, id));
        CREATE TABLE line (id int PRIMARY KEY, region int, purchase_id int, price numeric(10,2) NOT NULL);
        CREATE INDEX ON line (region, purchase_id);
        CREATE TABLE account (id int PRIMARY KEY, balance int NOT NULL);
        INSERT INTO customer SELECT id, 'customer ' || id FROM generate_series(1, ${customers}) id;
        INSERT INTO purchase SELECT id % 3, id, 1 + id % ${customers}, CASE WHEN id % 2 = 0 THEN 'open' ELSE 'closed' END FROM generate_series(1, ${orders}) id;
        INSERT INTO account SELECT id, ${balance} FROM generate_series(1, ${accounts}) id;
        CREATE VIEW shown AS
            SELECT p.region, p.id, p.n, c.name, (SELECT sum(l.price) FROM line l WHERE l.region = p.region AND l.purchase_id = p.id)::text AS total
              FROM purchase p JOIN customer c ON c.id = p.customer_id WHERE p.state = 'open'`);
    await createTopic(cluster, 'shown', `query => 'SELECT * FROM shown', key => '{region,id}'`);
    await createTopic(cluster, 'account', `query => 'SELECT * FROM account', key => '{id}'`);
    await cluster.sql(`SELECT rtd_watch_table('purchase', 'shown'), rtd_watch_table('line', 'shown'), rtd_watch_table('customer', 'shown'), rtd_watch_table('account')`);
}

/** A client that comes back whenever its connection ends. */
class Follower {
    readonly rows: KeyedRows;
    reconnects = -1;
    recovered = 0;
    torn: string[] = [];
    broken?: Error;
    private last?: string;
    private current?: Subscriber;
    private ended = false;
    private readonly done: Promise<void>;

    constructor(
        private readonly cluster: Cluster,
        readonly topic: string,
        key: string[],
        private readonly random: Random,
        private readonly check?: (rows: KeyedRows) => string | undefined,
    ) {
        this.rows = new KeyedRows(key);
        this.done = this.follow();
    }

    private async follow() {
        while (!this.ended && !this.broken) {
            const resumes = this.last !== undefined && this.random.next() < 0.7;
            const query = resumes ? `?since=${this.last}` : '';
            let first = true;
            try {
                this.current = await Subscriber.open(this.cluster.url(this.topic) + query, {}, (message) => {
                    if (first && resumes && message.kind === 'delta') this.recovered++;
                    if (first && !resumes && message.kind !== 'snapshot') throw new Error(`the first message is ${message.kind}`);
                    first = false;
                    this.take(message);
                });
                this.reconnects++;
                await this.current.closed;
            } catch {
                await pause(20);
            }
        }
    }

    private take(message: Envelope) {
        try {
            this.rows.take(message);
            this.last = message.id;
            const mistake = this.check?.(this.rows);
            if (mistake) this.torn.push(`${message.id}: ${mistake}`);
        } catch (error) {
            this.broken ??= error as Error;
            this.current?.socket.terminate();
        }
    }

    difference(rows: Row[]) {
        if (this.broken) throw this.broken;
        return this.rows.difference(rows);
    }

    /** Hangs up, and comes back. */
    leave() {
        this.current?.socket.terminate();
    }

    async close() {
        this.ended = true;
        this.leave();
        await this.done;
    }
}

/** The transactions of the load. All money goes from accounts to accounts, in the order of their ids. */
function transaction(random: Random): string {
    const region = () => random.between(0, 2);
    const id = () => random.between(1, orders);
    const line = () => random.between(1, lines);
    const where = () => `region = ${region()} AND id = ${id()}`;
    const state = () => `'${random.pick(['open', 'open', 'closed'])}'`;
    const change = (): string =>
        random.pick([
            () => `UPDATE purchase SET n = n + 1 WHERE id = ${id()}`,
            () => `UPDATE purchase SET n = n + 1 WHERE id = ${id()}`,
            () => `UPDATE purchase SET state = ${state()} WHERE id = ${id()}`,
            () => `UPDATE purchase SET state = ${state()} WHERE ${where()}`,
            () => `UPDATE purchase SET customer_id = ${random.between(1, customers)} WHERE ${where()}`,
            () => `DELETE FROM purchase WHERE ${where()}`,
            () => `INSERT INTO purchase VALUES (${region()}, ${id()}, ${random.between(1, customers)}, ${state()}) ON CONFLICT DO NOTHING`,
            () => `INSERT INTO purchase VALUES (${region()}, ${id()}, ${random.between(1, customers)}, ${state()}) ON CONFLICT (region, id) DO UPDATE SET n = 0`,
            // a key change, where the new key is free
            () => `UPDATE purchase p SET region = (p.region + 1) % 3 WHERE ${where()} AND NOT EXISTS (SELECT FROM purchase o WHERE o.id = p.id AND o.region = (p.region + 1) % 3)`,
            () => `INSERT INTO line VALUES (${line()}, ${region()}, ${id()}, ${random.between(1, 99)}) ON CONFLICT (id) DO UPDATE SET price = excluded.price`,
            () => `UPDATE line SET region = ${region()}, purchase_id = ${id()} WHERE id = ${line()}`,
            () => `UPDATE line SET purchase_id = NULL WHERE id = ${line()}`,
            () => `DELETE FROM line WHERE id = ${line()}`,
        ])();
    const transfer = (): string => {
        const [from, to] = [random.between(1, accounts), random.between(1, accounts)].sort((a, b) => a - b);
        if (from === to) return change();
        const amount = random.between(-50, 50);
        return `UPDATE account SET balance = balance - ${amount} WHERE id = ${from}; UPDATE account SET balance = balance + ${amount} WHERE id = ${to}`;
    };
    const several = () => Array.from({ length: random.between(1, 4) }, change).join('; ');
    const rare = random.next();
    if (rare < 0.002) return 'TRUNCATE line';
    if (rare < 0.003) return 'BEGIN; TRUNCATE purchase; INSERT INTO purchase SELECT id % 3, id, 1, \'open\' FROM generate_series(1, 30) id; COMMIT';
    if (rare < 0.01) return `UPDATE customer SET name = 'customer ' || ${random.between(1, 1000)} WHERE id = ${random.between(1, customers)}`;
    if (rare < 0.015) return 'UPDATE purchase SET n = n + 1';
    return random.pick([
        () => change(),
        () => transfer(),
        () => `BEGIN; ${transfer()}; COMMIT`,
        () => `BEGIN; ${several()}; COMMIT`,
        () => `BEGIN; ${several()}; ${transfer()}; COMMIT`,
        () => `BEGIN; SET LOCAL synchronous_commit = off; ${transfer()}; COMMIT`,
        () => `BEGIN; ${several()}; SAVEPOINT s; ${several()}; UPDATE account SET balance = balance + 1 WHERE id = ${random.between(1, accounts)}; ROLLBACK TO s; ${change()}; COMMIT`,
        () => `BEGIN; ${several()}; SAVEPOINT s; ${several()}; RELEASE s; COMMIT`,
        () => `BEGIN; ${several()}; ${transfer()}; ROLLBACK`,
    ])();
}

class Writer {
    commits = 0;
    rollbacks = 0;
    private running = false;
    private stopped: Promise<void> = Promise.resolve();

    constructor(
        private readonly cluster: Cluster,
        private readonly random: Random,
        private readonly pauseMs: number,
    ) {}

    start() {
        this.running = true;
        this.stopped = this.write();
    }

    private async write() {
        const session = await this.cluster.connect({ application_name: 'writer' });
        while (this.running) {
            try {
                const text = transaction(this.random);
                await session.query(text);
                if (text.endsWith('ROLLBACK')) this.rollbacks++;
                else this.commits++;
            } catch (error: any) {
                // Deadlocks and collisions of keys are part of the load, and roll back.
                if (!['40P01', '23505', '40001'].includes(error.code)) throw error;
                this.rollbacks++;
                await session.query('ROLLBACK');
            }
            if (this.pauseMs > 0) await pause(this.random.next() * this.pauseMs);
        }
        await this.cluster.release(session);
    }

    stop() {
        this.running = false;
        return this.stopped;
    }
}

/** Throws at the first client that does not get the rows of the query. */
export async function runKeyed(
    cluster: Cluster,
    options: { seconds: number; writers: number; clients: number; seed: number; pauseMs?: number },
    say: (line: string) => void,
): Promise<KeyedFigures> {
    const random = new Random(options.seed);
    const seedOf = () => new Random(random.between(0, 2 ** 31));
    await prepare(cluster);
    const total = accounts * balance;
    const addsUp = (rows: KeyedRows) => {
        const sum = [...rows.rows.values()].reduce((all, row) => all + (row.balance as number), 0);
        return sum === total && rows.rows.size === accounts ? undefined : `${rows.rows.size} accounts have ${sum}, not ${total}`;
    };
    const followers = Array.from({ length: options.clients }, (_, n) =>
        n % 2 === 0
            ? new Follower(cluster, 'shown', ['region', 'id'], seedOf())
            : new Follower(cluster, 'account', ['id'], seedOf(), addsUp),
    );
    const writers = Array.from({ length: options.writers }, () => new Writer(cluster, seedOf(), options.pauseMs ?? 0));
    const figures: KeyedFigures = {
        ...{ seed: options.seed, seconds: 0, commits: 0, rollbacks: 0, deltas: 0, snapshots: 0, reconnects: 0, recovered: 0 },
        ...{ gatewayKills: 0, comparisons: 0, slowestCurrentMs: 0, torn: 0, split: 0 },
    };
    const begin = Date.now();
    try {
        for (let round = 1; Date.now() - begin < options.seconds * 1000; round++) {
            for (const writer of writers) writer.start();
            const commitsBefore = writers.reduce((sum, writer) => sum + writer.commits, 0);
            const roundEnd = Date.now() + random.between(200, 3000);
            while (Date.now() < roundEnd) {
                await pause(random.between(10, 100));
                random.pick(followers).leave();
                if (random.next() < 0.01) figures.gatewayKills += await killGateway(cluster);
            }
            if (round % 5 === 2) figures.gatewayKills += await killGateway(cluster);
            await Promise.all(writers.map((writer) => writer.stop()));
            const currentMs = await becomeCurrent(cluster, followers);
            figures.comparisons++;
            figures.slowestCurrentMs = Math.max(figures.slowestCurrentMs, currentMs);
            const commits = writers.reduce((sum, writer) => sum + writer.commits, 0) - commitsBefore;
            say(`${round}: ${commits} commits, every client has the rows of the query ${currentMs} ms after the last`);
            figures.split += await countSplit(cluster, random);
        }
    } finally {
        await Promise.all(writers.map((writer) => writer.stop().catch(() => {})));
        await Promise.all(followers.map((follower) => follower.close()));
    }
    const examples = followers.flatMap((follower) => follower.torn);
    for (const example of examples.slice(0, 5)) say(`torn: ${example}`);
    const sum = (pick: (follower: Follower) => number) => followers.reduce((all, follower) => all + pick(follower), 0);
    return {
        ...figures,
        seconds: (Date.now() - begin) / 1000,
        commits: writers.reduce((all, writer) => all + writer.commits, 0),
        rollbacks: writers.reduce((all, writer) => all + writer.rollbacks, 0),
        deltas: sum(({ rows }) => rows.deltas),
        snapshots: sum(({ rows }) => rows.snapshots),
        reconnects: sum(({ reconnects }) => reconnects),
        recovered: sum(({ recovered }) => recovered),
        torn: examples.length,
    };
}

async function killGateway(cluster: Cluster): Promise<number> {
    const pid = await cluster.gatewayPid();
    process.kill(pid, 'SIGKILL');
    await waitFor('its end', () => !isAlive(pid));
    return 1;
}

/** Waits until every client has what a query gives now; milliseconds. Nobody writes meanwhile. */
async function becomeCurrent(cluster: Cluster, followers: Follower[]): Promise<number> {
    const start = Date.now();
    const expected: Record<string, Row[]> = {
        shown: await cluster.sql('SELECT * FROM shown'),
        account: await cluster.sql('SELECT * FROM account'),
    };
    const stale = () => followers.filter((follower) => follower.difference(expected[follower.topic]) !== undefined);
    await waitFor('every client to be current', () => stale().length === 0, { deadlineMs: 30_000 }).catch((error) => {
        const differences = stale().map((follower) => `${follower.topic} ${follower.difference(expected[follower.topic])}`);
        throw new Error([error.message, ...differences].join('\n'));
    });
    return Date.now() - start;
}

/** Transactions one after the other, each of several rows: how many were not exactly one message. */
async function countSplit(cluster: Cluster, random: Random): Promise<number> {
    const client = await Subscriber.open(cluster.url('account'));
    await client.next(({ kind }) => kind === 'snapshot');
    let split = 0;
    for (let n = 0; n < 5; n++) {
        const first = random.between(1, accounts - 1);
        await cluster.sql(`BEGIN; UPDATE account SET balance = balance + 1 WHERE id = ${first};
            UPDATE account SET balance = balance - 1 WHERE id = ${first + 1}; COMMIT`);
        const { data } = await client.next();
        if (data.upsert.length !== 2 || data.remove.length !== 0 || client.unread > 0) split++;
    }
    await client.close();
    return split;
}
