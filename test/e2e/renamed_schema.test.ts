// The schema of the extension gets another name. pg_dump chooses rtd's rows by conditions in the catalog that name
// the schema, and failed for the whole database: nobody could make a backup.

import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { test } from 'node:test';
import { bindir } from '../lib/cluster';
import { subscribe, useCluster } from '../lib/harness';

const use = useCluster();
const sql = (text: string) => use.cluster.sql(text);

async function dump(): Promise<string> {
    const [{ folder, port, name }] = await use.cluster.sql<any>(
        `SELECT split_part(current_setting('unix_socket_directories'), ',', 1) AS folder, current_setting('port') AS port, current_database() AS name`,
    );
    return execFileSync(`${bindir}/pg_dump`, ['-h', folder, '-p', port, '-U', 'postgres', name], { encoding: 'utf8' });
}

const conditions = async () =>
    use.cluster.value<string>(`SELECT array_to_string(extcondition, ' ') FROM pg_extension WHERE extname = 'rtd'`);

for (const name of ['other', 'Quoted "Name"', "apostrophe's"])
    test(`a database whose extension is in a schema that is now ${name} is dumped, and served`, async () => {
        const quoted = `"${name.replace(/"/g, '""')}"`;
        const schema = await use.cluster.value<string>(`SELECT quote_ident(nspname) FROM pg_namespace n JOIN pg_extension e ON extnamespace = n.oid WHERE extname = 'rtd'`);
        const topic = `topic-${name.toLowerCase().replace(/[^a-z]+/g, '-').replace(/-$/, '')}`;
        await sql(`SELECT ${schema}.rtd_create_topic('${topic}'); SELECT ${schema}.rtd_grant('${topic}', 'web_anon')`);
        await sql(`ALTER SCHEMA ${schema} RENAME TO ${quoted}`);
        const text = await dump();
        assert.match(text, new RegExp(`^${topic}\t`, 'm'));
        await sql(`SET search_path TO ${quoted}, public`);
        const client = await subscribe(use.cluster, topic);
        await sql(`SELECT rtd_broadcast('${topic}', '1')`);
        assert.equal((await client.next()).data, 1);
        await sql('RESET search_path');
        // What is rolled back leaves the former name.
        const before = await conditions();
        await sql(`BEGIN; ALTER SCHEMA ${quoted} RENAME TO gone; ROLLBACK`);
        await sql(`BEGIN; SAVEPOINT s; ALTER SCHEMA ${quoted} RENAME TO gone; ROLLBACK TO s; COMMIT`);
        await sql(`BEGIN; ALTER SCHEMA ${quoted} RENAME TO once; ALTER SCHEMA once RENAME TO ${quoted}; COMMIT`);
        assert.equal(await conditions(), before);
    });
