// The property of parameters: whatever a topic's parameter is compared with, however a client spells
// its value, and whatever the writer's session has set, the client has what the query returns. For
// every type a state topic, a keyed topic whose key has the type, and an event topic; clients that
// subscribe in random spellings; a writer that changes its settings and writes in random spellings.
// After each write every client is compared with a fresh query: equal before a deadline, or an error.

import assert from 'node:assert/strict';
import { isDeepStrictEqual } from 'node:util';
import { Cluster, Connection } from './cluster';
import { KeyedRows } from './keyed_client';
import { Multiplexed } from './multiplexed';
import { Random } from './random';
import { randomSettings, setup, SpelledType, spelledTypes } from './spellings';
import { waitFor } from './wait';

export interface SpellingFigures {
    types: number;
    subscriptions: number;
    instances: number;
    writes: number;
    comparisons: number;
    events: number;
}

const deadlineMs = 20_000;

/** Of the server: clients say much at once, and nothing is made whole by a timer. */
export const spellingSettings = {
    'rtd.client_message_rate': 0,
    'rtd.max_subscriptions_per_client': 1000,
    'rtd.resync_interval': '1h',
    timezone: 'UTC',
};

interface Watched {
    topic: string;
    /** As the client wrote it, and as the server says it. */
    asked: string;
    shown: string;
    client: Multiplexed;
}

class Property {
    private readonly random: Random;
    private readonly states: (Watched & { type: SpelledType })[] = [];
    private readonly events: (Watched & { type: SpelledType; expected: number[] })[] = [];
    private readonly keyed: (Watched & { type: SpelledType })[] = [];
    private readonly figures: SpellingFigures = { types: 0, subscriptions: 0, instances: 0, writes: 0, comparisons: 0, events: 0 };
    private lastId = 0;

    constructor(
        private readonly cluster: Cluster,
        private readonly types: SpelledType[],
        seed: number,
        private readonly writer: Connection,
    ) {
        this.random = new Random(seed);
    }

    async prepare() {
        await this.cluster.sql(setup);
        for (const type of this.types) await this.declare(type);
        for (const type of this.types) await this.subscribeAll(type);
        this.figures.types = this.types.length;
    }

    private async declare({ name, type, where = 'p = $1', noKey }: SpelledType) {
        const query = `SELECT id, n FROM t_${name} WHERE ${where} ORDER BY id`;
        await this.cluster.sql(`
            CREATE TABLE t_${name} (id int PRIMARY KEY, p ${type}, n int);
            SELECT rtd_create_topic('s-${name}', query => $q$${query}$q$, parameters => '{p}', throttle => '0'),
                   rtd_watch_table('t_${name}', 's-${name}'), rtd_grant('s-${name}', 'web_anon'),
                   rtd_create_topic('e-${name}', parameters => '{p}', retain => false, history => 10000),
                   rtd_watch_table('t_${name}', 'e-${name}', columns => '{id,n,p AS value}', operations => '{INSERT}'),
                   rtd_grant('e-${name}', 'web_anon')`);
        if (noKey) return;
        await this.cluster.sql(`
            CREATE TABLE k_${name} (p ${type} PRIMARY KEY, n int);
            SELECT rtd_create_topic('k-${name}', query => 'SELECT p, n FROM k_${name}', key => '{p}'),
                   rtd_watch_table('k_${name}', 'k-${name}'), rtd_grant('k-${name}', 'web_anon')`);
    }

    private async subscribeAll(type: SpelledType) {
        const client = await Multiplexed.open(this.cluster);
        for (let i = 0; i < 4; i++) {
            const asked = this.spelling(type);
            const known = this.states.find((other) => other.client === client && other.asked === asked);
            if (!known) await this.subscribe(client, type, `s-${type.name}`, asked, this.states, {});
            if (!known && hasEvents(type)) await this.subscribe(client, type, `e-${type.name}`, asked, this.events, { expected: [] });
        }
        if (type.noKey) return;
        const answer = await client.ask({ action: 'subscribe', topic: `k-${type.name}` });
        assert.equal(answer.type, 'rtd_subscribed', answer.text);
        this.keyed.push({ topic: `k-${type.name}`, asked: '', shown: '', client, type });
    }

