// What the peers on Node and Bun have in common: messages come as notifications of a channel; one that
// is too long for that is named by its id and read from a table.

import { Connection } from '../../test/lib/cluster';

export const channel = 'fanout';
const isId = /^\d+$/;

/** Calls `take` with each message, in order. Resolves to the pid of the backend that LISTENs. */
export async function listen(host: string, database: string, take: (message: string) => void): Promise<number> {
    const connect = async () => {
        const connection = new Connection({ host, database, port: 5432, user: 'postgres' });
        await connection.connect();
        return connection;
    };
    const [listener, reader] = [await connect(), await connect()];
    const read = async (id: string): Promise<string> => {
        const query = { name: 'read', text: 'SELECT body FROM fanout_message WHERE id = $1', values: [id] };
        return (await reader.query(query)).rows[0].body;
    };

    const waiting: string[] = []; // while an earlier one is read: the order stays
    let reading = false;
    const takeAll = async () => {
        reading = true;
        for (let next; (next = waiting.shift()) !== undefined; ) take(isId.test(next) ? await read(next) : next);
        reading = false;
    };
    listener.on('notification', ({ payload }) => {
        waiting.push(payload!);
        if (!reading) void takeAll();
    });
    await listener.query(`LISTEN ${channel}`);
    return (listener as any).processID;
}
