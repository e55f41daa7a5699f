// A domain is its base type with a check: as a parameter, as a column that holds one, in a condition, and in the
// JSON of a payload, over every kind of base type and over another domain, whatever a writer's session has set.

import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { randomSettings } from '../lib/spellings';
import { createTopic, subscribe, useCluster } from '../lib/harness';
import { Random } from '../lib/random';

const use = useCluster({ settings: { 'rtd.resync_interval': '1h', timezone: 'UTC' } }, (cluster) =>
    cluster.sql(`CREATE COLLATION ignore_case (provider = icu, locale = 'und-u-ks-level2', deterministic = false)`),
);
const sql = (text: string, values?: unknown[]) => use.cluster.sql(text, values);
const count = (n: number) => (message: any) => message.data[0]?.n === n;

// What the client asks for and what is written are the same value of the domain; another one is not.
const bases: [name: string, base: string, asked: string, written: string, other: string][] = [
    ['boolean', 'boolean', 'yes', 't', 'f'],
    ['int', 'int', '007', '7', '8'],
    ['numeric', 'numeric', '1.50', '1.5', '1.6'],
    ['numeric-of-two-places', 'numeric(10,2)', '1.234', '1.23', '1.24'],
    ['numeric-of-hundreds', 'numeric(10,-2)', '149', '100', '200'],
    ['float', 'float8', '1e-1', '0.1', '0.2'],
    ['date', 'date', '2026-1-5', '2026-01-05', '2026-05-01'],
    ['timestamptz', 'timestamptz', '2026-01-05 01:00+01', '2026-01-05 00:00Z', '2026-01-05 00:00:01Z'],
    ['timestamp-of-seconds', 'timestamp(0)', '2026-01-05 00:00:00.4', '2026-01-05 00:00:00', '2026-01-05 00:00:01'],
    ['timestamptz-of-seconds', 'timestamptz(0)', '2026-01-05 00:00:00.4Z', '2026-01-05 00:00:00Z', '2026-01-05 00:00:01Z'],
    ['time-of-seconds', 'time(0)', '04:05:06.4', '04:05:06', '04:05:07'],
    ['interval-of-seconds', 'interval(0)', '1.4 s', '1 s', '2 s'],
    ['interval-of-days', 'interval day', '1 day 5:00', '1 day', '2 days'],
    ['text', 'text', 'Abc', 'Abc', 'abc'],
    ['varchar', 'varchar(3)', 'abc  ', 'abc', 'ab'],
    ['char', 'char(6)', 'ab ', 'ab', 'abc'],
    ['collation', 'text COLLATE ignore_case', 'STRASSE', 'strasse', 'other'],
    ['uuid', 'uuid', 'A0EEBC99-9C0B-4EF8-BB6D-6BB9BD380A11', 'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11', 'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a12'],
    ['bytea', 'bytea', '\\x01FF', '\\x01ff', '\\x02'],
    ['ints', 'int[]', '{ 1 , 02 }', '{1,2}', '{2,1}'],
    ['numerics-of-one-place', 'numeric(8,1)[]', '{1.04}', '{1.0}', '{1.1}'],
    ['dates', 'date[]', '{2026-1-5}', '{2026-01-05}', '{2026-01-06}'],
    ['jsonb', 'jsonb', '{"b":1,"a":1.0}', '{"a": 1, "b": 1}', '{}'],
    ['range', 'int4range', '[1,4]', '[1,5)', '[1,6)'],
    ['bits', 'bit varying(4)', 'xA', '1010', '1011'],
];

for (const [name, base, asked, written, other] of bases)
    describe(`a domain over ${base}`, () => {
        const random = new Random(bases.findIndex((entry) => entry[0] === name) + 1);
        const write = (statement: string, value: string) =>
            use.cluster.query(`BEGIN; ${randomSettings(random)}; ${statement.replace('$1', `'${value.replace(/'/g, "''")}'`)}; COMMIT; RESET ALL`);
        for (const [kind, where] of [
            ['column', 'p = $1'],
            ['parameter', `p = $1::of_domain`],
        ])
            test(`names an instance as a ${kind}`, async () => {
                const table = `t_${kind}_${name.replace(/-/g, '_')}`;
                const topic = `${kind}-${name}`;
                await sql(`CREATE DOMAIN ${table}_inner AS ${base}; CREATE DOMAIN ${table}_outer AS ${table}_inner CHECK (VALUE IS NOT NULL);
                           CREATE TABLE ${table} (id int GENERATED ALWAYS AS IDENTITY, p ${table}_outer)`);
                const typed = where.replace('of_domain', `${table}_outer`);
                await createTopic(use.cluster, topic, `query => $q$SELECT count(*) AS n FROM ${table} WHERE ${typed}$q$, parameters => '{p}', throttle => '0'`);
                await sql(`SELECT rtd_watch_table('${table}', '${topic}')`);
                const shortened = kind === 'column' && (/-of-/.test(name) || base.startsWith('varchar')) ? written : asked; // $1 is of the base type, without its modifier
                const client = await subscribe(use.cluster, topic, shortened);
                await client.next(count(0));
                await write(`INSERT INTO ${table} (p) VALUES ($1)`, other);
                await write(`INSERT INTO ${table} (p) VALUES ($1)`, written);
                await client.next(count(1));
            });

        test('has the JSON of its base type, in a payload and in a query', async () => {
            const table = `j_${name.replace(/-/g, '_')}`;
            const topic = `json-${name}`;
            await sql(`CREATE DOMAIN ${table}_inner AS ${base}; CREATE DOMAIN ${table}_outer AS ${table}_inner;
                       CREATE TABLE ${table} (id int PRIMARY KEY, n int, p ${table}_outer, q ${base})`);
            await createTopic(use.cluster, topic);
            await sql(`SELECT rtd_watch_table('${table}', '${topic}', columns => '{id,n,p,q}', operations => '{UPDATE}', condition => 'NEW.p IS DISTINCT FROM OLD.p')`);
            const client = await subscribe(use.cluster, topic);
            const both = (value: string) => value.replace(/'/g, "''");
            await sql(`INSERT INTO ${table} VALUES (1, 1, '${both(other)}', '${both(other)}')`);
            await write(`UPDATE ${table} SET n = 2, p = $1`, other);
            await write(`UPDATE ${table} SET n = 3, q = $1, p = '${both(written)}'`, written);
            const message: any = await client.next();
            assert.equal(message.data.n, 3, 'the condition compares values');
            assert.deepEqual(message.data.p, message.data.q);
            const [row] = (await use.cluster.query(`SELECT to_jsonb(p) AS p FROM ${table}`)).rows;
            assert.deepEqual(message.data.p, row.p);
        });
    });
