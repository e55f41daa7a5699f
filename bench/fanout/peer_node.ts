// A peer: Node with `ws` and `pg`, as one writes it by hand. It passes on what is notified to all
// clients; who comes later gets the last message at once.
//
// Arguments: socket directory, database, port. Prints "ready <backend pid>" when it serves.

import { WebSocket, WebSocketServer } from '../../test/lib/subscriber';
import { listen } from './notifications';

async function main() {
    const [host, database, port] = process.argv.slice(2);
    let last: Buffer | undefined;
    const server = new WebSocketServer({ port: Number(port), host: '127.0.0.1', perMessageDeflate: false });
    server.on('connection', (client) => {
        client.on('error', () => {}); // its close follows
        if (last) client.send(last, { binary: false });
    });
    const pid = await listen(host, database, (message) => {
        last = Buffer.from(message); // encoded once, not once per client
        for (const client of server.clients)
            if (client.readyState === WebSocket.OPEN) client.send(last, { binary: false });
    });
    console.log(`ready ${pid}`);
}

main().catch((error) => {
    console.error(error);
    process.exit(1);
});
