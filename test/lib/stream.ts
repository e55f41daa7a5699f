// A client of an event topic for loads that do not fit into memory: hands every message to a
// function and keeps none.

import assert from 'node:assert/strict';
import WebSocket from 'ws';
import { CloseReason, Envelope, parseId } from './subscriber';
import { within } from './wait';

export class Stream {
    /** Settles when the connection ended. */
    readonly closed: Promise<CloseReason>;
    received = 0;
    private last?: [epoch: string, sequence: bigint];
    private broken?: Error;

    private constructor(
        private readonly socket: WebSocket,
        private readonly take: (message: Envelope) => void,
    ) {
        socket.on('message', (data) => this.receive(data.toString()));
        this.closed = new Promise((resolve) =>
            socket.on('close', (code, reason) => resolve({ code, reason: reason.toString() })),
        );
    }

    static async open(url: string, take: (message: Envelope) => void): Promise<Stream> {
        const socket = new WebSocket(url, { perMessageDeflate: false });
        const stream = new Stream(socket, take);
        const opened = new Promise<void>((resolve, reject) => {
            socket.once('open', resolve);
            socket.on('error', reject);
        });
        await within(`a WebSocket to ${url}`, opened);
        return stream;
    }

    private receive(text: string) {
        try {
            const message: Envelope = JSON.parse(text);
            const [epoch, sequence] = parseId(message.id);
            if (this.last) assert.deepEqual([epoch, sequence], [this.last[0], this.last[1] + 1n], 'a number is missing');
            this.last = [epoch, sequence];
            this.received++;
            this.take(message);
        } catch (error) {
            this.broken ??= error as Error;
        }
    }

    /** Throws what went wrong while receiving. */
    check() {
        if (this.broken) throw this.broken;
    }

    /** Reads nothing more. */
    pause() {
        this.socket.pause();
    }

    close() {
        this.socket.terminate();
    }
}
