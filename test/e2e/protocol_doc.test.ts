// docs/PROTOCOL.md shows real messages: every JSON block in it parses and is one.

import assert from 'node:assert/strict';
import * as fs from 'node:fs';
import * as path from 'node:path';
import { test } from 'node:test';
import { root } from '../lib/cluster';
import { checkEnvelope } from '../lib/subscriber';

test('every JSON example of docs/PROTOCOL.md is an envelope or a control message', (t) => {
    const file = path.join(root, 'docs/PROTOCOL.md');
    if (!fs.existsSync(file)) return t.skip('docs/PROTOCOL.md is not there');
    const blocks = [...fs.readFileSync(file, 'utf8').matchAll(/^```json\n(.*?)^```/gms)].map((match) => match[1]);
    assert.ok(blocks.length > 0, 'there is at least one example');
    for (const block of blocks) {
        const message = JSON.parse(block);
        // Health and control bodies are told by their own members.
        if ('ready' in message || 'status' in message || /^rtd_/.test(message.type ?? '')) continue;
        checkEnvelope(message);
    }
});
