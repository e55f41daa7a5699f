// The first users' tables, topics and messages (demo/tables.sql, demo/topics.sql), to the letter.

import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { loadDemo } from '../lib/demo';
import { createTopic, expectMessage, subscribe, useCluster } from '../lib/harness';
import { isoTimestamp, Subscriber } from '../lib/subscriber';
import { waitFor } from '../lib/wait';

const use = useCluster({}, loadDemo);

/** Every notification on a channel, parsed. */
async function listen(channel: string) {
    const connection = await use.cluster.connect();
    const payloads: any[] = [];
    connection.on('notification', (notification) => payloads.push(JSON.parse(notification.payload!)));
    await connection.query(`LISTEN ${channel}`);
    return payloads;
}

function expectPayload(payload: any, expected: object) {
    const { timestamp, ...rest } = payload;
    assert.match(timestamp, isoTimestamp);
    assert.deepEqual(rest, expected);
}

describe('a watched table', () => {
    const tables = [
        {
            table: 'planned_features',
            insert: `INSERT INTO planned_features (id, title) OVERRIDING SYSTEM VALUE VALUES (1001, 'Dark mode')`,
            update: `UPDATE planned_features SET status = 'completed' WHERE id = 1001`,
            remove: `DELETE FROM planned_features WHERE id = 1001`,
            key: { id: 1001 },
        },
        {
            table: 'pattern_review',
            insert: `INSERT INTO pattern_review (pattern_id, description) VALUES ('p-1', 'retry loop')`,
            update: `UPDATE pattern_review SET status = 'approved' WHERE pattern_id = 'p-1'`,
            remove: `DELETE FROM pattern_review WHERE pattern_id = 'p-1'`,
            key: { pattern_id: 'p-1' },
        },
        {
            table: 'workflow_history',
            insert: `INSERT INTO workflow_history (workflow_id) VALUES ('w-1')`,
            update: `UPDATE workflow_history SET status = 'failed' WHERE workflow_id = 'w-1'`,
            remove: `DELETE FROM workflow_history WHERE workflow_id = 'w-1'`,
            key: { workflow_id: 'w-1' },
        },
        {
            table: 'phase_queue',
            insert: `INSERT INTO phase_queue (queue_id, phase) VALUES ('q-1', 'plan')`,
            update: `UPDATE phase_queue SET status = 'running' WHERE queue_id = 'q-1'`,
            remove: `DELETE FROM phase_queue WHERE queue_id = 'q-1'`,
            key: { queue_id: 'q-1' },
        },
    ];

    for (const { table, insert, update, remove, key } of tables) {
        test(`${table} tells of INSERT, UPDATE and DELETE with its key, and notifies its channel`, async () => {
            const topic = `${table.replace(/_/g, '-')}-events`;
            await createTopic(use.cluster, topic);
            await use.cluster.sql(`SELECT rtd_watch_table('${table}', topic => '${topic}')`);
            const notified = await listen(`${table}_changed`);
            const client = await subscribe(use.cluster, topic);
            for (const [operation, statement] of Object.entries({ INSERT: insert, UPDATE: update, DELETE: remove })) {
                await use.cluster.sql(statement);
                expectPayload((await client.next()).data, { operation, ...key });
                const payload = await waitFor('a notification', () => notified.shift());
                assert.equal(payload.operation, operation);
                assert.deepEqual({ ...payload, ...key }, payload);
                assert.match(payload.timestamp, isoTimestamp);
            }
        });
    }

    test('context_analysis carries its renamed key and its status, and only INSERT and UPDATE', async () => {
        await createTopic(use.cluster, 'context-analysis-events');
        await use.cluster.sql(`
            SELECT rtd_watch_table('context_analysis', topic => 'context-analysis-events',
                                   columns => '{id AS review_id,status}', operations => '{INSERT,UPDATE}')`);
        const client = await subscribe(use.cluster, 'context-analysis-events');
        await use.cluster.sql(`INSERT INTO context_analysis (id) VALUES (501)`);
        await use.cluster.sql(`UPDATE context_analysis SET status = 'analyzing' WHERE id = 501`);
        await use.cluster.sql(`DELETE FROM context_analysis WHERE id = 501`);
        await use.cluster.sql(`INSERT INTO context_analysis (id, status) VALUES (502, 'failed')`);
        expectPayload((await client.next()).data, { operation: 'INSERT', review_id: 501, status: 'pending' });
        expectPayload((await client.next()).data, { operation: 'UPDATE', review_id: 501, status: 'analyzing' });
        expectPayload((await client.next()).data, { operation: 'INSERT', review_id: 502, status: 'failed' });
    });

    test('four tables notify one channel, each with its name in the payload', async () => {
        const notified = await listen('generation_updates');
        const expectNext = async (expected: object) =>
            expectPayload(await waitFor('a notification', () => notified.shift()), expected);
        await use.cluster.sql(`INSERT INTO generation_sessions VALUES ('s-9', 'p-9')`);
        const session = { session_id: 's-9' };
        const project = { project_id: 'p-9' };
        await expectNext({ operation: 'INSERT', table: 'generation_sessions', ...session, ...project });
        await use.cluster.sql(`INSERT INTO generation_todos OVERRIDING SYSTEM VALUE VALUES (91, 's-9', 'Plan')`);
        await expectNext({ operation: 'INSERT', table: 'generation_todos', ...session, todo_id: 91 });
        await use.cluster.sql(`INSERT INTO generation_tool_calls OVERRIDING SYSTEM VALUE VALUES (92, 's-9', 'grep')`);
        await expectNext({ operation: 'INSERT', table: 'generation_tool_calls', ...session, call_id: 92 });
        await use.cluster.sql(`INSERT INTO generation_notes OVERRIDING SYSTEM VALUE VALUES (93, 'p-9', 's-9', 'n')`);
        await expectNext({ operation: 'INSERT', table: 'generation_notes', ...session, ...project, note_id: 93 });
        await use.cluster.sql(`UPDATE generation_todos SET done = true WHERE todo_id = 91`);
        await expectNext({ operation: 'UPDATE', table: 'generation_todos', ...session, todo_id: 91 });
        await use.cluster.sql(`DELETE FROM generation_todos WHERE todo_id = 91`);
        await expectNext({ operation: 'DELETE', table: 'generation_todos', ...session, todo_id: 91 });
    });

    test('TRUNCATE is told too', async () => {
        await use.cluster.sql('CREATE TABLE truncated (id int PRIMARY KEY)');
        await createTopic(use.cluster, 'truncated');
        await use.cluster.sql(`SELECT rtd_watch_table('truncated')`);
        const client = await subscribe(use.cluster, 'truncated');
        await use.cluster.sql('TRUNCATE truncated');
        assert.equal((await client.next()).data.operation, 'TRUNCATE');
    });

    test('a trigger that calls pg_notify already works unchanged through rtd_listen', async () => {
        await createTopic(use.cluster, 'legacy');
        await use.cluster.sql(`
            CREATE TABLE legacy (id int PRIMARY KEY, name text);
            CREATE FUNCTION legacy_notify() RETURNS trigger LANGUAGE plpgsql AS $$
            BEGIN
                PERFORM pg_notify('legacy_changed', json_build_object('operation', TG_OP, 'id', NEW.id)::text);
                RETURN NULL;
            END $$;
            CREATE TRIGGER legacy AFTER INSERT OR UPDATE ON legacy FOR EACH ROW EXECUTE FUNCTION legacy_notify();
            SELECT rtd_listen('legacy_changed', 'legacy')`);
        await use.cluster.waitForLog(/\[DB_LISTENER\] Listening on channel: legacy_changed/);
        const client = await subscribe(use.cluster, 'legacy');
        await use.cluster.sql(`INSERT INTO legacy VALUES (7, 'seven')`);
        expectMessage(await client.next(), {
            ...{ type: 'legacy_update', topic: 'legacy', params: [], source: 'event', kind: 'event' },
            data: { operation: 'INSERT', id: 7 },
        });
    });

    test('an unprivileged writer needs no grant of rtd', async () => {
        await use.cluster.sql(`
            CREATE ROLE clerk LOGIN;
            GRANT INSERT ON phase_queue TO clerk`);
        const client = await subscribe(use.cluster, 'queue');
        await client.next();
        const clerk = await use.cluster.connect({ user: 'clerk' });
        await clerk.query(`INSERT INTO phase_queue VALUES ('by-clerk', 'plan')`);
        const { data } = await client.next();
        assert.ok(data.some((row: any) => row.queue_id === 'by-clerk'));
        await use.cluster.sql(`DELETE FROM phase_queue WHERE queue_id = 'by-clerk'`);
    });

    test('numbers pass through unrounded', async () => {
        await use.cluster.sql(`
            INSERT INTO workflow_history (workflow_id, status, branch_name, plan_file, issue_class, current_cost)
            VALUES ('exact', 'failed', 'fix/1', 'plans/1.md', 'bug', 999999.1230)`);
        const client = await subscribe(use.cluster, 'workflow-history');
        const { data } = await client.next();
        const row = data.workflows.find((workflow: any) => workflow.workflow_id === 'exact');
        assert.equal(row.status, 'failed', 'failed workflows stay visible');
        assert.deepEqual([row.branch_name, row.plan_file, row.issue_class], ['fix/1', 'plans/1.md', 'bug']);
        assert.match(client.texts[0], /"current_cost": ?999999\.1230[,}]/);

        const pushed = await subscribe(use.cluster, 'routes');
        await use.cluster.sql(`SELECT rtd_broadcast('routes', '[12345678901234567890.12345678901234567890]')`);
        await pushed.next((message) => message.data.length === 1);
        assert.match(pushed.texts.at(-1)!, /12345678901234567890\.12345678901234567890/);
        await use.cluster.sql(`DELETE FROM workflow_history WHERE workflow_id = 'exact'`);
    });
});

