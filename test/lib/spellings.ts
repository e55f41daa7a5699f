// Types, and values of them in several spellings: what the tests of parameters write and ask for.

import { Random } from './random';

export interface SpelledType {
    name: string;
    type: string;
    /** A value, as texts that the type takes for equal. All of one value are equal to each other. */
    value: (random: Random) => string[];
    /** Types without an equality are compared otherwise: with column and $1. */
    where?: string;
    /** No primary key can have the type. */
    noKey?: boolean;
}

const pad = (n: number, width = 2) => String(n).padStart(width, '0');
const oneOf =
    (...values: string[][]) =>
    (random: Random) =>
        random.pick(values);
const whole = (first: number, last: number) => (random: Random) => {
    const n = random.between(first, last);
    const digits = String(Math.abs(n));
    const sign = n < 0 ? '-' : '';
    return [`${n}`, `${sign}0${digits}`, ` ${n} `, ...(n >= 0 ? [`+${n}`] : []), `${sign}000${digits}`];
};

function uuid(random: Random): string[] {
    const n = random.between(0, 3);
    const text = `a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a1${n}`;
    return [text, text.toUpperCase(), `{${text}}`, text.replaceAll('-', '')];
}

function date(random: Random): string[] {
    const [year, month, day] = [2026, random.between(1, 3), random.between(1, 4)];
    return [
        `${year}-${pad(month)}-${pad(day)}`,
        `${year}-${month}-${day}`,
        `${year}${pad(month)}${pad(day)}`,
        `${['January', 'February', 'March'][month - 1]} ${day}, ${year}`,
    ];
}

function timestamp(random: Random): string[] {
    const [day, hour] = [random.between(1, 3), random.between(1, 3)];
    return [
        `2026-01-${pad(day)}T${pad(hour)}:30:00`,
        `2026-1-${day} ${hour}:30`,
        `2026-01-${pad(day)} ${pad(hour)}:30:00.000`,
        `Jan ${day} 2026 ${hour}:30 AM`,
    ];
}

function timestamptz(random: Random): string[] {
    const [day, hour] = [random.between(1, 3), random.between(4, 6)];
    return [
        `2026-01-${pad(day)}T${pad(hour)}:30:00+00:00`,
        `2026-01-${pad(day)} ${pad(hour)}:30+00`,
        `2026-01-${pad(day)} ${pad(hour + 1)}:30:00+01`,
        `2026-01-${pad(day)} ${pad(hour)}:30Z`,
        `2026-01-${pad(day)} ${pad(hour - 3)}:00:00-03:30`,
    ];
}

function interval(random: Random): string[] {
    const days = random.between(1, 4);
    return [`${days} days`, `${days * 24}:00`, `${days * 24} hours`, `P${days}D`, `@ ${days} days`];
}

function bytes(random: Random): string[] {
    const n = random.between(1, 4);
    return [`\\x0${n}ff`, `\\x0${n}FF`, `\\00${n}\\377`];
}

export const setup = `
    CREATE EXTENSION citext; CREATE EXTENSION ltree; CREATE EXTENSION hstore; CREATE EXTENSION cube;
    CREATE COLLATION ignore_case (provider = icu, locale = 'und-u-ks-level2', deterministic = false);
    CREATE TYPE mood AS ENUM ('sad', 'ok', 'Happy');
    CREATE TYPE pair AS (a int, b text);
    CREATE TYPE decimals AS RANGE (subtype = numeric);
    CREATE DOMAIN positive AS int CHECK (VALUE > 0);
    CREATE DOMAIN word AS text CHECK (VALUE <> '');
    CREATE DOMAIN day AS date;
    CREATE DOMAIN tenth AS numeric(8,1);
    CREATE DOMAIN moment AS timestamptz;
    CREATE DOMAIN label AS citext;
    CREATE DOMAIN deep AS tenth CHECK (VALUE < 100);
    CREATE DOMAIN pairs AS pair;
    CREATE DOMAIN ints AS int[];
    CREATE DOMAIN folded AS text COLLATE ignore_case;
    CREATE DOMAIN code AS char(4);
    CREATE TYPE amount AS (value numeric, at timestamptz);
    CREATE TYPE words AS RANGE (subtype = text, collation = "C");
    CREATE TYPE instants AS RANGE (subtype = timestamptz);
    CREATE COLLATION ignore_accent (provider = icu, locale = 'und-u-ks-level1', deterministic = false);`;

