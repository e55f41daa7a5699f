// The README as a newcomer follows it: every block of the quick start is run as it is written, on a
// server that preloads something else already; what curl prints is what the README shows; the script
// of "In a page" runs in a real browser, through a killed gateway, until it is refused. Only the port
// is another one. The SQL of docs/ runs too.

import assert from 'node:assert/strict';
import { ChildProcess, execFile, spawn } from 'node:child_process';
import * as fs from 'node:fs';
import * as http from 'node:http';
import { AddressInfo } from 'node:net';
import * as path from 'node:path';
import { after, before, describe, test } from 'node:test';
import { promisify } from 'node:util';
import { chromium } from 'playwright-core';
import { bindir, Cluster, root } from '../lib/cluster';
import { closeSubscribers, Subscriber } from '../lib/subscriber';
import { waitFor } from '../lib/wait';

let cluster: Cluster;
let curl: ChildProcess | undefined;

before(async () => {
    cluster = await Cluster.create({
        database: 'postgres',
        install: false,
        settings: { shared_preload_libraries: 'auto_explain', 'rtd.database': null, 'rtd.anonymous_role': null },
    });
});
after(async () => {
    curl?.kill();
    closeSubscribers();
    await cluster?.destroy();
});

interface Block {
    language: string;
    text: string;
}

/** The code blocks of a page, or of one of its sections. */
function blocksOf(file: string, section?: string): Block[] {
    let text = fs.readFileSync(path.join(root, file), 'utf8');
    if (section) {
        const begin = text.indexOf(`\n## ${section}\n`);
        assert.notEqual(begin, -1, `${file} has a section "${section}"`);
        text = text.slice(begin + 4);
        text = text.slice(0, text.indexOf('\n## '));
    }
    return [...text.matchAll(/^```(\w*)\n(.*?)^```/gms)].map(([, language, body]) => ({ language, text: body }));
}

/** What a block says, with this server's port. */
const here = (text: string) => text.replaceAll('localhost:8787', `localhost:${cluster.rtdPort}`);

/** What psql prints, notices included. */
async function psql(script: string, database = 'postgres'): Promise<string> {
    const args = ['-X', '-v', 'ON_ERROR_STOP=1', '-h', cluster.dir, '-U', 'postgres', '-d', database, '-f', '-'];
    const run = promisify(execFile)(path.join(bindir, 'psql'), args);
    run.child.stdin!.end(script);
    const { stdout, stderr } = await run;
    return stdout + stderr;
}

/** Ids and times differ each time. */
const timeless = (text: string) =>
    text.replace(/\d{4}-\d\d-\d\dT[\d:.]+\+00:00/g, '<time>').replace(/\b\d{16}-(\d+)/g, '<epoch>-$1').trim();

async function curlPrints(expected: string, output: () => string) {
    await waitFor('what the README shows', () => timeless(output()) === timeless(expected)).catch(() =>
        assert.equal(timeless(output()), timeless(expected)),
    );
}

test('the quick start, block after block, ends with a row that arrives', async () => {
    let printed = '';
    let expected = '';
    let notices = '';
    for (const { language, text } of blocksOf('README.md', 'Quick start'))
        if (language === 'sql') {
            notices += await psql(text);
        } else if (language === 'console') {
            const [, url, rest] = text.match(/^\$ curl -N (\S+)\n(.*)/s) ?? [];
            if (url) {
                assert.match(notices, new RegExp(`curl -N ${here(url)}$`, 'm'), 'the NOTICE names the same address');
                await cluster.ready();
                curl = spawn('curl', ['-sN', here(url)], { stdio: ['ignore', 'pipe', 'inherit'] });
                curl.stdout!.on('data', (chunk) => (printed += chunk));
            }
            expected += `\n${rest ?? text}`;
            await curlPrints(expected, () => printed);
        } else if (text.includes('systemctl restart')) {
            await cluster.restart();
            await waitFor('the hub', async () => (await cluster.pids('rtd hub')).length);
        } else {
            assert.match(text, /^sudo apt install [\w -]+\nmake && sudo make install\nsudo -u postgres psql\n$/);
        }
    assert.match(expected, /say hello/);
    assert.doesNotMatch(notices, /WARNING|ERROR/);
    assert.equal(await cluster.value('SHOW shared_preload_libraries'), 'auto_explain, rtd', 'nothing was thrown away');
});

