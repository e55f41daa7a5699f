// character(n) as a parameter where the server's own hash function disagrees with its equality: in an
// array it asks for a collation that nobody gave, which failed the writer's INSERT; under a
// nondeterministic collation it counts the blanks at the end, so subscribers heard nothing.

import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { createTopic, subscribe, useCluster } from '../lib/harness';

const use = useCluster({ settings: { 'rtd.resync_interval': '1h' } }, (cluster) =>
    cluster.sql(`CREATE COLLATION ignore_accents (provider = icu, locale = 'und-u-ks-level1', deterministic = false)`),
);
const sql = (text: string, values?: unknown[]) => use.cluster.sql(text, values);

async function topics(name: string, type: string) {
    await sql(`CREATE TABLE ${name} (id int, p ${type})`);
    await createTopic(use.cluster, `${name}-state`, `query => 'SELECT id FROM ${name} WHERE p = $1', parameters => '{p}', throttle => '0'`);
    await createTopic(use.cluster, `${name}-events`, `parameters => '{p}', retain => false`);
    await sql(`SELECT rtd_watch_table('${name}', '${name}-state'), rtd_watch_table('${name}', '${name}-events', columns => '{id}')`);
}

describe('a parameter of type character(n)', () => {
    const cases: [name: string, type: string, asked: string, written: string][] = [
        ['plain', 'char(8)', 'ab', 'ab   '],
        ['lists', 'char(3)[]', '{a,b}', '{"a  ",b}'],
        ['tables', 'char(3)[]', '{{a,NULL},{b,c}}', '{{"a ",NULL},{b,"c "}}'],
        ['accents', 'char(8) COLLATE ignore_accents', 'resume', 'Résumé  '],
        ['accentlists', 'char(8)[] COLLATE ignore_accents', '{resume}', '{"Résumé "}'],
        ['varying', 'varchar(8)[] COLLATE ignore_accents', '{resume}', '{Résumé}'],
    ];
    for (const [name, type, asked, written] of cases)
        test(`of ${type} is found by its value (${name})`, async () => {
            await topics(name, type);
            const state = await subscribe(use.cluster, `${name}-state`, asked);
            assert.deepEqual((await state.next()).data, []);
            const events = await subscribe(use.cluster, `${name}-events`, asked);
            await sql(`INSERT INTO ${name} VALUES (1, $1)`, [written]);
            await state.next((message) => JSON.stringify(message.data) === '[{"id":1}]');
            assert.equal((await events.next()).data.id, 1);
            await sql(`SELECT rtd_broadcast('${name}-events', '{"id": 2}', params => ARRAY[$1])`, [written]);
            assert.equal((await events.next()).data.id, 2);
            // Another value is another instance.
            await sql(`INSERT INTO ${name} VALUES (3, NULL), (4, $1)`, [type.includes('[]') ? '{zz}' : 'zz']);
            await sql(`INSERT INTO ${name} VALUES (5, $1)`, [written]);
            assert.equal((await events.next()).data.id, 5);
        });
});
