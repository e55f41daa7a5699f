// Messages around every size where something else begins: NOTIFY's limit, the frame headers of
// WebSocket, the hub's reading block, rtd.max_message_size. With characters of several bytes across
// each border.

import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { createTopic, messagesUntilNow, subscribe, useCluster } from '../lib/harness';
import { Subscriber } from '../lib/subscriber';
import { waitFor } from '../lib/wait';

const use = useCluster({ settings: { 'rtd.client_buffer': '64MB' } });

const limit = 16 << 20; // rtd.max_message_size
const patience = 60_000;

/** A string whose JSON text has exactly `bytes` bytes. It starts with ASCII, so that characters lie across every border. */
function text(bytes: number, character: string, shift: number): string {
    const width = Buffer.byteLength(character);
    const head = 'a'.repeat(shift);
    const count = Math.floor((bytes - 2 - shift) / width);
    const whole = head + character.repeat(count);
    return whole + 'z'.repeat(bytes - 2 - Buffer.byteLength(whole));
}

async function expectWhole(client: Subscriber, expected: string) {
    const { data } = await client.next(undefined, patience);
    assert.ok(data === expected, `${data?.length} of ${expected.length} characters, or others`);
}

const characters: [name: string, character: string][] = [
    ['ASCII', 'x'],
    ['two bytes each', 'ü'],
    ['three bytes each', '€'],
    ['four bytes each', '😀'],
];

describe('a broadcast arrives whole', () => {
    const borders = [125, 126, 7_999, 8_000, 8_001, 65_535, 65_536, 1 << 20];
    for (const border of borders) {
        test(`of ${border} bytes and around, with characters of one to four bytes`, async () => {
            const topic = `around-${border}`;
            await createTopic(use.cluster, topic);
            const client = await subscribe(use.cluster, topic);
            for (const [, character] of characters) {
                const width = Buffer.byteLength(character);
                for (let shift = 0; shift < width; shift++) {
                    const message = text(border, character, shift);
                    assert.equal(Buffer.byteLength(JSON.stringify(message)), border);
                    await use.cluster.sql('SELECT rtd_broadcast($1, to_jsonb($2::text))', [topic, message]);
                    await expectWhole(client, message);
                }
            }
        });
    }

    for (const [name, character] of characters) {
        test(`of exactly rtd.max_message_size, of characters of ${name}, also to a late client`, async () => {
            const topic = `largest-${Buffer.byteLength(character)}`;
            await createTopic(use.cluster, topic);
            const client = await subscribe(use.cluster, topic);
            const message = text(limit, character, 1);
            await use.cluster.sql('SELECT rtd_broadcast($1, to_jsonb($2::text))', [topic, message]);
            await expectWhole(client, message);
            await expectWhole(await subscribe(use.cluster, topic), message);
        });
    }

    test('of many sizes in one transaction, in order', async () => {
        await createTopic(use.cluster, 'mixed-sizes');
        const client = await subscribe(use.cluster, 'mixed-sizes');
        const sizes = [10, 3 << 20, 20, 1 << 20, 8_000, 5 << 20, 2];
        await use.cluster.sql(
            `SELECT rtd_broadcast('mixed-sizes', to_jsonb(repeat('m', size))) FROM unnest($1::int[]) WITH ORDINALITY AS s (size, place) ORDER BY place`,
            [sizes],
        );
        for (const size of sizes) assert.equal((await client.next(undefined, patience)).data.length, size);
    });

    test('as the payload of a watched row, at NOTIFY\'s limit and far above', async () => {
        await use.cluster.sql('CREATE TABLE wide_rows (id int PRIMARY KEY, note text)');
        await createTopic(use.cluster, 'wide-rows');
        await use.cluster.sql(`SELECT rtd_watch_table('wide_rows', columns => '{id,note}')`);
        const client = await subscribe(use.cluster, 'wide-rows');
        for (const size of [7_900, 8_000, 8_100, 1 << 20, 8 << 20]) {
            await use.cluster.sql(`INSERT INTO wide_rows VALUES ($1, repeat('w', $1))`, [size]);
            assert.equal((await client.next(undefined, patience)).data.note.length, size);
        }
    });
});