describe('the command that adds rtd to shared_preload_libraries', () => {
    const [first] = blocksOf('README.md', 'Quick start').filter(({ language }) => language === 'sql');
    const command = first.text.slice(0, first.text.indexOf('\\gexec') + '\\gexec\n'.length);
    const cases: [given: string, becomes: string][] = [
        ['', 'rtd'],
        ['rtd', 'rtd'],
        ['auto_explain', 'auto_explain, rtd'],
        ['pg_stat_statements,auto_explain', 'pg_stat_statements, auto_explain, rtd'],
        ['"auto_explain", pg_stat_statements , rtd', 'auto_explain, pg_stat_statements, rtd'],
        ['$libdir/auto_explain', '"$libdir/auto_explain", rtd'],
        ['Mixed_Case', '"Mixed_Case", rtd'],
    ];
    const set = () =>
        cluster.value(`SELECT setting FROM pg_file_settings WHERE name = 'shared_preload_libraries' ORDER BY seqno DESC LIMIT 1`);
    for (const [given, becomes] of cases)
        test(`after '${given}', twice`, async () => {
            await psql('ALTER SYSTEM RESET shared_preload_libraries');
            cluster.configure({ shared_preload_libraries: given });
            await psql(command);
            assert.equal(await set(), becomes);
            await psql(command); // also what no restart has taken up yet is kept
            assert.equal(await set(), becomes);
        });
    after(async () => {
        cluster.configure({ shared_preload_libraries: 'auto_explain, rtd' });
        await psql('ALTER SYSTEM RESET shared_preload_libraries');
    });
});

test('the three kinds of topics send what is said of them', async () => {
    for (const { language, text } of blocksOf('README.md', 'Three kinds of topics')) if (language === 'sql') await psql(text);
    const first = async (topic: string) => {
        const { kind, data } = await (await Subscriber.open(cluster.url(topic))).next();
        return { kind, data };
    };
    assert.deepEqual(await first('todo-count'), { kind: 'snapshot', data: [{ todos: 1 }] });
    assert.deepEqual(await first('titles'), { kind: 'snapshot', data: [{ id: 1, title: 'SAY HELLO' }] });
    assert.deepEqual(await first('news'), { kind: 'event', data: { text: 'hello' } });
    const titles = await Subscriber.open(cluster.url('titles'));
    await titles.next();
    const count = await Subscriber.open(cluster.url('todo-count'));
    await count.next();
    await cluster.sql(`INSERT INTO todo VALUES (2, 'write')`);
    assert.deepEqual((await titles.next()).data, { upsert: [{ id: 2, title: 'WRITE' }], remove: [] });
    assert.deepEqual((await count.next()).data, [{ todos: 2 }]);
});

