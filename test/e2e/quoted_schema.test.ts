// The extension in a schema whose name has everything that needs quotes: each kind of topic works, a
// client publishes, a dump is restored.

import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { afterEach, test } from 'node:test';
import { escapeIdentifier, escapeLiteral } from 'pg';
import { asServer, bindir } from '../lib/cluster';
import { createTopic, subscribe, useCluster } from '../lib/harness';
import { closeMultiplexed, Multiplexed } from '../lib/multiplexed';
import { waitFor } from '../lib/wait';

const name = `it's "My" \\Sch$ma@.`;
const schema = escapeIdentifier(name);
const use = useCluster({ install: false }, async (cluster) => {
    const admin = await cluster.connect({ database: 'postgres' });
    await admin.query('CREATE DATABASE app');
    await admin.query('CREATE ROLE web_anon NOLOGIN');
    for (const role of ['postgres', 'web_anon']) await admin.query(`ALTER ROLE ${role} IN DATABASE app SET search_path = public, ${schema}`);
    await cluster.release(admin);
    await cluster.sql(`CREATE SCHEMA ${schema}; CREATE EXTENSION rtd SCHEMA ${schema}; GRANT USAGE ON SCHEMA ${schema} TO web_anon`);
    await cluster.ready();
});
afterEach(closeMultiplexed);

test('topics of each kind send what a watched table got', async () => {
    const { cluster } = use;
    await cluster.sql(`CREATE TABLE ${schema}.thing (id int PRIMARY KEY, name text)`);
    await createTopic(cluster, 'thing', 'durable => true');
    await createTopic(cluster, 'things', `query => 'SELECT count(*) AS n FROM thing', throttle => '0'`);
    await createTopic(cluster, 'rows', `query => 'SELECT * FROM thing', key => '{id}'`);
    await cluster.sql(`SELECT rtd_watch_table('thing', audit => true), rtd_watch_table('thing', 'things'), rtd_watch_table('thing', 'rows')`);
    const [event, state, keyed] = [await subscribe(cluster, 'thing'), await subscribe(cluster, 'things'), await subscribe(cluster, 'rows')];
    assert.deepEqual((await state.next()).data, [{ n: 0 }]);
    assert.equal((await keyed.next()).kind, 'snapshot');
    await cluster.sql(`INSERT INTO thing VALUES (1, 'one')`);
    assert.equal((await event.next()).data.id, 1);
    assert.deepEqual((await state.next()).data, [{ n: 1 }]);
    assert.equal((await keyed.next()).kind, 'delta');
    assert.deepEqual(await cluster.sql('SELECT topic, enabled, problem FROM rtd_watched_tables ORDER BY topic'), [
        { topic: 'rows', enabled: true, problem: null },
        { topic: 'thing', enabled: true, problem: null },
        { topic: 'things', enabled: true, problem: null },
    ]);
    assert.deepEqual(await cluster.sql('SELECT name, has_source, problem FROM rtd_topics ORDER BY name'), [
        { name: 'rows', has_source: true, problem: null },
        { name: 'thing', has_source: true, problem: null },
        { name: 'things', has_source: true, problem: null },
    ]);
});

test('a client publishes, and a message is retained', async () => {
    const { cluster } = use;
    await createTopic(cluster, 'said');
    await cluster.sql(`SELECT rtd_grant('said', 'web_anon', 'publish')`);
    const client = await Multiplexed.open(cluster);
    const answer = await client.ask({ action: 'publish', topic: 'said', data: { n: 1 } });
    assert.equal(answer.type, 'rtd_published', answer.text);
    await waitFor('the message to be stored', async () => (await cluster.value('SELECT count(*)::int FROM rtd_retained')) === 1);
    const late = await subscribe(cluster, 'said');
    assert.deepEqual((await late.next()).data, { n: 1 });
});

test('DDL, roles and owners are followed', async () => {
    const { cluster } = use;
    await cluster.sql(`ALTER TABLE thing RENAME name TO label`);
    await cluster.sql(`CREATE ROLE keeper; GRANT USAGE ON SCHEMA ${schema} TO keeper; GRANT SELECT ON thing TO keeper;
        GRANT CREATE ON DATABASE app TO keeper; SELECT rtd_alter_topic('things', owner => 'keeper');
        REASSIGN OWNED BY keeper TO postgres; DROP OWNED BY keeper; DROP ROLE keeper`);
    assert.deepEqual(await cluster.sql(`SELECT owner::text, problem FROM rtd_topics WHERE name = 'things'`), [{ owner: 'postgres', problem: null }]);
    await cluster.sql(`CREATE TABLE ${schema}.served (id int PRIMARY KEY); SELECT rtd_serve_table('served', 'web_anon')`);
    const client = await subscribe(cluster, 'served');
    await client.next();
});

test('a dump is restored, also over what is there', async () => {
    const { cluster } = use;
    const admin = await cluster.connect({ database: 'postgres' });
    await admin.query('CREATE DATABASE copy');
    await cluster.release(admin);
    const run = (command: string, args: string[], input?: string) =>
        execFileSync(...asServer(`${bindir}/${command}`, ['-h', cluster.dir, '-U', 'postgres', ...args]), { input, encoding: 'utf8', cwd: '/', stdio: ['pipe', 'pipe', 'pipe'] });
    const restore = (args: string[]) => run('psql', ['-Xq', '-v', 'ON_ERROR_STOP=1', '-d', 'copy'], run('pg_dump', [...args, 'app']));
    restore([]);
    restore(['--data-only', `--table=*.rtd_*`, '-e', 'rtd']);
    const copy = await cluster.connect({ database: 'copy' });
    const topics = `SELECT name, kind, query FROM ${schema}.rtd_topics ORDER BY name`;
    assert.deepEqual((await copy.query(topics)).rows, await cluster.sql(topics));
    await copy.query(`INSERT INTO ${schema}.thing VALUES (2, 'two')`);
    assert.deepEqual((await copy.query(`SELECT id::int, key FROM ${schema}.rtd_audit_log ORDER BY id`)).rows, [
        { id: 1, key: { id: 1 } },
        { id: 2, key: { id: 2 } },
    ]);
});

test('the extension stays where it was made', async () => {
    await assert.rejects(use.cluster.sql('ALTER EXTENSION rtd SET SCHEMA public'), /extension "rtd" does not support SET SCHEMA/);
    await use.cluster.sql(`ALTER SCHEMA ${schema} RENAME TO elsewhere`);
    await use.cluster.sql(`ALTER ROLE postgres IN DATABASE app SET search_path = public, elsewhere`);
    await use.cluster.closeConnections();
    await use.cluster.ready();
    const client = await subscribe(use.cluster, 'thing');
    await use.cluster.sql(`INSERT INTO thing VALUES (3, ${escapeLiteral(name)})`);
    assert.equal((await client.next(({ data }) => data.id === 3)).data.id, 3);
});
