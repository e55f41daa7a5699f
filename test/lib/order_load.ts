// Transactions that depend on each other, and the check that no effect arrives before its cause.
//
// Every session owns a few cells, numbered counters that it alone raises. A transaction looks at a
// cell of another session (a plain SELECT, no lock: what it sees is committed) and raises its own,
// naming what it saw. Some also raise a ticket, a row that all share, under its row lock. Every raise
// is an event. Some write nothing, and only say what they saw: they have no commit record that could
// order them. Whoever receives them in commit order never finds a cause that is newer than what he
// has received of that cell, and finds every cell counting 1, 2, 3. That takes memory for the cells
// only, so it checks a million events as well as a thousand.
//
// Commits overlap because synchronous_commit is on for some and off for others, because commit_delay
// collects those that wait into one flush, and because that flush then wakes them all at once. The
// hub is stopped now and then, so that it finds more in the queue than it takes in one turn.

import { Cluster, ClusterOptions } from './cluster';
import { createTopic, subscriberCount } from './harness';
import { pauseHubUntil } from './hub_pauses';
import { startPgbench } from './pgbench';
import { Random } from './random';
import { Stream } from './stream';
import { Envelope } from './subscriber';
import { waitFor, within } from './wait';

export const orderCluster: ClusterOptions = {
    settings: {
        fsync: 'on', // a commit that does not wait for a disk does not overlap with another
        commit_delay: 300,
        commit_siblings: 2,
        max_connections: 100,
        'rtd.client_buffer': '512MB', // the receiver shares two cores with the load
        'rtd.queue_size': '256MB',
    },
};

const steps = 3; // cells that a transaction raises one after the other
const tickets = 4;
const saying = 9; // the step of what is only said
const eventsPerTransaction = (7 / 8) * (steps + 1 / 4) + 1 / 8; // every eighth only says; of the others every fourth takes a ticket

export interface OrderFigures {
    seed: number;
    sessions: number;
    transactions: number;
    events: number;
    /** Effects that came before their cause. */
    inversions: number;
    /** Events of a cell that came before an older one of the same cell. */
    reordered: number;
    /** Transactions with another one's event between their own. */
    torn: number;
    lost: number;
    duplicated: number;
    gaps: number;
    seconds: number;
    eventsPerSecond: number;
}

export const orderMistakes = ({ inversions, reordered, torn, lost, duplicated, gaps }: OrderFigures) => ({
    ...{ inversions, reordered, torn, lost, duplicated, gaps },
});

export const noMistakes = { inversions: 0, reordered: 0, torn: 0, lost: 0, duplicated: 0, gaps: 0 };

/** Checks events as they come. A cell's newest number is all it remembers. */
class OrderCheck {
    inversions = 0;
    reordered = 0;
    duplicated = 0;
    torn = 0;
    gaps = 0;
    ended = false;
    said = 0;
    /** The first few mistakes, as text. */
    readonly examples: string[] = [];
    private newest = new Map<number, number>();
    /** Numbers that were jumped over: they are lost unless they come late. */
    private missing = new Set<string>();
    private open?: { owner: number; n: number; step: number };

    take({ type, data }: Envelope) {
        if (type === 'rtd_gap') {
            this.gaps++;
            return;
        }
        if (data === 'end') {
            this.ended = true;
            return;
        }
        if (data.step === saying) this.said++;
        this.checkCell(data.cell, data.n);
        this.checkTransaction(data);
        const seen = this.newest.get(data.cause) ?? 0;
        if (seen < data.cause_n) this.mistake('inversions', `${JSON.stringify(data)} before its cause, which is at ${seen}`);
    }

    private checkCell(cell: number, n: number) {
        const last = this.newest.get(cell) ?? 0;
        if (n > last) {
            for (let skipped = last + 1; skipped < n; skipped++) this.missing.add(`${cell}/${skipped}`);
            this.newest.set(cell, n);
        } else if (this.missing.delete(`${cell}/${n}`)) {
            this.mistake('reordered', `cell ${cell}: ${n} after ${last}`);
        } else {
            this.mistake('duplicated', `cell ${cell}: ${n} again`);
        }
    }

    private checkTransaction({ owner, step, tx }: { owner: number; step: number; tx: number }) {
        const last = this.open;
        const follows = last ? owner === last.owner && tx === last.n && step === last.step + 1 : [saying, -1, 0].includes(step);
        if (!follows) this.mistake('torn', `step ${step} of ${owner}/${tx} after ${JSON.stringify(last ?? 'a whole transaction')}`);
        this.open = step === steps - 1 || step === saying ? undefined : { owner, n: tx, step };
    }

    private mistake(kind: 'inversions' | 'reordered' | 'duplicated' | 'torn', text: string) {
        this[kind]++;
        if (this.examples.length < 5) this.examples.push(`${kind}: ${text}`);
    }

