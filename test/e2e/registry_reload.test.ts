// What the hub reads when topics, grants and roles change: only what is new, and yet all of it. A topic
// that a long transaction made is older than those that were committed before it; one that was dropped
// and made anew in one transaction leaves as many as there were.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Connection } from '../lib/cluster';
import { firstAnswer } from '../lib/first_answer';
import { createTopic, subscribe, useCluster } from '../lib/harness';
import { newSeed, Random } from '../lib/random';
import { within } from '../lib/wait';

const use = useCluster(
    { settings: { shared_preload_libraries: 'rtd,pg_stat_statements', 'pg_stat_statements.track': 'all', max_prepared_transactions: 1 } },
    (cluster) => cluster.sql('CREATE EXTENSION pg_stat_statements'),
);

const unknownTopic = 4404;
const forbidden = 4403;

/** Rows of topics and grants that the hub's statements gave. */
const rowsRead = async () =>
    Number(await use.cluster.value(
        `SELECT coalesce(sum(rows), 0) FROM pg_stat_statements
         WHERE query ~ '\\.rtd_topic(_grant)?\\M' AND query ~ '^SELECT (name|topic)' AND query !~ 'pg_stat_statements'`));

test('a topic, a grant or a role among many costs the hub that one', async () => {
    const count = 300;
    await use.cluster.sql(
        `SELECT rtd_create_topic('many-' || n, query => 'SELECT ' || n || ' AS n', parameters => '{a,b}')
         FROM generate_series(1, ${count}) n`);
    await use.cluster.sql(`SELECT rtd_grant('many-' || n, 'web_anon') FROM generate_series(1, ${count}) n`);
    assert.ok((await firstAnswer(use.cluster, '/ws/<topic>', 'many-1', ['1', '2'])).message);

    const changes = {
        'a new topic': `SELECT rtd_create_topic('one-more', query => 'SELECT 1 AS n')`,
        'a grant': `SELECT rtd_grant('one-more', 'web_anon')`,
        'an altered topic': `SELECT rtd_alter_topic('many-7', throttle => '2 s')`,
        'a role': `CREATE ROLE bystander`,
        'a member': `GRANT bystander TO web_anon`,
    };
    for (const [what, statement] of Object.entries(changes)) {
        await use.cluster.sql('SELECT pg_stat_statements_reset()');
        await use.cluster.sql(statement);
        // Asked after the change was committed: the hub has followed it when it answers.
        assert.ok((await firstAnswer(use.cluster, '/ws/<topic>', 'many-1', ['1', '2'])).message, what);
        const read = await rowsRead();
        assert.ok(read < 20, `${what}: ${read} rows`);
    }
    assert.ok((await firstAnswer(use.cluster, '/ws/<topic>', 'one-more')).message, 'the grant is followed');
    await use.cluster.sql(`DROP ROLE bystander`);
});

// A naive model of what a newcomer is told: the number that the topic's query gives, or why not.
type Told = number | typeof unknownTopic | typeof forbidden;

class Model {
    topics = new Map<string, { number: number; granted: boolean }>();
    told(name: string): Told {
        const topic = this.topics.get(name);
        return topic ? (topic.granted ? topic.number : forbidden) : unknownTopic;
    }
}

type Step = { sql: string; change: (model: Model) => void };

function step(random: Random, name: string, model: Model, serial: number): Step {
    const query = `'SELECT ${serial} AS n'`;
    const create: Step = {
        sql: `SELECT rtd_create_topic('${name}', query => ${query})`,
        change: ({ topics }) => topics.set(name, { number: serial, granted: false }),
    };
    const drop: Step = { sql: `SELECT rtd_drop_topic('${name}')`, change: ({ topics }) => topics.delete(name) };
    const grant = (verb: 'grant' | 'revoke'): Step => ({
        sql: `SELECT rtd_${verb}('${name}', 'web_anon')`,
        change: ({ topics }) => (topics.get(name)!.granted = verb === 'grant'),
    });
    const alter: Step = {
        sql: `SELECT rtd_alter_topic('${name}', query => ${query})`,
        change: ({ topics }) => (topics.get(name)!.number = serial),
    };
    if (!model.topics.has(name)) return create;
    const anew: Step = { sql: `${drop.sql}; ${create.sql}`, change: (m) => { drop.change(m); create.change(m); } };
    return random.pick([drop, anew, alter, alter, grant('grant'), grant('grant'), grant('revoke')]);
}

