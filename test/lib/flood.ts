// Clients of /ws as an attacker writes them: raw sockets that send what they like and read only if they
// want to.

import * as fs from 'node:fs';
import { connect, Socket } from 'node:net';
import { Cluster, processStat } from './cluster';
import { waitFor } from './wait';

/** A text frame; its mask is zero, which is as good as any. */
export function textFrame(text: string): Buffer {
    const payload = Buffer.from(text);
    const head =
        payload.length < 126
            ? Buffer.from([0x81, 0x80 | payload.length])
            : Buffer.from([0x81, 0xfe, payload.length >> 8, payload.length & 255]);
    return Buffer.concat([head, Buffer.alloc(4), payload]);
}

export const request = (fields: object) => textFrame(JSON.stringify(fields));

export class RawClient {
    received = 0;
    isRefused = false; // it was told 4503
    isOpen = true;

    private constructor(readonly socket: Socket) {
        socket.on('error', () => {}); // that it is gone says 'close'
        socket.on('close', () => (this.isOpen = false));
        socket.on('data', (data) => {
            this.received += data.length;
            this.isRefused ||= data.includes('"code":4503');
        });
    }

    static async open(cluster: Cluster, path = '/ws'): Promise<RawClient> {
        const client = new RawClient(connect(cluster.rtdPort, '127.0.0.1'));
        client.socket.write(
            `GET ${path} HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n` +
                'Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n',
        );
        await waitFor('an upgrade', () => client.received > 0 || !client.isOpen, { deadlineMs: 60_000, everyMs: 5 });
        return client;
    }

    static async openMany(cluster: Cluster, count: number): Promise<RawClient[]> {
        const clients: RawClient[] = [];
        while (clients.length < count) {
            const some = Math.min(100, count - clients.length);
            clients.push(...(await Promise.all(Array.from({ length: some }, () => RawClient.open(cluster)))));
        }
        return clients;
    }

    send(...frames: Buffer[]) {
        if (this.isOpen) this.socket.write(Buffer.concat(frames));
    }

    stopReading() {
        this.socket.pause();
    }
}

/** Kilobytes of a process's own memory: without shared buffers and the event queue. */
export function privateKilobytes(pid: number): number {
    const found = fs.readFileSync(`/proc/${pid}/status`, 'utf8').match(/^RssAnon:\s+(\d+) kB/m);
    if (!found) throw new Error(`no RssAnon of process ${pid}`);
    return Number(found[1]);
}

/** Watches a process while something happens: how much its memory grew at most. */
export class MemoryWatch {
    peak: number;
    private readonly before: number;
    private readonly timer: NodeJS.Timeout;

    constructor(private readonly pid: number) {
        this.before = this.peak = privateKilobytes(pid);
        this.timer = setInterval(() => this.look(), 20);
    }

    look() {
        if (processStat(this.pid)) this.peak = Math.max(this.peak, privateKilobytes(this.pid));
    }

    get grewMegabytes() {
        this.look();
        return (this.peak - this.before) / 1024;
    }

    get keptMegabytes() {
        return (privateKilobytes(this.pid) - this.before) / 1024;
    }

    stop() {
        clearInterval(this.timer);
    }
}
