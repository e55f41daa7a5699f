// The peer: what one writes by hand today. A Node server with `ws` and `pg`: a trigger notifies, the
// server LISTENs, runs the state's query again for every notification and sends it to all clients.
//
// Arguments: socket directory, database, port, query. Prints "ready <backend pids>" when it serves.

import { Connection } from '../../test/lib/cluster';
import { WebSocket, WebSocketServer } from '../../test/lib/subscriber';

async function main() {
    const [host, database, port, query] = process.argv.slice(2);
    const connect = async () => {
        const connection = new Connection({ host, database, port: 5432, user: 'postgres' });
        await connection.connect();
        return connection;
    };
    const [listener, reader] = [await connect(), await connect()];
    let sequence = 0;
    let last: Promise<unknown> = Promise.resolve(); // one query at a time, in the order of the notifications

    const state = async (source: string) => {
        const result = last.then(() => reader.query({ name: 'state', text: query }));
        last = result;
        const { rows } = await result;
        return Buffer.from(
            JSON.stringify({
                type: 'bench_update',
                data: rows[0].state,
                timestamp: new Date().toISOString(),
                source,
                topic: 'bench',
                params: [],
                id: `peer-${++sequence}`,
                kind: 'snapshot',
            }),
        );
    };

    const server = new WebSocketServer({ port: Number(port), host: '127.0.0.1', perMessageDeflate: false });
    server.on('connection', async (client) => client.send(await state('sync'), { binary: false }));
    listener.on('notification', async () => {
        const message = await state('event');
        for (const client of server.clients)
            if (client.readyState === WebSocket.OPEN) client.send(message, { binary: false });
    });
    await listener.query('LISTEN bench_changed');
    const pids = [listener, reader].map((connection) => (connection as any).processID);
    console.log(`ready ${pids.join(' ')}`);
}

main().catch((error) => {
    console.error(error);
    process.exit(1);
});
