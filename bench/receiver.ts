// A WebSocket client that costs next to nothing: it finds where each message begins, hands over its
// first bytes, and skips the rest. A hundred of them run in one process beside the writer, so they
// must not be what is measured.

import * as crypto from 'node:crypto';
import * as net from 'node:net';

/** What of a message's start is handed over. */
const headBytes = 256;

export type OnMessage = (head: Buffer, at: bigint) => void;

/** The number after "seq" in the start of a message. */
export function sequenceIn(head: Buffer): number {
    const start = head.indexOf('"seq":');
    if (start < 0) throw new Error(`a message without a sequence: ${head}`);
    return parseInt(head.toString('latin1', start + 6, start + 22), 10);
}

export class Receiver {
    private rest: Buffer | undefined;
    private skip = 0;
    private upgraded = false;
    private isOpen = false; // more frames of the message follow
    messages = 0;
    bytes = 0;
    /** Why the server ended the connection, once it has. */
    closeCode: number | undefined;

    private constructor(
        readonly socket: net.Socket,
        private readonly onMessage: OnMessage,
    ) {}

    static open(port: number, path: string, onMessage: OnMessage): Promise<Receiver> {
        const socket = net.connect({ port, host: '127.0.0.1', noDelay: true });
        const receiver = new Receiver(socket, onMessage);
        return new Promise((resolve, reject) => {
            socket.on('error', reject);
            socket.on('close', () => reject(new Error('the server closed the connection')));
            socket.on('data', (chunk) => {
                receiver.receive(chunk, process.hrtime.bigint());
                if (receiver.upgraded) resolve(receiver);
            });
            socket.write(
                `GET ${path} HTTP/1.1\r\nHost: 127.0.0.1:${port}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n` +
                    `Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: ${crypto.randomBytes(16).toString('base64')}\r\n\r\n`,
            );
        });
    }

    private receive(chunk: Buffer, at: bigint) {
        this.bytes += chunk.length;
        let data = this.rest ? Buffer.concat([this.rest, chunk]) : chunk;
        this.rest = undefined;
        if (!this.upgraded) {
            const end = data.indexOf('\r\n\r\n');
            if (end < 0) {
                this.rest = data;
                return;
            }
            const status = data.toString('latin1', 0, data.indexOf('\r\n'));
            if (!status.includes(' 101 ')) throw new Error(status);
            this.upgraded = true;
            data = data.subarray(end + 4);
        }
        for (;;) {
            if (this.skip >= data.length) {
                this.skip -= data.length;
                return;
            }
            data = data.subarray(this.skip);
            this.skip = 0;
            const frame = header(data);
            if (!frame || data.length < frame.size + Math.min(frame.payload, headBytes)) {
                this.rest = data;
                return;
            }
            this.skip = frame.size + frame.payload;
            if (frame.opcode < 8) this.isOpen = (data[0] & 0x80) === 0;
            if (frame.opcode === 1) this.message(data.subarray(frame.size, frame.size + Math.min(frame.payload, headBytes)), at);
            else if (frame.opcode === 8) this.closeCode = frame.payload < 2 ? 1005 : data.readUInt16BE(frame.size);
            else if (frame.opcode === 9) this.pong(data.subarray(frame.size, this.skip));
        }
    }

    /** Nothing of a message is still to come. */
    get isBetweenMessages(): boolean {
        return this.skip === 0 && !this.rest && !this.isOpen;
    }

    private message(head: Buffer, at: bigint) {
        this.messages++;
        this.onMessage(head, at);
    }

    private pong(payload: Buffer) {
        const mask = Buffer.alloc(4); // all zero: the payload stays as it is
        this.socket.write(Buffer.concat([Buffer.from([0x8a, 0x80 | payload.length]), mask, payload]));
    }
}

function header(data: Buffer): { opcode: number; size: number; payload: number } | undefined {
    if (data.length < 2) return undefined;
    const opcode = data[0] & 15;
    const short = data[1] & 127;
    if (short < 126) return { opcode, size: 2, payload: short };
    if (short === 126) return data.length < 4 ? undefined : { opcode, size: 4, payload: data.readUInt16BE(2) };
    return data.length < 10 ? undefined : { opcode, size: 10, payload: Number(data.readBigUInt64BE(2)) };
}
