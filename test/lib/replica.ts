// A client that keeps a copy of a table from an event topic's messages, as a browser would: it reads
// the rows anew after each first message and each gap, and applies every event in between. Whether it
// ends with the current rows is what "current, or told so" means.
//
// The table has a key `id` and a number `n` that only rises, so that an event and a reading that
// overlap cannot undo each other.

import { Cluster } from './cluster';
import { subscriberCount } from './harness';
import { Subscriber } from './subscriber';
import { waitFor } from './wait';

export class Replica {
    events = 0;
    gaps = 0;
    connects = 0;
    private rows = new Map<number, number>();
    private reading?: Promise<void>;
    private stale = false;
    private ended = false;
    private current?: Subscriber;

    private constructor(
        private readonly cluster: Cluster,
        private readonly topic: string,
        private readonly table: string,
    ) {}

    /** Subscribed, and with the rows of now. */
    static async open(cluster: Cluster, topic: string, table: string): Promise<Replica> {
        const replica = new Replica(cluster, topic, table);
        const before = await subscriberCount(cluster, topic);
        void replica.follow();
        await waitFor('the subscription', async () => (await subscriberCount(cluster, topic)) > before);
        replica.read();
        return replica;
    }

    /** Comes back whenever the connection ends. */
    private async follow() {
        while (!this.ended) {
            let first = true;
            try {
                this.current = await Subscriber.open(this.cluster.url(this.topic), {}, ({ kind, data }) => {
                    // With synchronous_commit = off a crash takes back what was already told.
                    if (first) this.rows.clear();
                    if (kind === 'gap') this.gaps++;
                    else this.apply(data.id, data.n);
                    if (first || kind === 'gap') this.read();
                    first = false;
                });
                this.connects++;
                await this.current.closed;
            } catch {
                await new Promise((resolve) => setTimeout(resolve, 50)); // nobody listens: a backoff, as clients have
            }
        }
    }

    private apply(id: number | undefined, n: number) {
        if (id === undefined) return; // not a row: a broadcast
        this.events++;
        this.raise(id, n);
    }

    private raise(id: number, n: number) {
        this.rows.set(id, Math.max(n, this.rows.get(id) ?? 0));
    }

    /** Reads the rows; once more if asked while it reads. */
    private read() {
        this.stale = true;
        this.reading ??= (async () => {
            while (this.stale && !this.ended) {
                this.stale = false;
                try {
                    for (const { id, n } of await this.cluster.sql(`SELECT id, n FROM ${this.table}`)) this.raise(id, Number(n));
                } catch {
                    this.stale = true; // the server is away
                    await new Promise((resolve) => setTimeout(resolve, 50));
                }
            }
            this.reading = undefined;
        })();
    }

    equals(rows: { id: number; n: number | string }[]) {
        return !this.reading && this.difference(rows) === '';
    }

    difference(rows: { id: number; n: number | string }[]): string {
        return rows
            .filter(({ id, n }) => this.rows.get(id) !== Number(n))
            .map(({ id, n }) => `row ${id} is ${n} in the table, ${this.rows.get(id)} in the copy`)
            .join(', ');
    }

    async close() {
        this.ended = true;
        this.current?.socket.terminate();
        await this.reading;
    }
}