test('the script of the page resumes after the gateway was killed, backs off while nobody listens, and stops when it is refused', async () => {
    const [script] = blocksOf('README.md', 'In a page').filter(({ language }) => language === 'js');
    await cluster.sql('TRUNCATE todo');
    const browser = await chromium.launch({
        executablePath: process.env.CHROMIUM || '/usr/bin/chromium',
        chromiumSandbox: false, // it cannot be had as root or in a container, and only our own page is opened
        args: ['--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking', '--disable-dev-shm-usage'],
    });
    // The page comes from elsewhere, as pages do; /never-there has the script for a topic that is not.
    const site = http.createServer((request, response) => {
        const topic = request.url === '/never-there' ? '/ws/never-there' : '/ws/todo';
        const text = here(script.text).replace('/ws/todo', topic);
        response.writeHead(200, { 'Content-Type': 'text/html' }).end(`<!doctype html><head><script type="module">${text}</script></head><body></body>`);
    });
    await new Promise<void>((resolve) => site.listen(0, '127.0.0.1', resolve));
    const origin = `http://localhost:${(site.address() as AddressInfo).port}`;
    await cluster.reload({ 'rtd.allowed_origins': origin });
    try {
        const page = await browser.newPage();
        // How often the page asked for another turn: that is how it comes back.
        await page.addInitScript(`
            const real = window.setTimeout;
            window.timers = 0;
            window.setTimeout = (...args) => (window.timers++, real(...args))`);
        const timers = () => page.evaluate('window.timers');
        const sockets: string[] = [];
        page.on('websocket', (socket) => sockets.push(socket.url()));
        const logged: string[] = [];
        page.on('console', (message) => logged.push(message.text()));
        const errors: string[] = [];
        page.on('pageerror', (error) => errors.push(String(error)));
        await page.goto(origin);

        const expectRows = async () => {
            const rows = (await cluster.sql('SELECT to_jsonb(todo) AS row FROM todo')).map(({ row }) => JSON.stringify(row)).sort();
            let shown = '';
            await waitFor('the rows in the page', async () => {
                shown = await page.evaluate('document.body.textContent');
                return shown && JSON.stringify(JSON.parse(shown).map((row: unknown) => JSON.stringify(row)).sort()) === JSON.stringify(rows);
            }, { deadlineMs: 20_000 }).catch((error) => {
                throw new Error(`${error.message}: ${shown}; ${sockets.join()}; ${logged.join()}; ${errors.join()}`);
            });
        };
        await expectRows();
        await cluster.sql(`INSERT INTO todo SELECT n, 'todo ' || n FROM generate_series(1, 5) n`);
        await expectRows();

        process.kill(await cluster.gatewayPid(), 'SIGKILL');
        await cluster.sql(`DELETE FROM todo WHERE id = 1; UPDATE todo SET title = 'while it was gone' WHERE id = 2`);
        await expectRows();
        await cluster.sql(`INSERT INTO todo VALUES (6, 'after')`);
        await expectRows();
        assert.match(sockets.at(-1)!, /\?since=\d+-\d+$/, 'it named what it had');

        // A broadcast is no row.
        await cluster.sql(`SELECT rtd_broadcast('todo', '{"text": "hello"}')`);
        await waitFor('the broadcast', () => logged.length > 0);
        await expectRows();

        const before = sockets.length;
        await cluster.restart();
        await cluster.ready();
        await cluster.sql('DELETE FROM todo WHERE id = 3');
        await expectRows();
        assert.ok(sockets.length - before <= 12, `${sockets.length - before} attempts`);

        assert.ok(Number(await timers()) > 0, 'it came back by itself');
        for (const [code, refuse] of [
            [4410, () => cluster.sql(`SELECT rtd_drop_topic('todo')`)],
            [4404, () => page.goto(`${origin}/never-there`)],
        ] as const) {
            const wanted = code === 4404 ? 0 : await timers();
            await refuse();
            await waitFor('the refusal', () => logged.some((line) => line.startsWith(`${code} `)));
            assert.equal(await timers(), wanted, `it does not ask again after ${code}`);
        }
        assert.deepEqual(errors, []);
    } finally {
        await browser.close();
        site.close();
    }
});

describe('the SQL of the documents runs as it is', () => {
    for (const [file, preparation] of [
        ['docs/TOPICS.md', ''],
        ['docs/SQL.md', 'CREATE TABLE todo (id int PRIMARY KEY, title text, done boolean);'],
    ])
        test(file, async () => {
            const blocks = blocksOf(file).filter(({ language }) => language === 'sql');
            assert.ok(blocks.length > 0);
            const database = path.basename(file, '.md').toLowerCase();
            await cluster.sql(`CREATE DATABASE ${database}`);
            await psql(`CREATE EXTENSION rtd; ${preparation}\n${blocks.map(({ text }) => text).join('\n')}`, database);
        });
});
