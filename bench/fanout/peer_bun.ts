// A peer: Bun's own server with its publish and subscribe, and `pg`, as one writes it by hand. It passes
// on what is notified to all clients; who comes later gets the last message at once.
//
// Arguments: socket directory, database, port. Prints "ready <backend pid>" when it serves.

import { channel, listen } from './notifications';

/** The part of Bun's interface that is used here. */
interface ServerWebSocket {
    subscribe(topic: string): void;
    send(message: string): number;
}
interface Server {
    upgrade(request: unknown): boolean;
    publish(topic: string, message: string): number;
}
declare const Bun: {
    serve(options: {
        hostname: string;
        port: number;
        fetch(request: unknown, server: Server): unknown;
        websocket: {
            perMessageDeflate: boolean;
            open(client: ServerWebSocket): void;
            message(client: ServerWebSocket, message: unknown): void;
        };
    }): Server;
};
declare const Response: new (body: string, options: { status: number }) => unknown;

async function main() {
    const [host, database, port] = process.argv.slice(2);
    let last: string | undefined;
    const server = Bun.serve({
        hostname: '127.0.0.1',
        port: Number(port),
        fetch: (request, server) => (server.upgrade(request) ? undefined : new Response('a WebSocket, please', { status: 426 })),
        websocket: {
            perMessageDeflate: false,
            open(client) {
                if (last !== undefined) client.send(last);
                client.subscribe(channel);
            },
            message() {},
        },
    });
    const pid = await listen(host, database, (message) => {
        last = message;
        server.publish(channel, message);
    });
    console.log(`ready ${pid}`);
}

main().catch((error) => {
    console.error(error);
    process.exit(1);
});
