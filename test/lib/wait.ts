// Waiting for a condition with a deadline: the only way a test waits.

export class DeadlineError extends Error {}

export interface WaitOptions {
    deadlineMs?: number;
    everyMs?: number;
}

/** For the pace of a load or a backoff; what can be waited for is waited for. */
export const pause = (ms: number) => new Promise<void>((resolve) => setTimeout(resolve, ms));

/** Polls until `condition` returns something truthy, and returns that. `what` names it in the error. */
export async function waitFor<T>(
    what: string,
    condition: () => Promise<T> | T,
    { deadlineMs = 10_000, everyMs = 20 }: WaitOptions = {},
): Promise<NonNullable<T>> {
    const end = Date.now() + deadlineMs;
    for (;;) {
        const value = await condition();
        if (value) return value as NonNullable<T>;
        if (Date.now() >= end) throw new DeadlineError(`waited ${deadlineMs} ms for ${what}`);
        await pause(everyMs);
    }
}

/** For measurements over a stretch of time (idle cost), never for a condition. */
export const measureFor = pause;

/** Fails instead of hanging when `promise` is not settled in time. */
export async function within<T>(what: string, promise: Promise<T>, deadlineMs = 10_000): Promise<T> {
    let timer: NodeJS.Timeout | undefined;
    const deadline = new Promise<never>((_, reject) => {
        timer = setTimeout(() => reject(new DeadlineError(`waited ${deadlineMs} ms for ${what}`)), deadlineMs);
    });
    try {
        return await Promise.race([promise, deadline]);
    } finally {
        clearTimeout(timer);
    }
}
