// What a newcomer hears first, on each way in: the first message, or why there is none.

import assert from 'node:assert/strict';
import type { Cluster } from './cluster';
import { EventStream } from './event_stream';
import { Multiplexed } from './multiplexed';
import { Envelope, Subscriber, UpgradeRefused } from './subscriber';
import { waitFor, within } from './wait';

export interface FirstAnswer {
    /** Of the refusal: close code or error code. undefined: it was not refused. */
    code?: number;
    /** The sentence of the refusal. */
    reason: string;
    /** HTTP status, where there is one. */
    status?: number;
    message?: Envelope;
    afterMs: number;
}

type Asked = Omit<FirstAnswer, 'afterMs'>;

const path = (topic: string, params: string[]) => [topic, ...params].map(encodeURIComponent).join('/');

async function plain(cluster: Cluster, topic: string, params: string[], since?: string): Promise<Asked> {
    const client = await Subscriber.open(cluster.url(topic, ...params) + (since ? `?since=${since}` : ''));
    const first = client.next().then((message) => ({ message, reason: '' }));
    first.catch(() => {}); // the other one has won
    const answer = await Promise.race([first, client.closed]);
    client.socket.terminate();
    return answer;
}

async function multiplexed(cluster: Cluster, topic: string, params: string[], since?: string): Promise<Asked> {
    const client = await Multiplexed.open(cluster);
    client.send({ action: 'subscribe', topic, params, ...(since ? { since } : {}) });
    const message = await client.next(({ kind, data }) => kind !== 'control' || data.code);
    client.socket.terminate();
    return message.kind === 'control' ? { code: message.data.code, reason: message.data.message } : { message, reason: '' };
}

async function stream(cluster: Cluster, topic: string, params: string[], since?: string): Promise<Asked> {
    const headers: Record<string, string> = since ? { 'Last-Event-ID': since } : {};
    const client = await EventStream.open(`${cluster.httpUrl}/sse/${path(topic, params)}`, headers);
    const { status } = client;
    if (status !== 200) {
        await waitFor('the end of the refusal', () => client.ended);
        const body = JSON.parse(client.body);
        return { status, code: body.code, reason: body.error };
    }
    const { message } = await client.next(({ event }) => event !== 'rtd_subscribed');
    if (message.type !== 'rtd_error') {
        client.close();
        return { status, message, reason: '' };
    }
    await waitFor('the end of the stream', () => client.ended); // so that an EventSource comes back
    return { status, code: message.data.code, reason: message.data.message };
}

async function snapshot(cluster: Cluster, topic: string, params: string[], since?: string): Promise<Asked> {
    const headers: Record<string, string> = since ? { 'If-None-Match': `"${since}"` } : {};
    const response = await fetch(`${cluster.httpUrl}/api/v1/topics/${path(topic, params)}`, { headers });
    const { status } = response;
    const text = await response.text();
    if (status === 304) return { status, reason: 'not modified' };
    const body = JSON.parse(text);
    return status === 200 ? { status, message: body, reason: '' } : { status, code: body.code, reason: body.error };
}

const waysIn = { '/ws/<topic>': plain, '/ws': multiplexed, '/sse': stream, '/api': snapshot };
export type WayIn = keyof typeof waysIn;
export const allWaysIn = Object.keys(waysIn) as WayIn[];

/** `since` is the id of a message that the client says it has. */
export async function firstAnswer(cluster: Cluster, wayIn: WayIn, topic: string, params: string[] = [], since?: string): Promise<FirstAnswer> {
    const start = Date.now();
    const answer = await within(`an answer on ${wayIn}`, waysIn[wayIn](cluster, topic, params, since), 30_000);
    return { ...answer, afterMs: Date.now() - start };
}

/** A newcomer hears of a failure within two seconds; the test's machine may be slow. */
const inTimeMs = 2000 + 500;

/** `what` begins with the way in. */
export function expectRefusal(answer: FirstAnswer, code: number, sentence: RegExp, what: string) {
    assert.equal(answer.message, undefined, `${what}: it was given ${JSON.stringify(answer.message)}`);
    assert.equal(answer.code, code, `${what}: ${JSON.stringify(answer)}`);
    assert.match(answer.reason, sentence, what);
    assert.ok(answer.afterMs < inTimeMs, `${what}: after ${answer.afterMs} ms`);
    if (what.startsWith('/api')) assert.equal(answer.status, code === 4400 ? 400 : 503, what);
}

/** Newcomers on every way in, one after the other and all at once. */
export async function expectRefusalsOf(cluster: Cluster, topic: string, params: string[], code: number, sentence: RegExp, since?: string) {
    const ask = (wayIn: WayIn) => firstAnswer(cluster, wayIn, topic, params, since);
    for (const wayIn of allWaysIn) expectRefusal(await ask(wayIn), code, sentence, `${wayIn} of ${topic}`);
    const answers = await Promise.all(allWaysIn.map(ask));
    answers.forEach((answer, i) => expectRefusal(answer, code, sentence, `${allWaysIn[i]} of ${topic}, all at once`));
}

/** The first thing that a client of an instance hears on `/ws/<topic>`, as text: a message, or why there is none. */
export async function firstHeard(cluster: Cluster, topic: string, ...params: string[]): Promise<string> {
    try {
        const client = await Subscriber.open(cluster.url(topic, ...params));
        const answer = await Promise.race([client.next(), client.closed]);
        client.socket.close();
        await client.closed;
        return JSON.stringify(answer);
    } catch (error) {
        if (error instanceof UpgradeRefused) return error.message;
        throw error;
    }
}
