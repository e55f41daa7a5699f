// Random numbers from a seed that is printed, so that a run can be repeated.

export const newSeed = () => Math.floor(Math.random() * 2 ** 31);

export class Random {
    constructor(private state: number) {}

    /** At least 0, less than 1 (mulberry32). */
    next(): number {
        this.state = (this.state + 0x6d2b79f5) | 0;
        let t = Math.imul(this.state ^ (this.state >>> 15), 1 | this.state);
        t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
        return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
    }

    /** A whole number, both ends included. */
    between(first: number, last: number): number {
        return first + Math.floor(this.next() * (last - first + 1));
    }

    pick<T>(choices: readonly T[]): T {
        return choices[this.between(0, choices.length - 1)];
    }
}
