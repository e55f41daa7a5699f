// security => 'invoker': a topic's query runs as the role of each subscriber, so that row-level security
// decides. Nobody signs in yet: the role is the rtd.anonymous_role at the time of the subscription.

import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { createTopic, subscribe, useCluster } from '../lib/harness';
import { Subscriber } from '../lib/subscriber';
import { waitFor, within } from '../lib/wait';

// One query worker, so that all roles take turns in one process, with one plan for each topic.
const use = useCluster({ settings: { 'rtd.query_workers': 1 } }, (cluster) =>
    cluster.sql(`
        CREATE ROLE alice;
        CREATE ROLE bob;
        SELECT rtd_create_topic('whoami', query => 'SELECT current_user::text AS role, 1 AS n', security => 'invoker');
        SELECT rtd_grant('whoami', 'alice'), rtd_grant('whoami', 'bob')`),
);

async function invokerTopic(name: string, query: string, options = `throttle => '0'`) {
    await use.cluster.sql(`SELECT rtd_create_topic('${name}', query => $$${query}$$, security => 'invoker', ${options})`);
    for (const role of ['alice', 'bob']) await use.cluster.sql(`SELECT rtd_grant('${name}', '${role}')`);
}

/** The first message, or undefined if the connection was closed instead. */
const firstOrClosed = async (client: Subscriber) => {
    const isClosed = () => client.socket.readyState === client.socket.CLOSED;
    await waitFor('a message or the close', () => client.messages.length > 0 || isClosed());
    return client.messages.at(0);
};

/** Clients that connect from here on have this role. */
async function become(role: string) {
    await use.cluster.reload({ 'rtd.anonymous_role': role });
    await waitFor(`the role ${role}`, async () => {
        const client = await Subscriber.open(use.cluster.url('whoami'));
        const seen = await firstOrClosed(client);
        client.socket.terminate();
        return seen?.data[0].role === role;
    });
}

async function subscribeAs(role: string, topic: string, ...params: string[]) {
    await become(role);
    return subscribe(use.cluster, topic, ...params);
}

/** A table of which each role sees the rows that the policy gives it, and its topic. */
async function privateTable(table: string, policy: string) {
    await use.cluster.sql(`
        CREATE TABLE ${table} (id int PRIMARY KEY, reader text, body text);
        ALTER TABLE ${table} ENABLE ROW LEVEL SECURITY;
        CREATE POLICY own ON ${table} USING (${policy});
        GRANT SELECT ON ${table} TO alice, bob;
        INSERT INTO ${table} VALUES (1, 'alice', 'secret of alice'), (2, 'bob', 'secret of bob')`);
    await invokerTopic(table.replace(/_/g, '-'), `SELECT id, body FROM ${table} ORDER BY id`);
    await use.cluster.sql(`SELECT rtd_watch_table('${table}')`);
    return table.replace(/_/g, '-');
}

const ids = async (client: Subscriber) => (await client.next()).data.map((row: any) => row.id);

