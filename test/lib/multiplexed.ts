// A client of /ws for tests: sends requests, and gives answers and messages out in the order they
// came.

import assert from 'node:assert/strict';
import WebSocket from 'ws';
import type { Cluster } from './cluster';
import { checkEnvelope, CloseReason } from './subscriber';
import { waitFor, within } from './wait';

const open = new Set<WebSocket>();

export class Multiplexed {
    readonly messages: any[] = [];
    readonly closed: Promise<CloseReason>;
    private seen = 0;
    private lastRef = 0;
    private broken?: Error;

    private constructor(readonly socket: WebSocket) {
        open.add(socket);
        socket.on('message', (data) => this.receive(data.toString()));
        this.closed = new Promise((resolve) =>
            socket.on('close', (code, reason) => {
                open.delete(socket);
                resolve({ code, reason: reason.toString() });
            }),
        );
    }

    static async open(cluster: Cluster): Promise<Multiplexed> {
        const socket = new WebSocket(`ws://127.0.0.1:${cluster.rtdPort}/ws`, { perMessageDeflate: false });
        const client = new Multiplexed(socket);
        await within(
            'a WebSocket to /ws',
            new Promise<void>((resolve, reject) => socket.once('open', resolve).on('error', reject)),
        );
        return client;
    }

    private receive(text: string) {
        try {
            const message = JSON.parse(text);
            checkEnvelope(message);
            this.messages.push({ ...message, text });
        } catch (error) {
            this.broken ??= error as Error;
        }
    }

    /** The next message not yet taken that satisfies `predicate`; those before it are passed over. */
    async next(predicate: (message: any) => unknown = () => true): Promise<any> {
        return waitFor(
            `a message; so far ${this.messages.length}: ${this.messages.slice(-3).map((message) => message.text.slice(0, 200))}`,
            () => {
                if (this.broken) throw this.broken;
                while (this.seen < this.messages.length) {
                    const message = this.messages[this.seen++];
                    if (predicate(message)) return message;
                }
                return undefined;
            },
            { everyMs: 2 },
        );
    }

    send(request: object | string) {
        this.socket.send(typeof request === 'string' ? request : JSON.stringify(request));
    }

    /** Sends a request and returns its answer; messages in between stay for next(). */
    async ask(request: object): Promise<any> {
        const ref = ++this.lastRef;
        this.send({ ...request, ref });
        const answer = await waitFor(`the answer to ${JSON.stringify(request)}`, () => {
            if (this.broken) throw this.broken;
            return this.messages.find((message) => message.kind === 'control' && message.data.ref === ref);
        });
        if (this.messages.indexOf(answer) === this.seen) this.seen++;
        return answer;
    }

    async subscribe(topic: string, ...params: string[]): Promise<any> {
        const answer = await this.ask({ action: 'subscribe', topic, params });
        assert.equal(answer.type, 'rtd_subscribed', answer.text);
        return answer;
    }

    async expectError(request: object, code: number, sentence: RegExp) {
        const answer = await this.ask(request);
        assert.equal(answer.type, 'rtd_error', answer.text);
        assert.equal(answer.data.code, code, answer.text);
        assert.match(answer.data.message, sentence);
    }

    async close() {
        this.socket.close();
        await within('the WebSocket to close', this.closed);
        if (this.broken) throw this.broken;
    }
}

/** Ends what a failed test left open, so that the process can end. */
export function closeMultiplexed() {
    for (const socket of open) socket.terminate();
}
