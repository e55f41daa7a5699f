// What a client of a keyed topic does: it keeps the rows of the snapshot and applies every delta,
// removals first. It checks what every delta must be: no row twice, no key removed that it does not
// have, no row sent that it has already.

import assert from 'node:assert/strict';
import { isDeepStrictEqual } from 'node:util';
import { Envelope } from './subscriber';

export type Row = Record<string, unknown>;

export class KeyedRows {
    readonly rows = new Map<string, Row>();
    snapshots = 0;
    deltas = 0;

    constructor(private readonly key: string[]) {}

    keyOf(row: Row): string {
        return JSON.stringify(this.key.map((column) => row[column]));
    }

    take({ kind, data }: Envelope) {
        if (kind === 'snapshot') this.replace(data);
        else if (kind === 'delta') this.apply(data);
    }

    private replace(rows: Row[]) {
        this.snapshots++;
        this.rows.clear();
        for (const row of rows) this.rows.set(this.keyOf(row), row);
        assert.equal(this.rows.size, rows.length, 'a snapshot has each key once');
    }

    private apply({ upsert, remove }: { upsert: Row[]; remove: Row[] }) {
        this.deltas++;
        assert.ok(upsert.length + remove.length > 0, 'a delta says something');
        for (const key of remove) {
            assert.deepEqual(Object.keys(key).sort(), [...this.key].sort(), 'a key is an object of the key columns');
            assert.ok(this.rows.delete(this.keyOf(key)), `${JSON.stringify(key)} is removed and was not there`);
        }
        const seen = new Set<string>();
        for (const row of upsert) {
            const key = this.keyOf(row);
            assert.ok(!seen.has(key), `${key} twice in a delta`);
            seen.add(key);
            assert.ok(!isDeepStrictEqual(this.rows.get(key), row), `${JSON.stringify(row)} was there already`);
            this.rows.set(key, row);
        }
    }

    /** The first difference from these rows, or undefined if there is none. */
    difference(rows: Row[]): string | undefined {
        for (const row of rows) {
            const mine = this.rows.get(this.keyOf(row));
            if (!isDeepStrictEqual(mine, row)) return `has ${JSON.stringify(mine)}, not ${JSON.stringify(row)}`;
        }
        const keys = new Set(rows.map((row) => this.keyOf(row)));
        for (const [key, row] of this.rows) if (!keys.has(key)) return `still has ${JSON.stringify(row)}`;
        return undefined;
    }
}