    private async subscribe(client: Multiplexed, type: SpelledType, topic: string, asked: string, all: any[], more: object) {
        const answer = await client.ask({ action: 'subscribe', topic, params: [asked] });
        if (answer.type === 'rtd_error') {
            // The only reason: this client has the value in another spelling.
            assert.deepEqual([answer.data.code, answer.data.message], [4400, 'this is subscribed already'], answer.text);
            assert.ok(all.some((other) => other.client === client && other.topic === topic && other.shown === answer.params[0]));
            return;
        }
        assert.equal(answer.type, 'rtd_subscribed', answer.text);
        if (answer.params[0] !== asked) assert.deepEqual(answer.data.asked, [asked], answer.text);
        all.push({ topic, asked, shown: answer.params[0], client, type, ...more });
        this.figures.subscriptions++;
    }

    private spelling(type: SpelledType): string {
        return this.random.pick(type.value(this.random));
    }

    // ---- writing ----

    async write() {
        const type = this.random.pick(this.types);
        if (this.random.between(1, 3) === 1) await this.writer.query(randomSettings(this.random));
        await this.writeRow(type);
        if (!type.noKey) await this.writeKeyed(type);
        this.figures.writes++;
        await this.compare(type);
    }

    private async writeRow(type: SpelledType) {
        const table = `t_${type.name}`;
        const text = this.spelling(type);
        const id = ++this.lastId;
        const ways = [
            () => this.insert(type, id, text),
            () => this.insert(type, id, text),
            () => this.writer.query(`UPDATE public.${table} SET p = ${cast(type)}, n = n + 1 WHERE id = (SELECT max(id) FROM public.${table})`, [text]),
            () => this.writer.query(`UPDATE public.${table} SET n = n + 1 WHERE id % 2 = 0`),
            () => this.writer.query(`DELETE FROM public.${table} WHERE id = (SELECT min(id) FROM public.${table})`),
        ];
        await this.random.pick(ways)();
    }

    private async insert(type: SpelledType, id: number, text: string) {
        for (const event of this.events.filter((other) => other.type === type))
            if (await this.areEqual(type, event.asked, text)) event.expected.push(id);
        await this.writer.query(`INSERT INTO public.t_${type.name} VALUES ($1, ${cast(type, 2)}, 0)`, [id, text]);
    }

    private async writeKeyed(type: SpelledType) {
        const text = this.spelling(type);
        const key = cast(type);
        const ways = [
            () => this.writer.query(`INSERT INTO public.k_${type.name} VALUES (${key}, 0) ON CONFLICT (p) DO UPDATE SET n = k_${type.name}.n + 1`, [text]),
            () => this.writer.query(`DELETE FROM public.k_${type.name} WHERE p = ${key}`, [text]),
        ];
        await this.random.pick(ways)();
    }

    private async areEqual(type: SpelledType, a: string, b: string): Promise<boolean> {
        const column = type.type.replace(/ COLLATE \w+/, '');
        const collate = type.type.match(/ COLLATE \w+/)?.[0] ?? '';
        return this.cluster.value(`SELECT $1::${column}${collate} = $2::${column}`, [a, b]);
    }

    // ---- comparing ----

