// --name value on the command line; what the default is, number or string, the value is.

import { parseArgs } from 'node:util';

type Widened<Value> = Value extends number ? number : string;

export function commandOptions<Defaults extends Record<string, number | string>>(
    defaults: Defaults,
): { [Name in keyof Defaults]: Widened<Defaults[Name]> } {
    const options = Object.fromEntries(Object.keys(defaults).map((name) => [name, { type: 'string' as const }]));
    const { values } = parseArgs({ options });
    const read = Object.entries(defaults).map(([name, value]) => {
        const given = values[name] as string | undefined;
        return [name, given === undefined ? value : typeof value === 'number' ? Number(given) : given];
    });
    return Object.fromEntries(read);
}

export const numberOptions = <Name extends string>(defaults: Record<Name, number>): Record<Name, number> =>
    commandOptions(defaults);
