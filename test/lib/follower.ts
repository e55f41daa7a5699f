// A client that comes back whenever its connection ends, and names the last message it has: what it
// collects is one stream over all its connections. Whatever is missing or twice in it is an error.

import assert from 'node:assert/strict';
import { Cluster } from './cluster';
import { subscriberCount } from './harness';
import { Envelope, parseId, Subscriber } from './subscriber';
import { pause, waitFor } from './wait';

export class Follower {
    readonly messages: Envelope[] = [];
    connects = 0;
    private ended = false;
    private broken?: Error;
    private current?: Subscriber;
    private done?: Promise<void>;

    private constructor(
        private readonly cluster: Cluster,
        private readonly topic: string,
    ) {}

    /** Subscribed: it misses nothing from here on, if a message comes before its connection ends. */
    static async open(cluster: Cluster, topic: string): Promise<Follower> {
        const follower = new Follower(cluster, topic);
        const before = await subscriberCount(cluster, topic);
        follower.done = follower.follow();
        await waitFor('the subscription', async () => (await subscriberCount(cluster, topic)) > before);
        return follower;
    }

    get lastId() {
        return this.messages.at(-1)?.id;
    }

    private async follow() {
        while (!this.ended && !this.broken) {
            try {
                const since = this.lastId ? `?since=${this.lastId}` : '';
                this.current = await Subscriber.open(this.cluster.url(this.topic) + since, {}, (message) => this.take(message));
                this.connects++;
                await this.current.closed;
            } catch {
                await pause(10); // nobody listens: a backoff, as clients have
            }
        }
    }

    private take(message: Envelope) {
        try {
            if (this.lastId) {
                const [lastEpoch, last] = parseId(this.lastId);
                const [epoch, sequence] = parseId(message.id);
                assert.notEqual(message.kind, 'gap', `after ${this.lastId}: ${JSON.stringify(message.data)}`);
                assert.equal(epoch, lastEpoch, 'the same epoch');
                assert.equal(sequence, last + 1n, `${message.id} after ${this.lastId}`);
            }
            this.messages.push(message);
        } catch (error) {
            this.broken ??= error as Error;
        }
    }

    /** Throws what went wrong while receiving. */
    check() {
        if (this.broken) throw this.broken;
    }

    /** Waits until so many messages came, over all connections. */
    async received(count: number, deadlineMs = 60_000) {
        await waitFor(
            `${count} messages`,
            () => {
                this.check();
                return this.messages.length >= count;
            },
            { deadlineMs },
        ).catch((error) => {
            throw new Error(`${error.message}; ${this.messages.length} came, the last is ${this.lastId}`);
        });
    }

    async close() {
        this.ended = true;
        this.current?.socket.terminate();
        await this.done;
    }
}
