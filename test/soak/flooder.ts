// A process of test/soak/flood: some of its clients, from an address of loopback of their own. Each
// takes one role after another, in an order that the seed gives. Tells the parent what it does.

import { connect, Socket } from 'node:net';
import { request, textFrame } from '../lib/flood';
import { Random } from '../lib/random';
import { pause } from '../lib/wait';

export interface Orders {
    port: number;
    address: string;
    clients: number;
    seed: number;
    clientsPerSecond: number;
}

export interface Figures {
    connected: number;
    opened: number;
    failed: number;
    sent: number;
    received: number;
    rounds: Record<string, number>;
}

const orders: Orders = JSON.parse(process.argv[2]);
const random = new Random(orders.seed);
const figures: Figures = { connected: 0, opened: 0, failed: 0, sent: 0, received: 0, rounds: {} };
let running = true;

const long = 'x'.repeat(900);
const topics = ['room', 'echo', 'rows', 'chat', 'chat', 'none'];
const sinces = ['', '0', '-1', '1-1', '18446744073709551615-18446744073709551615', 'nonsense', "'; --", `${2 ** 62}-7`];

const known: string[] = []; // ids of messages: whoever names them gets what came since

class Client {
    isOpen = false;
    isClosed = false;
    private constructor(readonly socket: Socket) {}

    static open(head: string): Promise<Client> {
        const socket = connect({ port: orders.port, host: '127.0.0.1', localAddress: orders.address });
        const client = new Client(socket);
        figures.opened++;
        return new Promise((resolve) => {
            socket.on('connect', () => {
                figures.connected++;
                client.isOpen = true;
                client.write(head);
                resolve(client);
            });
            socket.on('data', (data) => {
                figures.received += data.length;
                if (random.next() < 0.05) known[random.between(0, 19)] = /"id":"([0-9-]+)"/.exec(data.toString('latin1'))?.[1] ?? '';
            });
            socket.on('error', () => {}); // 'close' follows
            socket.on('close', () => {
                if (client.isOpen) figures.connected--;
                else figures.failed++;
                client.isOpen = false;
                client.isClosed = true;
                resolve(client);
            });
        });
    }

    write(data: string | Buffer) {
        if (!this.isOpen) return;
        figures.sent += data.length;
        this.socket.write(data);
    }

    /** A while, or until the server has taken all of it, or has had enough of it. */
    async settle(mostMs: number) {
        const end = Date.now() + mostMs;
        while (running && !this.isClosed && Date.now() < end && this.socket.writableLength > 0) await pause(50);
    }

    async stay(ms: number) {
        const end = Date.now() + ms;
        while (running && !this.isClosed && Date.now() < end) await pause(100);
    }
}

const head = (path: string, more = '') => `GET ${path} HTTP/1.1\r\nHost: localhost\r\n${more}\r\n`;
const upgrade = (path: string) =>
    head(path, 'Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n');
const since = () => (random.next() < 0.1 ? '9'.repeat(random.between(1, 50_000)) : random.pick(random.next() < 0.5 && known.length > 0 ? known : sinces) ?? '');
const instance = (topic = random.pick(topics)) => ({
    topic,
    params: topic === 'chat' || topic === 'none' ? [] : [`${long}${random.between(1, 1_000_000)}`],
});
const path = () => {
    const { topic, params } = instance();
    return [topic, ...params].join('/');
};
const frame = (opcode: number, payload: Buffer) =>
    Buffer.concat([Buffer.from([0x80 | opcode, 0x80 | payload.length]), Buffer.alloc(4), payload]);