describe('a state topic sends its state first and again after each change', () => {
    test('planned-features', async () => {
        await use.cluster.sql(`DELETE FROM planned_features`);
        await use.cluster.sql(`INSERT INTO planned_features (title) SELECT 'f' || n FROM generate_series(1, 210) n`);
        const envelope = { type: 'planned_features_update', topic: 'planned-features', params: [], kind: 'snapshot' };
        const client = await subscribe(use.cluster, 'planned-features');
        const first = await client.next();
        assert.equal(first.data.features.length, 200);
        expectMessage(first, { ...envelope, source: 'sync', data: first.data });
        assert.deepEqual(first.data.stats, { total: 210, in_progress: 0, completed: 0 });
        await use.cluster.sql(`DELETE FROM planned_features`);
        await use.cluster.sql(
            `INSERT INTO planned_features (id, title) OVERRIDING SYSTEM VALUE VALUES (9001, 'Undo')`,
        );
        expectMessage(await client.next((message) => message.data.stats.total === 1), {
            ...envelope,
            source: 'event',
            data: {
                features: [{ id: 9001, title: 'Undo', status: 'planned', priority: 0 }],
                stats: { total: 1, in_progress: 0, completed: 0 },
            },
        });
    });

    test('pattern-review', async () => {
        await use.cluster.sql(`DELETE FROM pattern_review`);
        const envelope = { type: 'pattern_review_update', topic: 'pattern-review', params: [], kind: 'snapshot' };
        const client = await subscribe(use.cluster, 'pattern-review');
        expectMessage(await client.next(), {
            ...envelope,
            source: 'sync',
            data: { patterns: [], stats: { pending: 0, approved: 0, rejected: 0 } },
        });
        await use.cluster.sql(`INSERT INTO pattern_review SELECT 'p' || n, 'seen', 'pending' FROM generate_series(10, 34) n`);
        const { data } = await client.next();
        assert.equal(data.patterns.length, 20);
        assert.deepEqual(data.patterns[0], { pattern_id: 'p10', description: 'seen', status: 'pending' });
        assert.deepEqual(data.stats, { pending: 25, approved: 0, rejected: 0 });
        await use.cluster.sql(`UPDATE pattern_review SET status = 'approved' WHERE pattern_id = 'p10'`);
        const after = await client.next();
        assert.equal(after.data.patterns[0].pattern_id, 'p11');
        assert.deepEqual(after.data.stats, { pending: 24, approved: 1, rejected: 0 });
    });

    test('workflow-history', async () => {
        await use.cluster.sql(`DELETE FROM workflow_history`);
        const client = await subscribe(use.cluster, 'workflow-history');
        const first = await client.next();
        assert.deepEqual(first.data, { workflows: [], total: 0 });
        await use.cluster.sql(`INSERT INTO workflow_history (workflow_id) SELECT 'w' || n FROM generate_series(1, 60) n`);
        const message = await client.next();
        assert.equal(message.type, 'workflow_history_update');
        assert.equal(message.data.workflows.length, 50);
        assert.equal(message.data.total, 60);
    });

    test('queue, by its table and by direct broadcasts', async () => {
        await use.cluster.sql(`DELETE FROM phase_queue`);
        const envelope = { type: 'queue_update', topic: 'queue', params: [] };
        const client = await subscribe(use.cluster, 'queue');
        expectMessage(await client.next(), { ...envelope, kind: 'snapshot', source: 'sync', data: [] });
        await use.cluster.sql(`INSERT INTO phase_queue VALUES ('i-1', 'plan', 'queued'), ('i-2', 'build', 'running')`);
        const rows = [
            { queue_id: 'i-1', phase: 'plan', status: 'queued' },
            { queue_id: 'i-2', phase: 'build', status: 'running' },
        ];
        expectMessage(await client.next(), { ...envelope, kind: 'snapshot', source: 'event', data: rows });
        await use.cluster.sql(`SELECT rtd_broadcast('queue', '[{"queue_id": "direct"}]')`);
        expectMessage(await client.next(), {
            ...{ ...envelope, kind: 'event', source: 'event', data: [{ queue_id: 'direct' }] },
        });
        await use.cluster.sql(`DELETE FROM phase_queue`);
        expectMessage(await client.next(), { ...envelope, kind: 'snapshot', source: 'event', data: [] });
    });

    test('context-analysis, one instance for each review', async () => {
        const envelope = { type: 'context_analysis_update', topic: 'context-analysis', kind: 'snapshot' };
        const client = await subscribe(use.cluster, 'context-analysis', '77');
        const other = await subscribe(use.cluster, 'context-analysis', '78');
        expectMessage(await client.next(), {
            ...{ ...envelope, params: ['77'], source: 'sync' },
            data: { review_id: '77', status: 'pending', timestamp: '' },
        });
        await other.next();
        for (const status of ['analyzing', 'completed', 'failed']) {
            await use.cluster.sql(
                `INSERT INTO context_analysis (id, status, updated_at) VALUES (77, $1, '2026-01-02 03:04:05.678+00')
                 ON CONFLICT (id) DO UPDATE SET status = excluded.status`,
                [status],
            );
            expectMessage(await client.next(), {
                ...{ ...envelope, params: ['77'], source: 'event' },
                data: { review_id: '77', status, timestamp: '2026-01-02T03:04:05.678000+00:00' },
            });
        }
        await use.cluster.sql(`INSERT INTO context_analysis (id, status) VALUES (78, 'analyzing')`);
        assert.equal((await other.next()).data.status, 'analyzing');
        assert.equal(client.unread, 0, 'a change of review 78 is none of review 77');

        const unknown = await subscribe(use.cluster, 'context-analysis', 'no such id');
        expectMessage(await unknown.next(), {
            ...{ ...envelope, params: ['no such id'], source: 'sync' },
            data: { review_id: 'no such id', status: 'pending', timestamp: '' },
        });
    });

    const generations = [
        { table: 'generation_sessions', key: 'session_id', knowsProject: true },
        { table: 'generation_todos', key: 'todo_id', knowsProject: false },
        { table: 'generation_tool_calls', key: 'call_id', knowsProject: false },
        { table: 'generation_notes', key: 'note_id', knowsProject: true },
    ];
    const insertGeneration: Record<string, (session: string) => string> = {
        generation_sessions: (session) => `INSERT INTO generation_sessions VALUES ('${session}', 'p-5') RETURNING session_id`,
        generation_todos: (session) => `INSERT INTO generation_todos (session_id, content) VALUES ('${session}', 'x') RETURNING todo_id`,
        generation_tool_calls: (session) => `INSERT INTO generation_tool_calls (session_id, tool) VALUES ('${session}', 'x') RETURNING call_id`,
        generation_notes: (session) => `INSERT INTO generation_notes (project_id, session_id, note) VALUES ('p-5', '${session}', 'x') RETURNING note_id`,
    };
    const updateGeneration: Record<string, string> = {
        generation_sessions: `status = 'done'`,
        generation_todos: 'done = true',
        generation_tool_calls: `tool = 'y'`,
        generation_notes: `note = 'y'`,
    };

    /** Everything an instance of generation-events was sent until now, as "operation table key". */
    async function heard(client: Subscriber, ...params: string[]) {
        await use.cluster.sql(`SELECT rtd_broadcast('generation-events', '"end"', $1)`, [params]);
        const events: string[] = [];
        await client.next(({ data }) => {
            if (data === 'end') return true;
            const { key } = generations.find(({ table }) => table === data.table)!;
            assert.ok(data.session_id);
            events.push(`${data.operation} ${data.table} ${data[key]}`);
            return false;
        });
        return events;
    }

    test('four tables, one topic: each INSERT, UPDATE and DELETE reaches its session and no other', async () => {
        await createTopic(use.cluster, 'generation-events', `parameters => '{project_id,session_id}', retain => false`);
        for (const { table, key, knowsProject } of generations)
            await use.cluster.sql(`
                SELECT rtd_watch_table('${table}', topic => 'generation-events',
                    columns => '{${key}${key === 'session_id' ? '' : ',session_id'},TABLE AS table}',
                    parameters => '{${knowsProject ? 'project_id' : 'NULL'},session_id}')`);
        await use.cluster.sql(`INSERT INTO generation_sessions VALUES ('s-52', 'p-5'), ('s-61', 'p-6')`);
        const [first, sibling, foreign] = [
            await subscribe(use.cluster, 'generation-events', 'p-5', 's-51'),
            await subscribe(use.cluster, 'generation-events', 'p-5', 's-52'),
            await subscribe(use.cluster, 'generation-events', 'p-6', 's-61'),
        ];
        const state = await subscribe(use.cluster, 'generation-state', 'p-5', 's-51');
        await state.next();

        const inserted: [table: string, key: string, value: unknown][] = [];
        const expected: string[] = [];
        for (const { table, key } of generations) {
            const value = await use.cluster.value(insertGeneration[table]('s-51'));
            inserted.push([table, key, value]);
            expected.push(`INSERT ${table} ${value}`);
            await state.next();
        }
        for (const [table, key, value] of inserted) {
            await use.cluster.sql(`UPDATE ${table} SET ${updateGeneration[table]} WHERE ${key} = $1`, [value]);
            expected.push(`UPDATE ${table} ${value}`);
            await state.next();
        }
        for (const [table, key, value] of [...inserted].reverse()) {
            await use.cluster.sql(`DELETE FROM ${table} WHERE ${key} = $1`, [value]);
            expected.push(`DELETE ${table} ${value}`);
            await state.next();
        }
        assert.deepEqual(await heard(first, 'p-5', 's-51'), expected);
        assert.deepEqual(await heard(sibling, 'p-5', 's-52'), []);
        assert.deepEqual(await heard(foreign, 'p-6', 's-61'), []);
        assert.deepEqual(state.messages.at(-1)!.data.state, { status: null, todos: [], tool_calls: [], notes: [] });
        assert.equal(state.messages.length, 13, 'one state for each change');
    });

    test('a row that moves to another session, or a session to another project, is heard by both', async () => {
        await use.cluster.sql(`
            INSERT INTO generation_sessions VALUES ('s-71', 'p-7'), ('s-72', 'p-7');
            INSERT INTO generation_todos (session_id, content) VALUES ('s-71', 'moves')`);
        const instances: [string, string][] = [['p-7', 's-71'], ['p-7', 's-72'], ['p-8', 's-72']];
        const events = [];
        const states = [];
        for (const params of instances) {
            events.push(await subscribe(use.cluster, 'generation-events', ...params));
            states.push(await subscribe(use.cluster, 'generation-state', ...params));
            await states.at(-1)!.next();
        }
        const todo = await use.cluster.value(`UPDATE generation_todos SET session_id = 's-72' WHERE content = 'moves' RETURNING todo_id`);
        const moved = { content: 'moves', done: false };
        assert.deepEqual((await states[0].next()).data.state.todos, []);
        assert.deepEqual((await states[1].next()).data.state.todos, [moved]);
        const told = [`UPDATE generation_todos ${todo}`];
        assert.deepEqual(await heard(events[0], ...instances[0]), told);
        assert.deepEqual(await heard(events[1], ...instances[1]), told);

        await use.cluster.sql(`UPDATE generation_sessions SET project_id = 'p-8' WHERE session_id = 's-72'`);
        const session = ['UPDATE generation_sessions s-72'];
        assert.deepEqual(await heard(events[1], ...instances[1]), session);
        // The todo does not say its project, so whoever has its session heard of it.
        assert.deepEqual(await heard(events[2], ...instances[2]), [...told, ...session]);
        assert.deepEqual(await heard(events[0], ...instances[0]), []);
        assert.equal((await states[1].next(({ data }) => data.state.status === null)).data.state.status, null);
        assert.equal((await states[2].next(({ data }) => data.state.status === 'active')).data.state.status, 'active');
        assert.equal(states[0].messages.length, 2);
    });

    test('generation-state, from four tables of which two do not know the project', async () => {
        await use.cluster.sql(`INSERT INTO generation_sessions VALUES ('s-1', 'p-1'), ('s-2', 'p-1')`);
        const client = await subscribe(use.cluster, 'generation-state', 'p-1', 's-1');
        const other = await subscribe(use.cluster, 'generation-state', 'p-1', 's-2');
        const state = { status: 'active', todos: [] as any[], tool_calls: [] as any[], notes: [] as any[] };
        const expected = (source: string) =>
            ({
                ...{ type: 'generation_state_update', topic: 'generation-state', params: ['p-1', 's-1'] },
                ...{ kind: 'snapshot', source, data: { project_id: 'p-1', session_id: 's-1', state } },
            });
        expectMessage(await client.next(), expected('sync'));
        await other.next();

        await use.cluster.sql(`INSERT INTO generation_todos (session_id, content) VALUES ('s-1', 'Plan')`);
        state.todos = [{ content: 'Plan', done: false }];
        expectMessage(await client.next(), expected('event'));
        await use.cluster.sql(`INSERT INTO generation_tool_calls (session_id, tool) VALUES ('s-1', 'search')`);
        state.tool_calls = ['search'];
        expectMessage(await client.next(), expected('event'));
        await use.cluster.sql(`INSERT INTO generation_notes (project_id, session_id, note) VALUES ('p-1', 's-1', 'ok')`);
        state.notes = ['ok'];
        expectMessage(await client.next(), expected('event'));
        await use.cluster.sql(`UPDATE generation_sessions SET status = 'done' WHERE session_id = 's-1'`);
        state.status = 'done';
        expectMessage(await client.next(), expected('event'));
        assert.equal(other.unread, 0, 'session s-2 did not change');
    });
});