describe('a broadcast that is too large', () => {
    const refused = (topic: string, message: string, more = '') =>
        assert.rejects(
            use.cluster.sql(`SELECT rtd_broadcast($1, to_jsonb($2::text)${more})`, [topic, message]),
            (error: any) => {
                assert.equal(error.code, '54000', error.message);
                assert.match(error.message, /too large/);
                assert.match(error.hint ?? error.detail ?? '', /rtd\.max_message_size/);
                return true;
            },
        );

    test('is refused at the call with 54000, by one byte, and nothing of it is sent', async () => {
        await createTopic(use.cluster, 'too-large');
        const client = await subscribe(use.cluster, 'too-large');
        for (const [, character] of characters) await refused('too-large', text(limit + 1, character, 0));
        await refused('too-large', text(limit + 1, 'x', 0), ', transactional => false');
        assert.deepEqual(await messagesUntilNow(use.cluster, client, 'too-large'), []);
    });

    test('can be caught, and the transaction goes on and sends the rest', async () => {
        await createTopic(use.cluster, 'caught-large');
        const client = await subscribe(use.cluster, 'caught-large');
        await use.cluster.sql(`
            DO $$ BEGIN
                PERFORM rtd_broadcast('caught-large', '1');
                BEGIN
                    PERFORM rtd_broadcast('caught-large', '2');
                    PERFORM rtd_broadcast('caught-large', to_jsonb(repeat('x', ${limit})));
                EXCEPTION WHEN program_limit_exceeded THEN
                    PERFORM rtd_broadcast('caught-large', '3');
                END;
            END $$`);
        const messages = await messagesUntilNow(use.cluster, client, 'caught-large');
        assert.deepEqual(messages.map(({ data }) => data), [1, 3]);
    });

    test('follows a changed rtd.max_message_size', async () => {
        await createTopic(use.cluster, 'other-limit');
        const client = await subscribe(use.cluster, 'other-limit');
        await use.cluster.reload({ 'rtd.max_message_size': '10kB' });
        const inForce = () => refused('other-limit', text(10_241, 'x', 0)).then(() => true, () => false);
        await waitFor('the setting to be in force', inForce);
        await use.cluster.sql('SELECT rtd_broadcast($1, to_jsonb($2::text))', ['other-limit', text(10_240, 'x', 0)]);
        await client.next(({ data }) => data === text(10_240, 'x', 0));
        await use.cluster.reload({ 'rtd.max_message_size': '16MB' });
    });
});

describe('a broadcast that is not transactional', () => {
    test('arrives while its transaction is open, and the rest after the commit', async () => {
        await createTopic(use.cluster, 'leaves-at-once');
        const client = await subscribe(use.cluster, 'leaves-at-once');
        const session = await use.cluster.connect();
        await session.query('BEGIN');
        await session.query(`SELECT rtd_broadcast('leaves-at-once', '"later"')`);
        await session.query(`SELECT rtd_broadcast('leaves-at-once', '"now"', transactional => false)`);
        assert.equal((await client.next()).data, 'now');
        await session.query('COMMIT');
        assert.equal((await client.next()).data, 'later');
        await use.cluster.release(session);
    });

    test('arrives although its savepoint, and then its transaction, is rolled back', async () => {
        await createTopic(use.cluster, 'left-already');
        const client = await subscribe(use.cluster, 'left-already');
        await use.cluster.query(`
            BEGIN;
            SAVEPOINT a;
            SELECT rtd_broadcast('left-already', '1', transactional => false);
            ROLLBACK TO a;
            SELECT rtd_broadcast('left-already', '2', transactional => false);
            ROLLBACK`);
        const messages = await messagesUntilNow(use.cluster, client, 'left-already');
        assert.deepEqual(messages.map(({ data }) => data), [1, 2]);
    });

    test('arrives in a transaction that has written, while others commit', async () => {
        await use.cluster.sql('CREATE TABLE written_before (id int)');
        await createTopic(use.cluster, 'written-before');
        const client = await subscribe(use.cluster, 'written-before');
        const session = await use.cluster.connect();
        await session.query('BEGIN; INSERT INTO written_before VALUES (1)');
        await use.cluster.sql(`SELECT rtd_broadcast('written-before', '1')`);
        await session.query(`SELECT rtd_broadcast('written-before', '2', transactional => false)`);
        await use.cluster.sql(`SELECT rtd_broadcast('written-before', '3')`);
        for (const expected of [1, 2, 3]) assert.equal((await client.next()).data, expected);
        await session.query('ROLLBACK');
        await use.cluster.release(session);
    });
});
