// --name value on the command line, all of them numbers.

import { parseArgs } from 'node:util';

export function numberOptions<Name extends string>(defaults: Record<Name, number>): Record<Name, number> {
    const names = Object.keys(defaults) as Name[];
    const options = Object.fromEntries(names.map((name) => [name, { type: 'string' as const }]));
    const { values } = parseArgs({ options });
    return Object.fromEntries(names.map((name) => [name, Number(values[name] ?? defaults[name])])) as Record<Name, number>;
}