    /** Events that never came, given what the cells say now. */
    lost(cells: { cell: number; n: string }[]) {
        // What was only said is missed by the next thing its session says.
        const unseen = cells.reduce((sum, { cell, n }) => sum + Number(n) - (this.newest.get(cell) ?? 0), 0);
        return unseen + this.missing.size;
    }
}

async function prepare(cluster: Cluster, sessions: number) {
    // Cells of session s: s * 10 + step; tickets: below 0.
    await cluster.sql(`
        CREATE TABLE cell (cell int PRIMARY KEY, n bigint NOT NULL, owner int, tx bigint, step int,
                           cause int, cause_n bigint) WITH (fillfactor = 10);
        INSERT INTO cell SELECT s * 10 + step, 0 FROM generate_series(0, ${sessions - 1}) s, generate_series(0, ${steps - 1}) step;
        INSERT INTO cell SELECT -ticket, 0 FROM generate_series(1, ${tickets}) ticket;
        CREATE FUNCTION act(me int, other int, ticket int, wait boolean) RETURNS void LANGUAGE plpgsql AS $$
        DECLARE
            seen bigint;
            number bigint;
        BEGIN
            PERFORM set_config('synchronous_commit', CASE WHEN wait THEN 'on' ELSE 'off' END, true);
            SELECT n + 1 INTO number FROM cell WHERE cell = me * 10;
            SELECT n INTO seen FROM cell WHERE cell = other * 10 + ${steps - 1};
            IF ticket > 0 THEN
                UPDATE cell SET n = n + 1, owner = me, tx = number, step = -1,
                                cause = other * 10 + ${steps - 1}, cause_n = seen WHERE cell = -ticket;
            END IF;
            FOR i IN 0 .. ${steps - 1} LOOP
                UPDATE cell SET n = number, owner = me, tx = number, step = i,
                                cause = other * 10 + ${steps - 1}, cause_n = seen WHERE cell = me * 10 + i;
            END LOOP;
        END $$`);
    await createTopic(cluster, 'order', 'retain => false');
    await cluster.sql(`SELECT rtd_watch_table('cell', 'order', columns => '{cell,n,owner,tx,step,cause,cause_n}')`);
}

/** Runs about `events` events through the topic "order" of a new cluster and says what was wrong. */
export async function measureOrder(
    cluster: Cluster,
    { events, sessions, seed }: { events: number; sessions: number; seed: number },
    deadlineMs: number,
): Promise<{ figures: OrderFigures; examples: string[] }> {
    await prepare(cluster, sessions);
    const check = new OrderCheck();
    const stream = await Stream.open(cluster.url('order'), (message) => check.take(message));
    await waitFor('the subscription', async () => (await subscriberCount(cluster, 'order')) === 1);

    const each = Math.ceil(events / eventsPerTransaction / sessions);
    // Cells from a million on are what the sessions only said; they are in no table.
    const script = `
        \\set other (:client_id + random(1, ${sessions - 1})) % ${sessions}
        \\set ticket random(1, ${tickets * 4})
        \\set wait random(0, 1)
        \\set says random(1, 8)
        \\if :says = 1
            \\set said :said + 1
            SELECT rtd_broadcast('order', jsonb_build_object(
                'cell', 1000000 + :client_id::int, 'n', :said::int, 'owner', :client_id::int, 'tx', :said::int,
                'step', ${saying}, 'cause', cell, 'cause_n', n)) FROM cell WHERE cell = :other::int * 10 + ${steps - 1};
        \\else
            SELECT act(:client_id::int, :other::int, CASE WHEN :ticket <= ${tickets} THEN :ticket::int ELSE 0 END, :wait::int = 1);
        \\endif
    `;
    const start = Date.now();
    const load = startPgbench(cluster, [script], { clients: sessions, transactions: each, seed, options: ['-D', 'said=0'] });
    const done = within('pgbench', load.done, deadlineMs);
    await pauseHubUntil(cluster, done, new Random(seed), 400);
    const status = await done;
    if (status !== 0) throw new Error(`pgbench exited with status ${status}: ${load.output()}`);

    const cells = await cluster.sql<{ cell: number; n: string }>('SELECT cell, n FROM cell');
    const raised = cells.reduce((sum, { n }) => sum + Number(n), 0);
    // What is lost never comes: whatever was not received before this mark is.
    await cluster.sql(`SELECT rtd_broadcast('order', '"end"')`);
    const received = waitFor('the end of the stream', () => check.ended, { deadlineMs });
    await Promise.race([received, stream.closed.then((why) => Promise.reject(new Error(JSON.stringify(why))))]);
    stream.check();
    const made = raised + check.said;
    const seconds = (Date.now() - start) / 1000;
    stream.close();
    return {
        figures: {
            ...{ seed, sessions, transactions: each * sessions, events: made },
            ...{ inversions: check.inversions, reordered: check.reordered, torn: check.torn },
            ...{ lost: check.lost(cells), duplicated: check.duplicated, gaps: check.gaps },
            ...{ seconds, eventsPerSecond: Math.round(made / seconds) },
        },
        examples: check.examples,
    };
}
