// Broadcasters, and clients that follow a durable topic, while processes die: in the end each client
// must have been sent every committed message of its instance, once, in the order of its numbers. When
// the server fails over to a copy that lags, those who saw what is gone, and no others, are told of a gap.
//
// Every message is also a row of a table, written by the same transaction: that is what was committed,
// whatever the session that committed it was told before it died.

import assert from 'node:assert/strict';
import { Cluster } from './cluster';
import { DurableFollower } from './durable_follower';
import { createTopic } from './harness';
import { pauseHubUntil } from './hub_pauses';
import { Kill, killKinds } from './kill_load';
import { Random } from './random';
import { pause, waitFor } from './wait';

const places = ['a', 'b', 'c'];
const followersOfEach = 3;
const broadcasters = 6;


/** A session that makes one transaction after another, and connects again when it is thrown out. */
class Broadcaster {
    /** Numbers of messages whose commit was confirmed and flushed: no crash may take them back. */
    readonly confirmed: string[] = [];
    failures = 0;
    private next = 0;
    private running = true;
    private stopped: Promise<void>;

    constructor(
        private readonly cluster: Cluster,
        private readonly name: string,
        private readonly random: Random,
    ) {
        this.stopped = this.work();
    }

    get commits() {
        return this.confirmed.length;
    }

