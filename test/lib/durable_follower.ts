// A client of a durable topic that comes back after every end, with the id of the last message it
// has: what it is sent must be every message, once, in the order of its numbers. Where the server failed
// over, it may be told of a gap, once, and goes on from there.

import { Cluster } from './cluster';
import { Envelope, parseId, Subscriber } from './subscriber';
import { pause, waitFor } from './wait';

export class DurableFollower {
    /** What the messages carried, in order; since the last gap, if there was one. */
    data: any[] = [];
    /** What they carried before each gap. */
    readonly beforeGaps: any[][] = [];
    private failovers = 0;
    lastId?: string;
    connects = 0;
    /** The first thing that was wrong. */
    broken?: string;
    private ended = false;
    private current?: Subscriber;
    private finished: Promise<void>;

    constructor(
        private readonly cluster: Cluster,
        private readonly topic: string,
        readonly params: string[] = [],
    ) {
        this.finished = this.follow();
    }

    private url() {
        const url = this.cluster.url(this.topic, ...this.params);
        return this.lastId ? `${url}?since=${this.lastId}` : url;
    }

    private async follow() {
        while (!this.ended) {
            try {
                this.current = await Subscriber.open(this.url(), {}, (message) => this.take(message));
                this.connects++;
                await this.current.closed;
            } catch {
                // Nobody listens at the moment.
            }
            await pause(20);
        }
    }

    private take({ id, kind, data }: Envelope) {
        if (this.ended) return;
        const [epoch, sequence] = parseId(id);
        const [lastEpoch, last] = this.lastId ? parseId(this.lastId) : [epoch, sequence - 1n];
        // A gap names what comes next, which may be of the former epoch.
        const isNewTimeline = epoch > lastEpoch && this.failovers > 0;
        if (kind === 'gap' && this.failovers > 0) {
            this.beforeGaps.push(this.data);
            this.data = [];
        } else {
            if (kind !== 'event') this.broken ??= `${kind} ${id} after ${this.lastId}`;
            else if ((epoch !== lastEpoch && !isNewTimeline) || sequence !== last + 1n) this.broken ??= `${id} after ${this.lastId}`;
            this.data.push(data);
        }
        this.lastId = id;
    }

    /** From now on the server may be another one: its messages have another epoch. */
    expectFailover() {
        this.failovers++;
    }

    async waitForCount(count: number, deadlineMs = 30_000) {
        await waitFor(`${count} messages of ${this}`, () => this.broken || this.data.length >= count, { deadlineMs }).catch((error) => {
            throw new Error(`${error.message}: ${this.data.length} came, the last is ${this.lastId}`);
        });
        if (this.broken) throw new Error(`${this}: ${this.broken}`);
    }

    async waitForSequence(sequence: bigint, deadlineMs = 30_000) {
        const has = () => this.broken || (this.lastId !== undefined && parseId(this.lastId)[1] >= sequence);
        await waitFor(`message ${sequence} of ${this}`, has, { deadlineMs }).catch((error) => {
            throw new Error(`${error.message}: ${this.data.length} came, the last is ${this.lastId}`);
        });
        if (this.broken) throw new Error(`${this}: ${this.broken}`);
    }

    toString() {
        return [this.topic, ...this.params].join('/');
    }

    /** Loses its connection, as a browser does that goes through a tunnel. */
    drop() {
        this.current?.socket.terminate();
    }

    async close() {
        this.ended = true;
        this.drop();
        await this.finished;
    }
}
