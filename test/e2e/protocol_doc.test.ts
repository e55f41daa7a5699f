// docs/PROTOCOL.md shows real messages: every JSON block in it parses and is one, or the body of an
// HTTP answer.

import assert from 'node:assert/strict';
import * as fs from 'node:fs';
import * as path from 'node:path';
import { test } from 'node:test';
import { root } from '../lib/cluster';
import { checkEnvelope } from '../lib/subscriber';

// What HTTP answers: a refusal, /healthz, /readyz.
const bodies = [['error'], ['status'], ['detail', 'ready']];
const isBody = (value: object) => bodies.some((members) => members.join() === Object.keys(value).sort().join());

test('every JSON example of docs/PROTOCOL.md is an envelope or an HTTP body', () => {
    const text = fs.readFileSync(path.join(root, 'docs/PROTOCOL.md'), 'utf8');
    const blocks = [...text.matchAll(/^```json\n(.*?)^```/gms)].map((match) => match[1]);
    assert.ok(blocks.length > 0, 'there is at least one example');
    for (const block of blocks) {
        const message = JSON.parse(block);
        if (!isBody(message)) checkEnvelope(message);
    }
});
