// What every e2e file starts with: a cluster for the file, and short words for what tests do often.

import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { after, afterEach, before } from 'node:test';
import { escapeLiteral } from 'pg';
import { Cluster, ClusterOptions, Connection } from './cluster';
import { closeSubscribers, Envelope, Subscriber } from './subscriber';
import { waitFor } from './wait';

/** One cluster for all tests of a file, made before the first and removed after the last. */
export function useCluster(options: ClusterOptions = {}, prepare?: (cluster: Cluster) => Promise<unknown>) {
    const use = {} as { cluster: Cluster };
    before(async () => {
        use.cluster = await Cluster.create(options);
        await prepare?.(use.cluster);
    });
    afterEach(closeSubscribers);
    after(() => use.cluster?.destroy());
    return use;
}

/** Creates a topic that everybody may subscribe to. `options` are named arguments, as SQL. */
export async function createTopic(cluster: Cluster, name: string, options = '') {
    const rest = options ? `, ${options}` : '';
    await cluster.sql(`SELECT rtd_create_topic('${name}'${rest}); SELECT rtd_grant('${name}', 'web_anon')`);
}

/** Subscribers of a topic instance: what rtd_broadcast() counts, in a transaction that sends nothing. */
export async function subscriberCount(cluster: Cluster, topic: string, params: string[] = []): Promise<number> {
    const array = `{${params.map((param) => JSON.stringify(param)).join(',')}}`;
    const results: any = await cluster.query(`
        BEGIN;
        SELECT rtd_broadcast(${escapeLiteral(topic)}, 'null', ${escapeLiteral(array)}) AS n;
        ROLLBACK`);
    return Number(results[1].rows[0].n);
}

/** How often queries that read `table AS table_counted` ran, of the cluster's pg_stat_statements. From
 *  PostgreSQL 18 it takes tables of the same alias for the same, so each has an alias of its own. */
export async function queriesRun(cluster: Cluster, table: string): Promise<number> {
    const calls = await cluster.value(
        `SELECT coalesce(sum(calls), 0) FROM pg_stat_statements
         WHERE query ~ $1 AND query !~ 'rtd_create_topic|pg_stat_statements'`,
        [`${table} AS ${table}_counted`],
    );
    return Number(calls);
}

/** A client that is subscribed: it misses nothing from here on. */
export async function subscribe(cluster: Cluster, topic: string, ...params: string[]): Promise<Subscriber> {
    const before = await subscriberCount(cluster, topic, params);
    const subscriber = await Subscriber.open(cluster.url(topic, ...params));
    await waitFor('the subscription', async () => (await subscriberCount(cluster, topic, params)) > before);
    return subscriber;
}

/** A table whose rows go to an event topic of the same name, and a client of it. */
export async function watchedTable(cluster: Cluster, table: string, columns = 'id int PRIMARY KEY, note text', more = '') {
    const topic = table.replace(/_/g, '-');
    await cluster.sql(`CREATE TABLE ${table} (${columns}) ${more}`);
    await createTopic(cluster, topic);
    await cluster.sql(`SELECT rtd_watch_table('${table}')`);
    return subscribe(cluster, topic);
}

/** Everything sent to an event topic until now: a broadcast marks the end. */
export async function messagesUntilNow(cluster: Cluster, client: Subscriber, topic: string): Promise<Envelope[]> {
    const mark = `end ${randomUUID()}`;
    await cluster.sql('SELECT rtd_broadcast($1, to_jsonb($2::text))', [topic, mark]);
    const messages: Envelope[] = [];
    await client.next((message) => message.data === mark || (messages.push(message), false), 30_000);
    return messages;
}

/** Compares everything of an envelope that is known beforehand: all but `timestamp` and `id`. */
export function expectMessage(message: Envelope, expected: Record<Exclude<keyof Envelope, 'timestamp' | 'id'>, unknown>) {
    const { timestamp, id, ...rest } = message;
    assert.deepEqual(rest, expected);
}

/** Collects the warnings a session gets. */
export function warningsOf(connection: Connection): string[] {
    const warnings: string[] = [];
    connection.on('notice', (notice) => {
        if (notice.severity === 'WARNING') warnings.push(notice.message ?? '');
    });
    return warnings;
}