export const spelledTypes: SpelledType[] = [
    { name: 'int2', type: 'int2', value: whole(-3, 3) },
    { name: 'int4', type: 'int4', value: whole(-3, 3) },
    { name: 'int8', type: 'int8', value: whole(9007199254740991, 9007199254740993) },
    {
        name: 'numeric',
        type: 'numeric',
        value: oneOf(['42', '42.00', '4.2e1', '042', '+42'], ['0.5', '.5', '0.500', '5e-1'], ['NaN', 'nan'], ['0', '0.00', '-0']),
    },
    { name: 'decimal', type: 'numeric(10,2)', value: oneOf(['42', '42.00', '42.0'], ['1.5', '1.50'], ['-7.25', '-07.250']) },
    { name: 'float4', type: 'float4', value: oneOf(['1.5', '1.50', '15e-1'], ['0', '-0', '0.0'], ['0.1', '1e-1'], ['NaN', 'nan']) },
    {
        name: 'float8',
        type: 'float8',
        value: oneOf(['0.1', '1e-1', '.10'], ['0', '-0'], ['Infinity', 'inf', '+Infinity'], ['1e+100', '1e100', '10e99'], ['0.30000000000000004', '0.3000000000000000444']),
    },
    { name: 'bool', type: 'bool', value: oneOf(['true', 't', 'TRUE', 'yes', 'on', '1', 'True'], ['false', 'f', 'FALSE', 'no', 'off', '0']) },
    { name: 'uuid', type: 'uuid', value: uuid },
    { name: 'text', type: 'text', value: oneOf(['abc'], ['ABC'], ['a b'], ['042'], ['ä/ö,"\\']) },
    { name: 'varchar', type: 'varchar(10)', value: oneOf(['abc'], ['ABC'], ['abc  ']) },
    { name: 'bpchar', type: 'char(6)', value: oneOf(['abc', 'abc ', 'abc   '], ['ABC'], ['a b', 'a b  ']) },
    { name: 'char', type: '"char"', value: oneOf(['a'], ['b'], ['c']) },
    { name: 'name', type: 'name', value: oneOf(['abc'], ['ABC'], ['x'.repeat(63), 'x'.repeat(70)]) },
    { name: 'citext', type: 'citext', value: oneOf(['abc', 'ABC', 'aBc'], ['straße', 'STRAßE'], ['x']) },
    { name: 'nocase', type: 'text COLLATE ignore_case', value: oneOf(['abc', 'ABC', 'aBc'], ['ärger', 'ÄRGER'], ['x']) },
    { name: 'nocasechar', type: 'varchar(10) COLLATE ignore_case', value: oneOf(['abc', 'ABC'], ['y', 'Y']) },
    { name: 'date', type: 'date', value: date },
    { name: 'time', type: 'time', value: oneOf(['04:05:00', '4:05', '04:05 AM', '040500'], ['16:05:00', '4:05 PM', '16:05'], ['24:00:00']) },
    { name: 'timetz', type: 'timetz', value: oneOf(['04:05:00+00', '4:05+00:00', '04:05Z'], ['04:05:00+01', '4:05+01:00'], ['04:05:00-08']) },
    { name: 'timestamp', type: 'timestamp', value: timestamp },
    { name: 'timestamptz', type: 'timestamptz', value: timestamptz },
    { name: 'interval', type: 'interval', value: interval },
    { name: 'bytea', type: 'bytea', value: bytes },
    { name: 'inet', type: 'inet', value: oneOf(['10.0.0.1', '10.0.0.1/32'], ['::1', '0:0:0:0:0:0:0:1', '::1/128'], ['10.0.0.0/8']) },
    { name: 'cidr', type: 'cidr', value: oneOf(['10.0.0.0/8', '10/8', '10.0/8'], ['192.168.1.0/24', '192.168.1/24']) },
    { name: 'macaddr', type: 'macaddr', value: oneOf(['08:00:2b:01:02:03', '08-00-2B-01-02-03', '08002b:010203', '0800.2b01.0203'], ['08:00:2b:01:02:04']) },
    { name: 'macaddr8', type: 'macaddr8', value: oneOf(['08:00:2b:01:02:03:04:05', '08002b0102030405', '08-00-2B-01-02-03-04-05'], ['08:00:2b:01:02:03:04:06']) },
    { name: 'bit', type: 'bit(4)', value: oneOf(['1010', 'B1010', 'xA', 'XA'], ['0000'], ['1111', 'xF']) },
    { name: 'varbit', type: 'varbit', value: oneOf(['1010', 'xA'], ['1'], ['101']) },
    { name: 'money', type: 'money', value: oneOf(['$1.50', '1.50', '1.5', '$1.5'], ['$1,000.00', '1000'], ['-$2.00', '-2']) },
    { name: 'oid', type: 'oid', value: oneOf(['42', '042', ' 42'], ['4294967295', '-1']) },
    { name: 'enum', type: 'mood', value: oneOf(['sad'], ['ok'], ['Happy']) },
    { name: 'positive', type: 'positive', value: whole(1, 3) },
    { name: 'word', type: 'word', value: oneOf(['abc'], ['ABC']) },
    { name: 'day', type: 'day', value: date },
    { name: 'tenth', type: 'tenth', value: oneOf(['1.5', '1.50', '01.5'], ['2', '2.0']) },
    { name: 'moment', type: 'moment', value: timestamptz },
    { name: 'int4range', type: 'int4range', value: oneOf(['[1,5)', '[1,4]', '(0,5)', '[01,4]'], ['empty', '[3,3)'], ['[1,)', '[1,]', '(0,]']) },
    { name: 'decimals', type: 'decimals', value: oneOf(['[1,2]', '[1.0,2.00]', '[01,2]'], ['(1,2]']) },
    { name: 'daterange', type: 'daterange', value: oneOf(['[2026-01-05,2026-01-08)', '[2026-1-5,2026-1-7]'], ['[2026-01-05,)']) },
    {
        name: 'tstzrange',
        type: 'tstzrange',
        value: oneOf(['["2026-01-05 00:00:00+00",)', '[2026-01-05 01:00+01,)', '[2026-1-5Z,)'], ['[2026-01-06Z,2026-01-07Z)']),
    },
    { name: 'int4multirange', type: 'int4multirange', value: oneOf(['{[1,3),[5,7)}', '{[5,6],[1,2]}'], ['{}']) },
    { name: 'int4s', type: 'int4[]', noKey: true, value: oneOf(['{1,2}', '{ 1 , 02 }', '[1:2]={1,2}'], ['{}'], ['{NULL,1}', '{null,1}']) },
    { name: 'texts', type: 'text[]', noKey: true, value: oneOf(['{a,b}', '{"a","b"}', '{ a , b }'], ['{A,b}'], ['{"a b",c}']) },
    { name: 'dates', type: 'date[]', noKey: true, value: oneOf(['{2026-01-05}', '{2026-1-5}', '{"January 5, 2026"}'], ['{2026-01-06}']) },
    { name: 'numerics', type: 'numeric[]', noKey: true, value: oneOf(['{1,2}', '{1.0,2.00}'], ['{1.5}', '{1.50}']) },
    { name: 'nocases', type: 'text[] COLLATE ignore_case', noKey: true, value: oneOf(['{a,b}', '{A,b}', '{A,B}'], ['{x}']) },
    { name: 'jsonb', type: 'jsonb', value: oneOf(['{"a": 1, "b": 2}', '{"b":2,"a":1}', '{"a":1.0,"b":2.00}'], ['[1, 2]', '[1,2]'], ['null', ' null ']) },
    { name: 'lsn', type: 'pg_lsn', value: oneOf(['16/B374D848', '16/b374d848', '016/B374D848'], ['0/0']) },
    { name: 'tsvector', type: 'tsvector', value: oneOf(["'a' 'b'", 'b a', 'a b a'], ["'x':1"]) },
    { name: 'xid8', type: 'xid8', value: oneOf(['42', '042'], ['7']) },
    { name: 'point', type: 'point', where: 'p ~= $1', noKey: true, value: oneOf(['(1,2)', '1,2', '( 1.0 , 2 )'], ['(3,4)']) },
    { name: 'json', type: 'json', where: 'p::text = $1', noKey: true, value: oneOf(['{"a": 1}'], ['{"a":1}']) },
    { name: 'pair', type: 'pair', where: 'p = $1::pair', noKey: true, value: oneOf(['(1,a)', '(1,"a")', '(01,a)'], ['(2,b)']) },
    { name: 'ltree', type: 'ltree', value: oneOf(['a.b'], ['a.b.c'], ['A.b']) },
    { name: 'hstore', type: 'hstore', value: oneOf(['a=>1, b=>2', '"b"=>"2", "a"=>"1"'], ['a=>NULL', '"a"=>null']) },
    { name: 'cube', type: 'cube', value: oneOf(['(1, 2)', '(1,2)', '1,2'], ['(3, 4)']) },
    { name: 'lowered', type: 'text', where: 'lower(p) = lower($1)', value: oneOf(['abc', 'ABC', 'Abc'], ['x']) },
    { name: 'cast', type: 'int4', where: 'p = $1::text::int', value: whole(1, 3) },
    { name: 'astext', type: 'int4', where: 'p::text = $1', value: oneOf(['1'], ['2']) },
    { name: 'like', type: 'text', where: 'p LIKE $1', value: oneOf(['abc', 'a%c', '%'], ['x', '_']) },
    { name: 'label', type: 'label', value: oneOf(['abc', 'ABC', 'aBc'], ['x']) },
    { name: 'deep', type: 'deep', value: oneOf(['1.5', '1.50', '01.5'], ['2', '2.0']) },
    { name: 'ints', type: 'ints', noKey: true, value: oneOf(['{1,2}', '{ 1 , 02 }'], ['{}']) },
    { name: 'folded', type: 'folded', value: oneOf(['abc', 'ABC', 'aBc'], ['x']) },
    { name: 'code', type: 'code', value: oneOf(['ab', 'ab ', 'ab  '], ['AB']) },
    { name: 'accent', type: 'text COLLATE ignore_accent', value: oneOf(['resume', 'résumé', 'RESUME'], ['x']) },
    { name: 'accentchars', type: 'char(8)[] COLLATE ignore_accent', noKey: true, value: oneOf(['{resume}', '{résumé}', '{"RESUME  "}'], ['{x}']) },
    { name: 'accentchar', type: 'char(8) COLLATE ignore_accent', value: oneOf(['resume', 'résumé', 'RESUME  '], ['x']) },
    { name: 'amount', type: 'amount', where: 'p = $1::amount', noKey: true, value: oneOf(['(1.0,2026-01-05 00:00+00)', '(1,"2026-01-05 01:00:00+01")', '(1.00,2026-1-5Z)'], ['(2,)']) },
    { name: 'words', type: 'words', value: oneOf(['[a,b]', '["a","b"]'], ['[a,b)']) },
    { name: 'instants', type: 'instants', value: oneOf(['[2026-01-05 00:00+00,)', '["2026-01-05 01:00+01",)'], ['empty']) },
    { name: 'citexts', type: 'citext[]', noKey: true, value: oneOf(['{a,b}', '{A,b}', '{"A","B"}'], ['{x}']) },
    { name: 'timestamptzs', type: 'timestamptz[]', noKey: true, value: oneOf(['{2026-01-05 00:00+00}', '{"2026-01-05 01:00+01"}', '{2026-1-5Z}'], ['{infinity}', '{Infinity}']) },
    { name: 'bools', type: 'bool[]', noKey: true, value: oneOf(['{t,f}', '{true,false}', '{yes,no}'], ['{}']) },
    { name: 'uuids', type: 'uuid[]', noKey: true, value: oneOf(['{a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11}', '{A0EEBC99-9C0B-4EF8-BB6D-6BB9BD380A11}'], ['{}']) },
    { name: 'jsonbs', type: 'jsonb[]', noKey: true, value: oneOf(['{"{\\"a\\": 1}"}', '{"{\\"a\\":1.0}"}'], ['{1,2}', '{1.0,2}']) },
    { name: 'bpchars', type: 'char(3)[]', noKey: true, value: oneOf(['{a,b}', '{"a ","b  "}'], ['{x}']) },
    { name: 'intervals', type: 'interval[]', noKey: true, value: oneOf(['{1 day}', '{24:00}', '{24 hours}'], ['{1 mon}', '{30 days}']) },
    { name: 'months', type: 'interval', value: oneOf(['1 mon', '30 days', '720:00', 'P1M', '1 month'], ['1 year', '360 days', '12 mons'], ['-1 mon', '-30 days'], ['0', '1 mon -30 days']) },
    { name: 'specialdate', type: 'date', value: oneOf(['infinity', 'Infinity', 'INFINITY'], ['-infinity'], ['0044-03-15 BC', '0044-3-15 BC'], ['10000-01-01'], ['epoch', '1970-01-01']) },
    { name: 'specialtime', type: 'timestamptz', value: oneOf(['infinity', 'Infinity'], ['-infinity'], ['0044-03-15 00:00:00+00 BC'], ['10000-01-01 00:00:00+00', '10000-01-01T00:00Z'], ['epoch', '1970-01-01 00:00+00'], ['1890-01-01 00:00:00+00', '1890-01-01 00:53:28+00:53:28'], ['2026-01-05 00:00:00.123456+00', '2026-01-05T00:00:00.1234564Z']) },
    { name: 'specialstamp', type: 'timestamp', value: oneOf(['infinity', 'Infinity'], ['0044-03-15 00:00:00 BC'], ['2026-01-05 00:00:00.5', '2026-01-05T00:00:00.50', '2026-01-05 00:00:00.500000'], ['12026-01-05 00:00']) },
    { name: 'time3', type: 'time(3)', value: oneOf(['04:05:06.7', '04:05:06.700'], ['00:00']) },
    { name: 'stamp0', type: 'timestamptz(0)', value: oneOf(['2026-01-05 00:00+00', '2026-01-05T01:00+01'], ['2026-01-06Z']) },
    { name: 'scale', type: 'numeric(6,-2)', value: oneOf(['100', '100.0', '1e2'], ['1200', '12e2']) },
    { name: 'infinite', type: 'numeric', value: oneOf(['Infinity', 'inf', '+infinity'], ['-Infinity', '-inf'], ['1e30', '1000000000000000000000000000000'], ['1e-20', '0.00000000000000000001']) },
    { name: 'tinyfloat', type: 'float4', value: oneOf(['1e-45', '1.4e-45'], ['16777217', '16777216'], ['3.4028235e38', '3.4028235e+38'], ['-inf', '-Infinity']) },
    { name: 'floats', type: 'float8[]', noKey: true, value: oneOf(['{0.1,1}', '{.10,1.0}'], ['{-0}', '{0}'], ['{nan}', '{NaN}']) },
    { name: 'box', type: 'box', noKey: true, where: 'p ~= $1', value: oneOf(['(1,1),(0,0)', '(0,0),(1,1)', '((0,1),(1,0))'], ['(5,5),(4,4)']) },
    // Equal are those of equal area: what that says about events, only a query could mean.
    { name: 'boxarea', type: 'box', noKey: true, where: 'p = $1', value: oneOf(['(1,1),(0,0)', '(2,2),(1,1)'], ['(2,2),(0,0)']) },
    { name: 'circle', type: 'circle', noKey: true, where: 'p = $1', value: oneOf(['<(0,0),1>', '((5,5),1)'], ['<(0,0),2>']) },
    { name: 'lseg', type: 'lseg', noKey: true, value: oneOf(['[(0,0),(1,1)]', '((0,0),(1,1))', '0,0,1,1'], ['[(0,0),(2,2)]']) },
    { name: 'polygon', type: 'polygon', noKey: true, where: 'p ~= $1', value: oneOf(['((0,0),(1,1),(1,0))', '((1,1),(1,0),(0,0))'], ['((0,0),(2,2),(2,0))']) },
    { name: 'xml', type: 'xml', noKey: true, where: 'p::text = $1', value: oneOf(['<a/>'], ['<b/>']) },
    { name: 'tsquery', type: 'tsquery', value: oneOf(["'a' & 'b'", 'a & b', "a&b"], ["'x'"]) },
    { name: 'tid', type: 'tid', noKey: true, value: oneOf(['(0,1)', '(00,01)'], ['(1,2)']) },
    { name: 'xid', type: 'xid', noKey: true, value: oneOf(['42', '042'], ['7']) },
    { name: 'oidvector', type: 'oidvector', value: oneOf(['1 2', '01 2'], ['3']) },
    { name: 'regclass', type: 'regclass', noKey: true, where: 'p = $1::regclass', value: oneOf(['pg_class', 'pg_catalog.pg_class'], ['pg_type']) },
    { name: 'regtype', type: 'regtype', noKey: true, where: 'p = $1::regtype', value: oneOf(['integer', 'int4', 'pg_catalog.int4'], ['text']) },
    { name: 'datemulti', type: 'datemultirange', value: oneOf(['{[2026-01-05,2026-01-07]}', '{[2026-1-5,2026-1-8)}'], ['{}']) },
    { name: 'nummulti', type: 'nummultirange', value: oneOf(['{[1,2]}', '{[1.0,2.00]}'], ['{}']) },
    { name: 'moods', type: 'mood[]', noKey: true, value: oneOf(['{sad,ok}', '{ sad , ok }'], ['{}']) },
    { name: 'notdistinct', type: 'numeric', where: 'p IS NOT DISTINCT FROM $1', value: oneOf(['1', '1.0', '01'], ['2']) },
    { name: 'in', type: 'uuid', where: 'p IN ($1)', value: uuid },
    { name: 'between', type: 'date', where: 'p BETWEEN $1 AND $1', value: date },
    { name: 'crossint', type: 'int4', where: 'p = $1::int8', value: whole(1, 3) },
    { name: 'crossnum', type: 'int4', where: 'p = $1::numeric', value: whole(1, 3) },
    { name: 'crossdate', type: 'timestamptz', where: 'p = $1::timestamptz', value: timestamptz },
    { name: 'crossstamp', type: 'timestamp', where: 'p = $1::timestamptz', value: oneOf(['2026-01-05 00:00:00', '2026-1-5'], ['2026-01-06T00:00:00']) },
    { name: 'crosscitext', type: 'text', where: 'p::citext = $1::citext', value: oneOf(['abc', 'ABC'], ['x']) },
    { name: 'collated', type: 'text', where: 'p = $1 COLLATE ignore_case', value: oneOf(['abc', 'ABC'], ['x']) },
    { name: 'coalesced', type: 'int4', where: 'coalesce(p, 0) = $1', value: whole(1, 3) },
    { name: 'trunced', type: 'timestamptz', where: "date_trunc('day', p) = date_trunc('day', $1::timestamptz)", value: timestamptz },
    { name: 'cross', type: 'varchar(5)', where: 'p = $1::text', value: oneOf(['abc'], ['ABC']) },
    { name: 'bpcharastext', type: 'char(5)', where: 'p = $1::text', value: oneOf(['abc'], ['ABC']) },
    { name: 'varcharbpchar', type: 'varchar(5)', where: 'p = $1::bpchar', value: oneOf(['abc', 'abc '], ['ABC']) },
    { name: 'pairs', type: 'pairs', where: 'p = $1::pairs', noKey: true, value: oneOf(['(1,a)', '(1,"a")', '(01,a)'], ['(2,b)']) },
];

/** What a session may have set: nothing of it may change what clients get. */
export const writerSettings: Record<string, string[]> = {
    DateStyle: ['ISO, MDY', 'German, DMY', 'SQL, DMY', 'Postgres, MDY', 'ISO, YMD'],
    TimeZone: ['UTC', 'Europe/Berlin', 'America/St_Johns', 'Asia/Kathmandu'],
    IntervalStyle: ['postgres', 'postgres_verbose', 'sql_standard', 'iso_8601'],
    extra_float_digits: ['-15', '0', '1', '3'],
    bytea_output: ['hex', 'escape'],
    quote_all_identifiers: ['on', 'off'],
    search_path: ['public', 'pg_catalog, public'],
};

export const randomSettings = (random: Random) =>
    Object.entries(writerSettings)
        .map(([name, values]) => `SET ${name} TO ${name === 'search_path' ? random.pick(values) : `'${random.pick(values)}'`}`)
        .join('; ');