describe('row-level security decides what each role is sent', () => {
    const policies = {
        'on current_user': 'reader = current_user',
        'on the claims': `reader = current_setting('request.jwt.claims', true)::jsonb ->> 'role'`,
    };
    for (const [index, [name, policy]] of Object.entries(policies).entries())
        test(`with a policy ${name}: INSERT, UPDATE that moves a row out of sight, DELETE, TRUNCATE`, async () => {
            const table = `private_${index}`;
            const topic = await privateTable(table, policy);
            const alice = await subscribeAs('alice', topic);
            const bob = await subscribeAs('bob', topic);
            assert.deepEqual([await ids(alice), await ids(bob)], [[1], [2]]);
            const write = (sql: string) => use.cluster.sql(sql);

            await write(`INSERT INTO ${table} VALUES (3, 'alice', 'another secret of alice')`);
            assert.deepEqual(await ids(alice), [1, 3]);
            await write(`UPDATE ${table} SET reader = 'bob', body = 'given to bob' WHERE id = 3`);
            assert.deepEqual(await ids(alice), [1]);
            assert.deepEqual(await ids(bob), [2, 3]);
            await write(`UPDATE ${table} SET body = 'changed secret of bob' WHERE id = 3`);
            assert.deepEqual(await ids(bob), [2, 3]);
            await write(`DELETE FROM ${table} WHERE id = 1`);
            assert.deepEqual(await ids(alice), []);
            await write(`DELETE FROM ${table} WHERE id = 3`);
            assert.deepEqual(await ids(bob), [2]);
            await write(`TRUNCATE ${table}`);
            assert.deepEqual(await ids(bob), []);

            // Nothing came besides, and nothing of the other ever.
            assert.deepEqual([alice.messages.length, bob.messages.length], [4, 5]);
            assert.ok(!/bob/.test(alice.texts.join()), alice.texts.join('\n'));
            assert.ok(!/alice/.test(bob.texts.join()), bob.texts.join('\n'));
        });

    test('two roles that take turns in one query worker never get the plan of the other', async () => {
        const topic = await privateTable('turns', 'reader = current_user');
        const alice = await subscribeAs('alice', topic);
        const bob = await subscribeAs('bob', topic);
        await Promise.all([alice.next(), bob.next()]);
        assert.equal((await use.cluster.pids('rtd query')).length, 1);
        for (let n = 0; n < 20; n++) {
            await use.cluster.sql(`UPDATE turns SET body = reader || ' ${n}'`);
            const isLast = ({ data }: any) => data[0].body.endsWith(` ${n}`);
            assert.deepEqual((await alice.next(isLast)).data, [{ id: 1, body: `alice ${n}` }]);
            assert.deepEqual((await bob.next(isLast)).data, [{ id: 2, body: `bob ${n}` }]);
        }
    });

    test('a policy that changes is in force for those connected at the next change', async () => {
        const topic = await privateTable('repoliced', 'reader = current_user');
        const alice = await subscribeAs('alice', topic);
        assert.deepEqual(await ids(alice), [1]);
        await use.cluster.sql('ALTER POLICY own ON repoliced USING (id = 2)');
        await use.cluster.sql(`UPDATE repoliced SET body = 'public' WHERE id = 2`);
        assert.deepEqual((await alice.next(({ data }) => data[0]?.body === 'public')).data, [{ id: 2, body: 'public' }]);
    });
});

describe('identity', () => {
    test('clients of one role share an instance, those of another have their own', async () => {
        await invokerTopic('shared', 'SELECT current_user::text AS role, 1 AS n');
        const first = await subscribeAs('alice', 'shared');
        const second = await subscribe(use.cluster, 'shared');
        const other = await subscribeAs('bob', 'shared');
        const [a, b, c] = [await first.next(), await second.next(), await other.next()];
        assert.deepEqual(a, b, 'one message, with one id');
        assert.deepEqual([a.data[0].role, c.data[0].role], ['alice', 'bob']);
        assert.notEqual(a.id.split('-')[0], c.id.split('-')[0], 'numbered apart');
    });

    test('a subscription keeps its role when rtd.anonymous_role changes, also to nobody', async () => {
        const topic = await privateTable('kept', 'reader = current_user');
        const alice = await subscribeAs('alice', topic);
        assert.deepEqual(await ids(alice), [1]);
        await become('bob');
        await use.cluster.sql(`INSERT INTO kept VALUES (3, 'alice', '')`);
        assert.deepEqual(await ids(alice), [1, 3]);
        await use.cluster.reload({ 'rtd.anonymous_role': '' });
        await waitFor('new clients to be refused', async () => {
            const client = await Subscriber.open(use.cluster.url(topic));
            if (await firstOrClosed(client)) return client.socket.terminate();
            return (await client.closed).code === 4401;
        });
        await use.cluster.sql(`INSERT INTO kept VALUES (4, 'alice', '')`);
        assert.deepEqual(await ids(alice), [1, 3, 4]);
    });

    test('a subscription ends when its own role loses the grant, and no other', async () => {
        const topic = await privateTable('revoked', 'reader = current_user');
        const alice = await subscribeAs('alice', topic);
        const bob = await subscribeAs('bob', topic);
        await Promise.all([alice.next(), bob.next()]);
        await use.cluster.sql(`SELECT rtd_revoke('${topic}', 'alice')`);
        assert.deepEqual(await within('the close', alice.closed), {
            code: 4403,
            reason: `role "alice" may not subscribe to topic "${topic}"`,
        });
        await use.cluster.sql(`INSERT INTO revoked VALUES (3, 'bob', '')`);
        assert.deepEqual(await ids(bob), [2, 3]);
    });

    test('with definer all roles share one instance that runs as the owner, without claims', async () => {
        await use.cluster.sql(`
            SELECT rtd_create_topic('for-all', query => $$
                SELECT current_user::text AS role, current_setting('request.jwt.claims', true) AS claims$$);
            SELECT rtd_grant('for-all', 'alice'), rtd_grant('for-all', 'bob')`);
        const alice = await subscribeAs('alice', 'for-all');
        const bob = await subscribeAs('bob', 'for-all');
        const message = await alice.next();
        assert.deepEqual(message.data, [{ role: 'postgres', claims: '' }]);
        assert.deepEqual(await bob.next(), message);
    });

    test('a topic that becomes an invoker topic closes those who had the owner\'s view', async () => {
        await createTopic(use.cluster, 'tightened', `query => 'SELECT current_user::text AS role, 1 AS n'`);
        await use.cluster.sql(`SELECT rtd_grant('tightened', 'alice')`);
        const client = await subscribeAs('alice', 'tightened');
        assert.equal((await client.next()).data[0].role, 'postgres');
        await use.cluster.sql(`SELECT rtd_alter_topic('tightened', security => 'invoker')`);
        assert.equal((await within('the close', client.closed)).code, 4502);
        const again = await subscribe(use.cluster, 'tightened');
        assert.equal((await again.next()).data[0].role, 'alice');
    });
});

