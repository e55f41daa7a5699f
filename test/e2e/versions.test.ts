// Library and extension of different versions: one was updated, and the other not yet.

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import * as path from 'node:path';
import { test } from 'node:test';
import { root } from '../lib/cluster';
import { createTopic, subscribe, useCluster } from '../lib/harness';

const use = useCluster();
const installed = /default_version = '(.*)'/.exec(readFileSync(path.join(root, 'rtd.control'), 'utf8'))![1];
const sentence = /the extension in database "app" has version 0\.0\.9, and the library that the server has loaded (\S+)/;

test('the log says at the start of the hub that the versions differ, once, and topics are served', async () => {
    const { cluster } = use;
    assert.doesNotMatch(cluster.log(), /has version/, 'equal versions are not worth a line');
    await createTopic(cluster, 'served', `query => 'SELECT 1 AS n'`);
    await cluster.sql(`UPDATE pg_extension SET extversion = '0.0.9' WHERE extname = 'rtd'`);
    const position = cluster.logPosition();
    await cluster.restart();
    await cluster.ready();
    const [, library] = await cluster.waitForLog(sentence, position);
    assert.equal(library, installed);
    assert.match(cluster.log().slice(position), /HINT: {2}Run ALTER EXTENSION rtd UPDATE there, or restart the server/);
    await cluster.sql(`SELECT rtd_drop_topic('served')`); // the registry is read as a whole again
    await createTopic(cluster, 'served', `query => 'SELECT 2 AS n'`);
    const client = await subscribe(cluster, 'served');
    assert.deepEqual((await client.next()).data, [{ n: 2 }]);
    assert.equal(cluster.log().slice(position).match(new RegExp(sentence, 'g'))?.length, 1);
});

test('it says so too when the extension is another one while the hub runs', async () => {
    const { cluster } = use;
    const position = cluster.logPosition();
    await cluster.sql(`DROP EXTENSION rtd CASCADE`);
    await cluster.waitForLog(/waiting for the extension/, position);
    await cluster.sql(`BEGIN; CREATE EXTENSION rtd; UPDATE pg_extension SET extversion = '0.0.9' WHERE extname = 'rtd'; COMMIT`);
    await cluster.waitForLog(sentence, position);
});