test('whatever is changed, and however it is committed, the next answer is of all of it', async () => {
    const seed = newSeed();
    const random = new Random(seed);
    const model = new Model();
    const names = ['a', 'b', 'c', 'd', 'e', 'f'].map((letter) => `followed-${letter}`);
    const sessions: Connection[] = [];
    for (let n = 0; n < 3; n++) sessions.push(await use.cluster.connect());
    // Of each session: the topics that its open transaction changed, which nobody else changes meanwhile.
    const open: { names: string[]; changes: Step['change'][] }[] = sessions.map(() => ({ names: [], changes: [] }));
    for (let turn = 0; turn < 120; turn++) {
        const n = random.between(0, sessions.length - 1);
        const [session, transaction] = [sessions[n], open[n]];
        if (transaction.names.length === 0) await session.query('BEGIN; SELECT pg_current_xact_id()');
        const free = names.filter((name) => open.every((other, i) => i === n || !other.names.includes(name)));
        const name = random.pick(free.length > 0 ? free : transaction.names);
        const seen = new Model(); // what this transaction sees
        for (const [topic, state] of model.topics) seen.topics.set(topic, { ...state });
        for (const change of transaction.changes) change(seen);
        const { sql, change } = step(random, name, seen, turn + 1);
        const savepoint = random.between(0, 2);
        await session.query(savepoint > 0 ? `SAVEPOINT s; ${sql}; ${savepoint === 1 ? 'RELEASE s' : 'ROLLBACK TO s'}` : sql);
        transaction.names.push(name);
        if (savepoint < 2) transaction.changes.push(change);
        if (random.between(0, 1) === 0) continue;
        const commits = random.between(0, 4) > 0;
        await session.query(commits ? 'COMMIT' : 'ROLLBACK');
        if (commits) for (const made of transaction.changes) made(model);
        open[n] = { names: [], changes: [] };
        for (const topic of names) {
            const answer = await firstAnswer(use.cluster, '/ws/<topic>', topic);
            const told = answer.message ? answer.message.data[0].n : answer.code;
            assert.equal(told, model.told(topic), `seed ${seed}, turn ${turn}, ${topic}: ${JSON.stringify(answer)}`);
        }
    }
    for (const session of sessions) await use.cluster.release(session);
});

// Nothing else is written meanwhile: the hub is woken by the command alone. It sleeps for 15 seconds otherwise.
const waysToLose: Record<string, string[]> = {
    'its membership': ['REVOKE readers FROM web_anon'],
    'its membership, within savepoints': ['BEGIN', 'SAVEPOINT s', 'REVOKE readers FROM web_anon', 'RELEASE s', 'COMMIT'],
    'its membership, prepared': ['BEGIN', 'REVOKE readers FROM web_anon', `PREPARE TRANSACTION 'p'`, `COMMIT PREPARED 'p'`],
    // From PostgreSQL 16 each membership says whether it inherits.
    'its inheritance': [`DO $$ BEGIN
        IF current_setting('server_version_num')::int < 160000 THEN ALTER ROLE web_anon NOINHERIT;
        ELSE EXECUTE 'GRANT readers TO web_anon WITH INHERIT FALSE'; END IF; END $$`],
    'the role between': ['DROP ROLE readers'],
};

for (const [what, statements] of Object.entries(waysToLose)) {
    for (const database of [undefined, 'postgres']) {
        test(`a role that loses ${what} loses its subscription at once, by ${database ?? 'the database that is served'}`, async () => {
            await use.cluster.sql(`CREATE ROLE readers; CREATE ROLE above; GRANT above TO readers; GRANT readers TO web_anon`);
            await use.cluster.sql(`SELECT rtd_create_topic('by-role', query => 'SELECT 1 AS n'); SELECT rtd_grant('by-role', 'above')`);
            await createTopic(use.cluster, 'for-all', `query => 'SELECT 2 AS n'`);
            const client = await subscribe(use.cluster, 'by-role');
            const other = await subscribe(use.cluster, 'for-all');
            await client.next();
            await other.next();
            const session = await use.cluster.connect({ database });
            for (const statement of statements) await session.query(statement);
            assert.equal((await within('the end of the subscription', client.closed, 5000)).code, forbidden);
            await use.cluster.sql(`SELECT rtd_alter_topic('for-all', query => 'SELECT 3 AS n')`);
            assert.deepEqual((await other.next()).data, [{ n: 3 }]);
            await use.cluster.release(session);
            await use.cluster.sql(`
                SELECT rtd_drop_topic('by-role'), rtd_drop_topic('for-all');
                ALTER ROLE web_anon INHERIT; DROP ROLE IF EXISTS readers; DROP ROLE above`);
        });
    }
}
