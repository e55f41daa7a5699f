// A sentence that is too long for its place ends between two characters. One that ended in the middle of a
// character was no text any more: a driver shows U+FFFD, and a session with another encoding loses the error.

import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { createTopic, useCluster } from '../lib/harness';
import { Subscriber } from '../lib/subscriber';
import { within } from '../lib/wait';

const use = useCluster();

async function errorOf(text: string, values?: unknown[]): Promise<any> {
    return use.cluster.sql(text, values).then(
        () => assert.fail('there was an error to come'),
        (error) => error,
    );
}

function isWhole(sentence: string | undefined, bytes: number) {
    assert.ok(sentence, 'there is a sentence');
    assert.ok(!sentence.includes('\uFFFD'), `${sentence.slice(0, 20)} ... ${sentence.slice(-5)}`);
    assert.ok(Buffer.byteLength(sentence) > bytes - 5 && Buffer.byteLength(sentence) < bytes, String(Buffer.byteLength(sentence)));
}

// Two, three and four bytes, from every place a cut may fall into.
const characters = ['ä', '€', '😀'];
for (const character of characters)
    describe(`cut at "${character}"`, () => {
        for (let shift = 0; shift < 4; shift++) {
            const long = 'a'.repeat(shift) + character.repeat(2000);
            test(`the message of an error, shifted by ${shift}`, async () => {
                const error = await errorOf('SELECT rtd_create_topic($1)', [long]);
                assert.equal(error.code, '42602');
                isWhole(error.message, 1024);
            });
            test(`the detail of an error, shifted by ${shift}`, async () => {
                const name = (column: number) => `${'a'.repeat(shift)}${character.repeat(12)}_${column}`;
                const table = `wide_${characters.indexOf(character)}_${shift}`;
                const columns = Array.from({ length: 100 }, (_, column) => `"${name(column)}" int`).join(', ');
                await use.cluster.sql(`CREATE TABLE ${table} (id int PRIMARY KEY, ${columns})`);
                const error = await errorOf(`SELECT rtd_watch_table('${table}', columns => '{missing}')`);
                assert.equal(error.code, '42703');
                isWhole(error.detail, 2048);
            });
            test(`the detail of a setting, shifted by ${shift}`, async () => {
                const error = await errorOf(`ALTER SYSTEM SET rtd.allowed_origins = '${long.slice(0, 900)}'`);
                isWhole(error.detail, 1024);
            });
            test(`the reason of a close, shifted by ${shift}`, async () => {
                const topic = `close-${characters.indexOf(character)}-${shift}`;
                await createTopic(use.cluster, topic, `query => 'SELECT $1::int AS n', parameters => '{n}'`);
                const subscriber = await Subscriber.open(use.cluster.url(topic, 'a'.repeat(shift) + character.repeat(200)));
                const closed = await within('the close', subscriber.closed);
                assert.equal(closed.code, 4400);
                assert.ok(!closed.reason.includes('\uFFFD'), closed.reason);
                assert.ok(Buffer.byteLength(closed.reason) > 118, closed.reason);
            });
        }
    });

test('a session with another encoding gets the error, and not one of its own', async () => {
    for (const shift of [0, 1]) {
        const text = `SET client_encoding TO LATIN1; SELECT rtd_create_topic('${'a'.repeat(shift)}' || repeat(U&'\\00E4', 1500))`;
        const error: any = await use.cluster.query(text).catch((caught: unknown) => caught);
        await use.cluster.sql('RESET client_encoding');
        assert.equal(error.code, '42602');
    }
});
