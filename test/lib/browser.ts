// A real browser, and pages of other origins for it to open.

import * as http from 'node:http';
import type { AddressInfo } from 'node:net';
import { Browser, chromium } from 'playwright-core';

export function launchBrowser(): Promise<Browser> {
    return chromium.launch({
        executablePath: process.env.CHROMIUM || '/usr/bin/chromium',
        chromiumSandbox: false, // it cannot be had as root or in a container, and only our own pages are opened
        args: [
            ...['--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking'],
            ...['--disable-component-update', '--disable-sync', '--disable-dev-shm-usage'],
        ],
    });
}

/** A server on a free port of loopback. */
export async function serve(handler: http.RequestListener): Promise<{ server: http.Server; port: number }> {
    const server = http.createServer(handler);
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    return { server, port: (server.address() as AddressInfo).port };
}

/** Serves an empty page at every path. */
export const servePage = () =>
    serve((_, response) => response.setHeader('content-type', 'text/html').end('<title>page</title>'));