    private async work() {
        while (this.running) {
            try {
                const session = await this.cluster.connect({ application_name: 'writer' });
                try {
                    while (this.running) {
                        const { sql, kept } = this.transaction();
                        await session.query(sql);
                        this.confirmed.push(...kept);
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

    /** One message: half of them by a trigger. */
    private message(): { sql: string; key: string } {
        const [place, key] = [this.random.pick(places), `${this.name}-${this.next++}`];
        const row = `INSERT INTO sent VALUES ('${key}', '${place}')`;
        const broadcast = `SELECT rtd_broadcast('events', jsonb_build_object('key', '${key}'), ARRAY['${place}'])`;
        const watched = `INSERT INTO watched VALUES ('${key}', '${place}')`;
        return { sql: `${row}; ${this.random.pick([broadcast, watched])}`, key };
    }

    private transaction(): { sql: string; kept: string[] } {
        const messages = Array.from({ length: this.random.pick([1, 1, 1, 2, 5, 30]) }, () => this.message());
        const sql = messages.map((message) => message.sql).join('; ');
        const kept = messages.map((message) => message.key);
        return this.random.pick([
            () => ({ sql: `BEGIN; ${sql}; COMMIT`, kept }),
            () => ({ sql: `BEGIN; SAVEPOINT s; ${this.message().sql}; ROLLBACK TO s; ${sql}; COMMIT`, kept }),
            () => ({ sql: `BEGIN; SAVEPOINT s; ${sql}; RELEASE s; COMMIT`, kept }),
            () => ({ sql: `BEGIN; ${sql}; ROLLBACK`, kept: [] }),
            // A crash may take it back, but then it was never sent.
            () => ({ sql: `BEGIN; SET LOCAL synchronous_commit = off; ${sql}; COMMIT`, kept: [] }),
        ])();
    }

    stop() {
        this.running = false;
        return this.stopped;
    }
}

const failover = 'failover';

const kinds: Record<string, Kill> = {
    ...killKinds,
    [failover]: (cluster, random) => cluster.failOver(() => pause(random.between(0, 500))),
    'full queue': (cluster, random) => pauseHubUntil(cluster, pause(4000), random, 2000),
};

export const durableKillNames = Object.keys(kinds);

export interface DurableFigures {
    kills: Record<string, number>;
    committed: number;
    received: number;
    reconnects: number;
    /** Clients that had seen what a failover lost. */
    gaps: number;
    transactionsFailed: number;
    /** Events that found no room in the queue: their messages were found in the table. */
    eventsLost: number;
}

/** Settings under which queues fill and transactions collapse. */
export const durableSettings = {
    'rtd.queue_size': '64kB',
    'rtd.max_transaction_events': 20,
    fsync: 'on',
    commit_delay: 300,
    commit_siblings: 2,
};

/** Throws at the first client that is sent something twice, too early or not at all. */
export async function runDurableKills(
    cluster: Cluster,
    { kills, seed, names = durableKillNames }: { kills: number; seed: number; names?: string[] },
    say: (line: string) => void,
): Promise<DurableFigures> {
    const random = new Random(seed);
    await createTopic(cluster, 'events', `parameters => '{place}', durable => true, history => 50`);
    await cluster.sql(`
        CREATE TABLE sent (key text PRIMARY KEY, place text);
        CREATE TABLE watched (key text PRIMARY KEY, place text);
        SELECT rtd_watch_table('watched', 'events', columns => '{key}', parameters => '{place}', operations => '{INSERT}')`);
    const followers = places.flatMap((place) => Array.from({ length: followersOfEach }, () => new DurableFollower(cluster, 'events', [place])));
    const figures: DurableFigures = {
        ...{ kills: {}, committed: 0, received: 0, reconnects: 0, gaps: 0, transactionsFailed: 0 },
        eventsLost: 0,
    };
    try {
        // Who has no id yet can resume from nothing.
        for (const place of places)
            await cluster.sql(`INSERT INTO sent VALUES ('first-${place}', '${place}'); SELECT rtd_broadcast('events', '{"key": "first-${place}"}', '{${place}}')`);
        for (const follower of followers) await follower.waitForCount(1);
        for (let round = 1; round <= kills; round++) {
            const name = round <= names.length && kills >= names.length ? names[round - 1] : random.pick(names);
            const load = Array.from({ length: broadcasters }, (_, n) => new Broadcaster(cluster, `${round}-${n}`, new Random(random.between(0, 2 ** 31))));
            await waitFor('some commits', () => load.every((writer) => writer.commits > 2), { deadlineMs: 60_000 });
            await pause(random.between(0, 300)); // not for a condition: anywhere in the load
            for (const follower of followers) if (random.next() < 0.3) follower.drop();
            const before = load.map((writer) => writer.commits);
            const kept = load.flatMap((writer) => writer.confirmed);
            const gapsBefore = followers.map((follower) => follower.beforeGaps.length);
            if (name === failover) for (const follower of followers) follower.expectFailover();
            await kinds[name](cluster, random);
            await waitFor('commits after it', () => load.every((writer, n) => writer.commits > before[n] + 2), { deadlineMs: 60_000 });
            await Promise.all(load.map((writer) => writer.stop()));
            figures.kills[name] = (figures.kills[name] ?? 0) + 1;
            figures.transactionsFailed += load.reduce((sum, writer) => sum + writer.failures, 0);
            const start = Date.now();
            const confirmed = name === failover ? kept : load.flatMap((writer) => writer.confirmed);
            const counts = await compare(cluster, followers, confirmed);
            figures.gaps += await checkGaps(cluster, followers, gapsBefore);
            say(`${round}: ${name}: ${counts.join(', ')} messages, all received ${Date.now() - start} ms after the last commit`);
        }
        figures.committed = Number(await cluster.value('SELECT count(*) FROM sent'));
        figures.received = followers.reduce((sum, follower) => sum + follower.data.length, 0);
        figures.reconnects = followers.reduce((sum, follower) => sum + follower.connects - 1, 0);
        figures.eventsLost = [...cluster.log().matchAll(/(\d+) events? (?:was|were) lost/g)].reduce((sum, match) => sum + Number(match[1]), 0);
        return figures;
    } finally {
        await Promise.all(followers.map((follower) => follower.close()));
    }
}

/** Nobody writes: waits for the clients to have all there is, and compares. Returns how many messages. */
async function compare(cluster: Cluster, followers: DurableFollower[], confirmed: string[]): Promise<number[]> {
    const sent = await cluster.sql<{ key: string; place: string }>('SELECT key, place FROM sent');
    const keys = new Set(sent.map(({ key }) => key));
    for (const key of confirmed) assert.ok(keys.has(key), `${key} was committed, and is gone`);
    const expected = new Map(places.map((place) => [place, sent.filter((row) => row.place === place).map(({ key }) => key)]));
    const isNumbered = async () => (await cluster.value('SELECT count(*)::int FROM rtd_message WHERE sequence IS NULL')) === 0;
    await waitFor('all messages to have a number', isNumbered, { deadlineMs: 60_000 });
    const newest = new Map((await cluster.sql<{ place: string; sequence: string }>(`
        SELECT params[1] AS place, max(sequence) AS sequence FROM rtd_message GROUP BY 1`)).map(
        ({ place, sequence }) => [place, BigInt(sequence)]));
    for (const follower of followers) {
        const [place] = follower.params;
        const wanted = expected.get(place)!;
        await follower.waitForSequence(newest.get(place)!, 60_000);
        const got: string[] = follower.data.map(({ key }) => key);
        assert.equal(new Set(got).size, got.length, `${follower} was sent a message twice`);
        if (follower.beforeGaps.length === 0) assert.deepEqual([...got].sort(), [...wanted].sort(), `${follower} was sent what was committed`);
        else {
            const known = new Set(wanted);
            for (const key of got) assert.ok(known.has(key), `${follower} was sent ${key}`);
        }
    }
    return [...expected.values()].map((list) => list.length);
}

/** Who was told of a gap in this round had seen a message that is gone. Returns how many were. */
async function checkGaps(cluster: Cluster, followers: DurableFollower[], before: number[]): Promise<number> {
    const keys = new Set((await cluster.sql<{ key: string }>('SELECT key FROM sent')).map(({ key }) => key));
    let gaps = 0;
    followers.forEach((follower, n) => {
        const told = follower.beforeGaps.slice(before[n]);
        assert.ok(told.length <= 1, `${follower} was told of ${told.length} gaps`);
        for (const data of told) assert.ok(data.some(({ key }) => !keys.has(key)), `${follower} was told of a gap, and had missed nothing`);
        gaps += told.length;
    });
    return gaps;
}
