// A throw-away nginx in front of the gateway: one process, all its files in a directory of its own.

import { ChildProcess, spawn } from 'node:child_process';
import * as fs from 'node:fs';
import * as os from 'node:os';
import * as path from 'node:path';
import { freePort } from './cluster';
import { waitFor, within } from './wait';

export class Nginx {
    private constructor(
        readonly port: number,
        private readonly dir: string,
        private readonly process: ChildProcess,
        private readonly exited: Promise<unknown>,
    ) {}

    /** `locations` are the blocks of its only server. */
    static async start(locations: string): Promise<Nginx> {
        const dir = fs.mkdtempSync(path.join(os.tmpdir(), 'rtd-nginx-'));
        const port = await freePort();
        const temporary = ['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi'];
        fs.writeFileSync(
            path.join(dir, 'nginx.conf'),
            `daemon off; master_process off; pid ${dir}/pid; error_log stderr;
            events {}
            http {
                access_log off;
                ${temporary.map((name) => `${name}_temp_path ${dir}/${name};`).join(' ')}
                map $http_upgrade $connection_upgrade { default upgrade; '' close; }
                server { listen 127.0.0.1:${port}; ${locations} }
            }`,
        );
        let log = '';
        const child = spawn('nginx', ['-p', dir, '-c', path.join(dir, 'nginx.conf')], {
            stdio: ['ignore', 'ignore', 'pipe'],
            env: { ...process.env, PATH: `${process.env.PATH}:/usr/sbin` },
        });
        child.stderr!.on('data', (chunk) => (log += chunk));
        const exited = new Promise<void>((resolve) => {
            child.once('exit', () => resolve());
            child.once('error', (error) => ((log += error), resolve()));
        });
        const nginx = new Nginx(port, dir, child, exited);
        await waitFor('nginx to answer', async () => {
            if (child.exitCode !== null || child.pid === undefined) throw new Error(`nginx ended: ${log}`);
            return fetch(`http://127.0.0.1:${port}/`).then(() => true, () => false);
        });
        return nginx;
    }

    get url() {
        return `http://127.0.0.1:${this.port}`;
    }

    async stop() {
        this.process.kill('SIGTERM');
        await within('the end of nginx', this.exited);
        fs.rmSync(this.dir, { recursive: true, force: true });
    }
}