    private async compare(type: SpelledType) {
        for (const state of this.states.filter((other) => other.type === type)) {
            const where = type.where ?? 'p = $1';
            const fresh = `SELECT coalesce(json_agg(json_build_object('id', id, 'n', n) ORDER BY id), '[]') FROM t_${type.name} WHERE ${where}`;
            const expected = await this.cluster.value(fresh, [state.asked]);
            await this.until(`${state.topic} asked as ${state.asked}, ${JSON.stringify(expected)}`, () =>
                isDeepStrictEqual(last(state)?.data, expected),
            );
        }
        for (const event of this.events.filter((other) => other.type === type)) {
            await this.until(`${event.topic} asked as ${event.asked}, events ${event.expected}`, () => {
                const ids = messagesOf(event).map((message) => message.data.id);
                return isDeepStrictEqual(ids, event.expected);
            });
            await this.compareBytes(event);
        }
        for (const keyed of this.keyed.filter((other) => other.type === type)) {
            const expected = await this.cluster.value(`SELECT coalesce(jsonb_agg(to_jsonb(k)), '[]') FROM k_${type.name} k`);
            await this.until(`${keyed.topic}: ${JSON.stringify(expected)}`, () => {
                const rows = new KeyedRows(['p']);
                messagesOf(keyed).forEach((message) => rows.take(message));
                return rows.difference(expected) === undefined;
            });
        }
    }

    /** An event's value reads the same as in a session without settings of its own. */
    private async compareBytes(event: Watched & { type: SpelledType }) {
        const message = last(event);
        if (!message) return;
        this.figures.events++;
        const [row] = await this.cluster.sql(`SELECT to_json(p)::text AS value FROM t_${event.type.name} WHERE id = $1`, [message.data.id]);
        if (!row || message.data.n !== 0) return;
        const changed = await this.cluster.value(`SELECT n > 0 FROM t_${event.type.name} WHERE id = $1`, [message.data.id]);
        if (!changed) assert.deepEqual(message.data.value, JSON.parse(row.value), `${event.topic}: ${message.text}`);
    }

    private async until(what: string, condition: () => boolean) {
        await waitFor(what, condition, { deadlineMs, everyMs: 2 });
        this.figures.comparisons++;
    }

    // ---- other ways in ----

    /** Over HTTP in any spelling, the instance answers with its canonical parameter. */
    async fetchAll() {
        for (const state of this.states) {
            const answer = await fetch(`${this.cluster.httpUrl}/api/v1/topics/${state.topic}/${encodeURIComponent(state.asked)}`);
            const message: any = await answer.json();
            assert.equal(answer.status, 200, JSON.stringify(message));
            assert.deepEqual(message.params, [state.shown]);
            assert.deepEqual(message.data, last(state)!.data);
        }
    }

    countInstances(): SpellingFigures {
        this.figures.instances = new Set(this.states.map((state) => `${state.topic} ${state.shown}`)).size;
        return this.figures;
    }
}

/** What a value equals is not known of types that rtd does not look into. */
const hasEvents = (type: SpelledType) => type.where === undefined;

const cast = (type: SpelledType, parameter = 1) => `$${parameter}::text::public_type`.replace('public_type', qualified(type.type));
const qualified = (type: string) => {
    const plain = type.replace(/ COLLATE \w+/, '');
    const ours = ['citext', 'mood', 'pair', 'decimals', 'positive', 'word', 'day', 'tenth', 'moment', 'ltree', 'hstore', 'cube', 'label', 'deep', 'pairs', 'ints', 'feeling', 'folded', 'code', 'amount', 'words', 'instants', 'citext[]', 'mood[]'];
    return ours.includes(plain) ? `public.${plain}` : plain;
};

function messagesOf(watched: Watched) {
    return watched.client.messages.filter(
        (message) =>
            message.kind !== 'control' && message.topic === watched.topic && (watched.shown === '' || message.params[0] === watched.shown),
    );
}

const last = (watched: Watched) => messagesOf(watched).at(-1);

export async function runSpellings(
    cluster: Cluster,
    { seconds, seed, types = spelledTypes }: { seconds: number; seed: number; types?: SpelledType[] },
): Promise<SpellingFigures> {
    const writer = await cluster.connect();
    const property = new Property(cluster, types, seed, writer);
    await property.prepare();
    const end = Date.now() + seconds * 1000;
    while (Date.now() < end) await property.write();
    await property.fetchAll();
    return property.countInstances();
}