describe('what a role may not do', () => {
    test('a role without SELECT is refused with the sentence of the server, at once or when it loses it', async () => {
        await use.cluster.sql(`
            CREATE TABLE locked (id int PRIMARY KEY);
            GRANT SELECT ON locked TO alice`);
        await invokerTopic('locked', 'SELECT id FROM locked');
        await use.cluster.sql(`SELECT rtd_watch_table('locked')`);
        const denied = { code: 4403, reason: 'permission denied for table locked (SQLSTATE 42501)' };
        const alice = await subscribeAs('alice', 'locked');
        assert.deepEqual(await ids(alice), []);
        await become('bob');
        const bob = await Subscriber.open(use.cluster.url('locked'));
        assert.deepEqual(await within('the close', bob.closed), denied);
        await use.cluster.sql('REVOKE SELECT ON locked FROM alice; INSERT INTO locked VALUES (1)');
        assert.deepEqual(await within('the close', alice.closed), denied);
        assert.equal(alice.messages.length, 1);
        assert.equal(bob.messages.length, 0);
    });

    test('the query can neither change its role nor write, and is not led to tables of the subscriber', async () => {
        await use.cluster.sql(`
            CREATE SCHEMA alice AUTHORIZATION alice;
            CREATE TABLE alice.lure (id int);
            INSERT INTO alice.lure VALUES (666);
            CREATE TABLE lure (id int);
            GRANT SELECT ON lure TO alice;
            CREATE FUNCTION escape() RETURNS int LANGUAGE plpgsql AS $$
            BEGIN PERFORM set_config('role', 'postgres', true); RETURN 1; END $$;
            CREATE FUNCTION scribble() RETURNS int LANGUAGE plpgsql AS $$
            BEGIN INSERT INTO alice.lure VALUES (1); RETURN 1; END $$`);
        await invokerTopic('led-astray', 'SELECT id FROM lure');
        await invokerTopic('escaping', 'SELECT escape() AS n, 1 AS one');
        await invokerTopic('scribbling', 'SELECT scribble() AS n, 1 AS one');
        const client = await subscribeAs('alice', 'led-astray');
        assert.deepEqual((await client.next()).data, [], 'the table of public, as for the owner');
        const escaping = await Subscriber.open(use.cluster.url('escaping'));
        assert.match((await within('the close', escaping.closed)).reason, /cannot set parameter "role" within security-/);
        const position = use.cluster.logPosition();
        await Subscriber.open(use.cluster.url('scribbling'));
        await use.cluster.waitForLog(/cannot execute INSERT in a read-only transaction .*topic "scribbling"/, position);
    });
});