describe('a topic without a query keeps its last message', () => {
    const pushed: [topic: string, type: string, data: any, params?: string[]][] = [
        ['workflows', 'workflows_update', [{ name: 'build' }, { name: 'review' }]],
        ['routes', 'routes_update', [{ path: '/', name: 'Home' }]],
        ['system-status', 'system_status_update', { healthy: true }],
        ['webhook-status', 'webhook_status_update', { delivered: 3, failed: 0 }],
        [
            'adw-monitor',
            'adw_monitor_update',
            {
                ...{ adw_id: 'adw-7', current_phase: 'build', status: 'running' },
                metadata: { current_cost: 0.25, phase_cost: 0.125 },
            },
        ],
        ['adw-state', 'adw_state_update', { adw_id: 'adw-7', step: 1 }, ['adw-7']],
    ];
    const broadcast = (topic: string, data: any, params: string[]) =>
        use.cluster.value('SELECT rtd_broadcast($1, $2, $3)', [topic, JSON.stringify(data), params]);

    for (const [topic, type, data, params = []] of pushed) {
        test(`${topic} sends it to who is there and to who comes later, as it was`, async () => {
            const early = await subscribe(use.cluster, topic, ...params);
            await broadcast(topic, data, params);
            const message = await early.next((candidate) => JSON.stringify(candidate.data) !== '[12345678901234567000]');
            expectMessage(message, { type, data, topic, params, source: 'event', kind: 'event' });
            const late = await subscribe(use.cluster, topic, ...params);
            assert.deepEqual(await late.next(), message);
        });
    }

    test('a restart of the server does not lose it', async () => {
        await broadcast('system-status', { healthy: false, reason: 'maintenance' }, []);
        await broadcast('adw-state', { step: 1 }, ['a']);
        await broadcast('adw-state', { step: 2 }, ['b']);
        await use.cluster.restart();
        await use.cluster.ready();
        const first = async (topic: string, ...params: string[]) =>
            (await (await subscribe(use.cluster, topic, ...params)).next()).data;
        assert.deepEqual(await first('system-status'), { healthy: false, reason: 'maintenance' });
        assert.deepEqual(await first('adw-state', 'a'), { step: 1 });
        assert.deepEqual(await first('adw-state', 'b'), { step: 2 });
    });

    test('a topic made with retain => false does not', async () => {
        await createTopic(use.cluster, 'fleeting', 'retain => false');
        await broadcast('fleeting', { n: 1 }, []);
        const client = await subscribe(use.cluster, 'fleeting');
        await waitFor('the subscription', async () => (await broadcast('fleeting', { n: 2 }, [])) === '1');
        assert.deepEqual((await client.next()).data, { n: 2 });
    });

    test('rtd_broadcast returns how many subscribers there are', async () => {
        await createTopic(use.cluster, 'counted');
        assert.equal(await broadcast('counted', {}, []), '0');
        await broadcast('counted', { n: 0 }, []);
        const clients = await Promise.all([1, 2, 3].map(() => subscribe(use.cluster, 'counted')));
        await Promise.all(clients.map((client) => client.next()));
        assert.equal(await broadcast('counted', {}, []), '3');
    });
});

