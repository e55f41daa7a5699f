// A WebSocket client of the tests: collects messages, checks the envelope of each, and lets a test
// wait for the next one that matters.

import assert from 'node:assert/strict';
import type { IncomingMessage } from 'node:http';
import WebSocket, { ClientOptions, WebSocketServer } from 'ws';
import { waitFor, within } from './wait';

export { WebSocket, WebSocketServer };

export interface Envelope {
    type: string;
    data: any;
    timestamp: string;
    source: 'event' | 'poll' | 'sync';
    topic: string;
    params: string[];
    id: string;
    kind: 'snapshot' | 'event' | 'gap' | 'control';
}

const members = ['data', 'id', 'kind', 'params', 'source', 'timestamp', 'topic', 'type'];
export const isoTimestamp = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)$/;

export function checkEnvelope(message: any): asserts message is Envelope {
    assert.deepEqual(Object.keys(message).sort(), members, 'an envelope has exactly its eight members');
    assert.equal(typeof message.type, 'string');
    assert.match(message.timestamp, /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?\+00:00$/, 'UTC with offset');
    assert.ok(['event', 'poll', 'sync'].includes(message.source), `source ${message.source}`);
    const isControl = message.kind === 'control';
    assert.match(message.topic ?? (isControl ? 'none' : ''), /^[a-z0-9]+(-[a-z0-9]+)*$/);
    assert.ok(Array.isArray(message.params) && message.params.every((p: unknown) => typeof p === 'string'));
    if (isControl) assert.equal(message.id, null, 'nothing resumes from a control message');
    else assert.match(message.id, /^[0-9a-z]+-\d+$/, 'id is <epoch>-<sequence>');
    assert.ok(['snapshot', 'event', 'gap', 'control'].includes(message.kind), `kind ${message.kind}`);
}

/** Epoch and sequence of a message's id. */
export function parseId(id: string): [epoch: string, sequence: bigint] {
    const [epoch, sequence] = id.split('-');
    return [epoch, BigInt(sequence)];
}

export interface CloseReason {
    code: number;
    reason: string;
}

/** The upgrade was answered with something else than 101. */
export class UpgradeRefused extends Error {
    constructor(
        readonly status: number,
        readonly body: string,
    ) {
        super(`the upgrade was answered with ${status}: ${body}`);
    }
}

const open = new Set<Subscriber>();

export class Subscriber {
    readonly messages: Envelope[] = [];
    /** The messages as they came, for what JSON.parse would change (long numbers). */
    readonly texts: string[] = [];
    /** Settles when the connection ended; the client's own end is 1005. */
    readonly closed: Promise<CloseReason>;
    /** Set for a client that reads too slowly: the newest state may then come after a gap. */
    maySkip = false;
    private seen = 0;
    private broken?: Error;

    private constructor(
        readonly socket: WebSocket,
        private readonly onMessage?: (message: Envelope) => void,
    ) {
        open.add(this);
        socket.on('message', (data, isBinary) => this.receive(data.toString(), isBinary));
        this.closed = new Promise((resolve) => {
            socket.on('close', (code, reason) => {
                open.delete(this);
                resolve({ code, reason: reason.toString() });
            });
        });
    }

    /** Resolves when the WebSocket is open; rejects with UpgradeRefused otherwise. */
    static async open(
        url: string,
        options: ClientOptions = {},
        onMessage?: (message: Envelope) => void,
    ): Promise<Subscriber> {
        const socket = new WebSocket(url, { maxPayload: 64 << 20, ...options });
        const subscriber = new Subscriber(socket, onMessage);
        const opened = new Promise<void>((resolve, reject) => {
            socket.once('open', resolve);
            socket.once('unexpected-response', (_request, response: IncomingMessage) => {
                let body = '';
                response.on('data', (chunk) => (body += chunk));
                response.on('end', () => reject(new UpgradeRefused(response.statusCode!, body)));
            });
            socket.on('error', reject);
        });
        await within(`a WebSocket to ${url}`, opened);
        return subscriber;
    }

    private receive(text: string, isBinary: boolean) {
        try {
            assert.equal(isBinary, false, 'messages are text frames');
            const message = JSON.parse(text);
            checkEnvelope(message);
            const last = this.messages.at(-1);
            if (last) {
                const [lastEpoch, lastSequence] = parseId(last.id);
                const [epoch, sequence] = parseId(message.id);
                if (epoch === lastEpoch && this.maySkip)
                    assert.ok(sequence > lastSequence, `${message.id} after ${last.id}`);
                else if (epoch === lastEpoch)
                    assert.equal(sequence, lastSequence + 1n, `nothing is missing between ${last.id} and ${message.id}`);
            }
            this.texts.push(text);
            this.messages.push(message);
            this.onMessage?.(message);
        } catch (error) {
            this.broken ??= error as Error;
        }
    }

    /** The next message not yet taken that satisfies `predicate`; those before it are passed over. */
    async next(predicate: (message: Envelope) => unknown = () => true, deadlineMs = 10_000): Promise<Envelope> {
        const find = () => {
            if (this.broken) throw this.broken;
            while (this.seen < this.messages.length) {
                const message = this.messages[this.seen++];
                if (predicate(message)) return message;
            }
            return undefined;
        };
        return waitFor(`a message; so far ${this.summary()}`, find, { deadlineMs, everyMs: 2 });
    }

    /** How many messages came that next() has not looked at. */
    get unread() {
        return this.messages.length - this.seen;
    }

    private summary() {
        const texts = this.texts.slice(-3).map((text) => text.slice(0, 200));
        return `${this.texts.length}: ${texts.join(' ')}`;
    }

    async close() {
        this.socket.close();
        await within('the WebSocket to close', this.closed);
        if (this.broken) throw this.broken;
    }
}

/** Ends what a failed test left open, so that the process can end. */
export function closeSubscribers() {
    for (const subscriber of open) subscriber.socket.terminate();
}
