// The demo's tables and topics: the acceptance data of the project, for tests and measurements too.

import * as fs from 'node:fs';
import * as path from 'node:path';
import { Cluster, root } from './cluster';

export async function loadDemo(cluster: Cluster) {
    for (const file of ['tables.sql', 'topics.sql'])
        await cluster.sql(fs.readFileSync(path.join(root, 'demo', file), 'utf8'));
}
