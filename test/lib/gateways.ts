// Which gateway serves which client: the kernel knows, and says it in /proc.

import * as fs from 'node:fs';
import type { Socket } from 'node:net';
import { childrenOf, Cluster } from './cluster';
import { waitFor } from './wait';

const established = '01';
const port = (address: string) => parseInt(address.split(':')[1], 16);

/** Inodes of the server's ends of all connections to the port, by the client's port. */
function serverEnds(serverPort: number): Map<number, string> {
    const ends = new Map<number, string>();
    for (const line of fs.readFileSync('/proc/net/tcp', 'utf8').split('\n').slice(1)) {
        const [, local, remote, state, , , , , , inode] = line.trim().split(/\s+/);
        if (state === established && port(local) === serverPort) ends.set(port(remote), inode);
    }
    return ends;
}

function socketsOf(pid: number): Set<string> {
    try {
        const links = fs.readdirSync(`/proc/${pid}/fd`).map((fd) => {
            try {
                return fs.readlinkSync(`/proc/${pid}/fd/${fd}`);
            } catch {
                return ''; // closed meanwhile
            }
        });
        return new Set(links.map((link) => /^socket:\[(\d+)\]$/.exec(link)?.[1] ?? ''));
    } catch {
        return new Set(); // it has ended
    }
}

export async function gatewayPids(cluster: Cluster): Promise<number[]> {
    return childrenOf(await cluster.hubPid());
}

/** The gateways, once so many run and each of them takes clients. */
export async function allGateways(cluster: Cluster, count: number): Promise<number[]> {
    const listening = '0A';
    return waitFor(
        `${count} gateways that listen`,
        async () => {
            const inodes = new Set<string>();
            for (const line of fs.readFileSync('/proc/net/tcp', 'utf8').split('\n').slice(1)) {
                const [, local, , state, , , , , , inode] = line.trim().split(/\s+/);
                if (state === listening && port(local) === cluster.rtdPort) inodes.add(inode);
            }
            const pids = await gatewayPids(cluster);
            const taking = pids.filter((pid) => [...socketsOf(pid)].some((inode) => inodes.has(inode)));
            return pids.length === count && taking.length === count ? pids : undefined;
        },
        { deadlineMs: 20_000 },
    );
}

/** The gateway that has accepted this connection of a client. */
export async function gatewayOf(cluster: Cluster, socket: Socket): Promise<number> {
    return waitFor(`the gateway of client port ${socket.localPort}`, async () => {
        const inode = serverEnds(cluster.rtdPort).get(socket.localPort!);
        return (await gatewayPids(cluster)).find((pid) => inode && socketsOf(pid).has(inode));
    });
}

/** How many clients each gateway has. */
export async function clientsOfEach(cluster: Cluster): Promise<Map<number, number>> {
    const ends = [...serverEnds(cluster.rtdPort).values()];
    const counts = new Map<number, number>();
    for (const pid of await gatewayPids(cluster)) {
        const sockets = socketsOf(pid);
        counts.set(pid, ends.filter((inode) => sockets.has(inode)).length);
    }
    return counts;
}

/** Opens clients until every gateway has one, and at least `count`. */
export async function onEveryGateway<Client extends { socket: unknown }>(
    cluster: Cluster,
    gateways: number[],
    open: () => Promise<Client>,
    count = gateways.length,
): Promise<{ client: Client; gateway: number }[]> {
    const opened: { client: Client; gateway: number }[] = [];
    const served = () => new Set(opened.map(({ gateway }) => gateway));
    while (opened.length < count || served().size < gateways.length) {
        // The kernel chooses by the client's port: that so many all miss one gateway does not happen.
        if (opened.length > count + 60) throw new Error(`${opened.length} clients, all on ${[...served()]} of ${gateways}`);
        const client = await open();
        const socket = (client.socket as { _socket?: Socket })._socket ?? (client.socket as Socket);
        opened.push({ client, gateway: await gatewayOf(cluster, socket) });
    }
    return opened;
}