/** What a client of /ws says in one go. */
const verses: Record<string, () => Buffer[]> = {
    subscribe: () => Array.from({ length: 50 }, () => request({ action: 'subscribe', ...instance(), since: since() })),
    storm: () =>
        Array.from({ length: 50 }, () => instance()).flatMap((of) => [
            request({ action: 'subscribe', ...of, since: since() }),
            request({ action: 'unsubscribe', ...of }),
        ]),
    publish: () =>
        Array.from({ length: 20 }, () =>
            request({ action: 'publish', ...instance(random.pick(['chat', 'chat', 'room', 'none'])), data: long.repeat(random.between(1, 40)) }),
        ),
    ping: () => [
        ...Array.from({ length: 50 }, () => frame(9, Buffer.alloc(125, 'x'))),
        ...Array.from({ length: 50 }, (_, ref) => request({ action: 'ping', ref })),
    ],
    nonsense: () => Array.from({ length: 50 }, () => textFrame(random.pick(['{', '[]', '{"action":7}', long, `{"action":"${long}"}`, 'null']))),
    broken: () => [
        random.pick([
            Buffer.from([0xf1, 0x80, 0, 0, 0, 0]), // reserved bits
            Buffer.from([0x81, 0x05, 1, 2, 3]), // without a mask
            Buffer.from([0x81, 0xff, 0x7f, 255, 255, 255, 255, 255, 255, 255, 0, 0, 0, 0]), // of 2^63 bytes
            Buffer.from([0x89, 0xfe, 1, 0, 0, 0, 0, 0]), // a ping that is too long
            Buffer.from([0x83, 0x80, 0, 0, 0, 0]), // no such opcode
            frame(8, Buffer.from([3])),
            textFrame('x'.repeat(65_000)),
        ]),
    ],
    unfinished: () => [Buffer.concat([Buffer.from([0x01, 0xfe, 0xf0, 0]), Buffer.alloc(4 + 60_000)])],
};

async function multiplexed(isDeaf: boolean) {
    const client = await Client.open(upgrade('/ws'));
    if (isDeaf) client.socket.pause();
    for (let round = random.between(1, 10); round > 0 && running && !client.isClosed; round--) {
        const name = random.pick(Object.keys(verses).filter((verse) => verse !== 'broken' || round === 1));
        figures.rounds[name] = (figures.rounds[name] ?? 0) + 1;
        client.write(Buffer.concat(verses[name]()));
        await client.settle(20_000);
        await client.stay(random.between(0, 10_000));
    }
    return client;
}

async function held(head: string, isDeaf: boolean) {
    const client = await Client.open(head);
    if (isDeaf) client.socket.pause();
    await client.stay(random.between(1000, 30_000));
    return client;
}

const roles: Record<string, () => Promise<Client>> = {
    talks: () => multiplexed(false),
    talksAndTalks: () => multiplexed(false),
    talksWithoutReading: () => multiplexed(true),
    followsOne: () => held(upgrade(`/ws/${path()}?since=${encodeURIComponent(since().slice(0, 1000))}`), random.next() < 0.5),
    stream: () => held(head(`/sse/${path()}`, `Last-Event-ID: ${since().slice(0, 4000)}\r\n`), true),
    snapshots: async () => {
        const client = await Client.open('');
        for (let n = 0; n < 20 && running && !client.isClosed; n++) client.write(head(`/api/v1/topics/${path()}`));
        await client.stay(5000);
        return client;
    },
    halfAHead: () => held(`GET /ws HTTP/1.1\r\nHost: loc`, false),
    silence: () => held('', false),
};

async function liveAsClient() {
    while (running) {
        const role = random.pick(Object.keys(roles));
        figures.rounds[role] = (figures.rounds[role] ?? 0) + 1;
        const client = await roles[role]();
        if (random.next() < 0.5) client.socket.resetAndDestroy();
        else client.socket.destroy();
        if (!client.isOpen) await pause(random.between(100, 1000)); // who was refused comes back
    }
}

async function main() {
    process.on('message', () => (running = false));
    const report = setInterval(() => process.send!(figures), 1000);
    const clients: Promise<void>[] = [];
    const begin = Date.now();
    // Some are between two connections, so that there are more of them than connections.
    while (running) {
        const due = Math.min(2 * orders.clients, ((Date.now() - begin) * orders.clientsPerSecond) / 1000);
        while (clients.length < due && figures.connected < orders.clients) clients.push(liveAsClient());
        await pause(20);
    }
    await Promise.all(clients);
    clearInterval(report);
    process.send!(figures);
    process.disconnect();
}

main().catch((error) => {
    console.error(error);
    process.exitCode = 1;
});