test('a topic that nothing can ever send to is told by the view rtd_topics', async () => {
    await use.cluster.sql('CREATE TABLE sourced (id int PRIMARY KEY)');
    await createTopic(use.cluster, 'sourced');
    const hasSource = () => use.cluster.value(`SELECT has_source FROM rtd_topics WHERE name = 'sourced'`);
    assert.equal(await hasSource(), false);
    await use.cluster.sql(`SELECT rtd_watch_table('sourced')`);
    assert.equal(await hasSource(), true);
    await use.cluster.sql(`SELECT rtd_unwatch_table('sourced')`);
    assert.equal(await hasSource(), false);
    assert.equal(await use.cluster.value(`SELECT has_source FROM rtd_topics WHERE name = 'queue'`), true);
});

test('a topic made at run time is served at once, without a restart', async () => {
    const hub = await use.cluster.hubPid();
    const gateway = await use.cluster.gatewayPid();
    await use.cluster.sql('CREATE TABLE made_later (id int PRIMARY KEY)');
    await createTopic(use.cluster, 'made-later', `query => 'SELECT count(*) AS n FROM made_later'`);
    await use.cluster.sql(`SELECT rtd_watch_table('made_later')`);
    const client = await subscribe(use.cluster, 'made-later');
    assert.deepEqual((await client.next()).data, [{ n: 0 }]);
    await use.cluster.sql('INSERT INTO made_later VALUES (1)');
    assert.deepEqual((await client.next()).data, [{ n: 1 }]);
    assert.equal(await use.cluster.hubPid(), hub);
    assert.equal(await use.cluster.gatewayPid(), gateway);
});
