// docs/PROTOCOL.md shows real messages: every JSON block in it parses and is one, what a client of
// /ws says, or the body of an HTTP answer.

import assert from 'node:assert/strict';
import * as fs from 'node:fs';
import * as path from 'node:path';
import { test } from 'node:test';
import { root } from '../lib/cluster';
import { checkEnvelope } from '../lib/subscriber';

// What HTTP answers: a refusal, /healthz, /readyz.
const bodies = [['error'], ['status'], ['detail', 'ready']];
const isBody = (value: object) => bodies.some((members) => members.join() === Object.keys(value).sort().join());

const members: Record<string, string[]> = {
    subscribe: ['topic', 'params', 'since'],
    unsubscribe: ['topic', 'params'],
    publish: ['topic', 'params', 'data', 'type'],
    ping: [],
};
function checkRequest({ action, ref, ...rest }: any) {
    assert.ok(action in members, `action ${action}`);
    for (const name of Object.keys(rest)) assert.ok(members[action].includes(name), `${action} has no ${name}`);
}

test('every JSON example of docs/PROTOCOL.md is an envelope, a request or an HTTP body', () => {
    const text = fs.readFileSync(path.join(root, 'docs/PROTOCOL.md'), 'utf8');
    const blocks = [...text.matchAll(/^```json\n(.*?)^```/gms)].map((match) => JSON.parse(match[1]));
    for (const block of blocks)
        if (block.action) checkRequest(block);
        else if (!isBody(block)) checkEnvelope(block);
    const types = new Set(blocks.map((block) => block.type));
    for (const type of ['rtd_subscribed', 'rtd_unsubscribed', 'rtd_gap', 'rtd_error', 'rtd_published', 'rtd_pong'])
        assert.ok(types.has(type), `${type} has an example`);
});
