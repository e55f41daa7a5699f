// A client of /sse for tests: reads the events of one answer, without reconnecting.

import * as http from 'node:http';
import * as https from 'node:https';
import { waitFor } from './wait';

export interface StreamEvent {
    id?: string;
    event?: string;
    message: any;
}

const open = new Set<http.ClientRequest>();

export class EventStream {
    status = 0;
    headers: http.IncomingHttpHeaders = {};
    ended = false;
    readonly events: StreamEvent[] = [];
    body = '';
    private seen = 0;
    private rest = '';

    private constructor(private readonly request: http.ClientRequest) {
        open.add(request);
        request.on('response', (response) => {
            this.status = response.statusCode!;
            this.headers = response.headers;
            response.setEncoding('utf8');
            response.on('data', (chunk) => this.receive(chunk));
            response.on('close', () => this.finish());
        });
        request.on('error', () => this.finish());
        request.end();
    }

    /** Resolves once the head of the answer is there. */
    static async open(url: string, headers: Record<string, string> = {}, tls: https.RequestOptions = {}): Promise<EventStream> {
        const { request } = url.startsWith('https:') ? https : http;
        const stream = new EventStream(request(url, { headers, agent: false, ...tls }));
        await waitFor(`an answer of ${url}`, () => stream.status || stream.ended);
        return stream;
    }

    private receive(chunk: string) {
        this.body += chunk;
        this.rest += chunk;
        for (let end; (end = this.rest.indexOf('\n\n')) >= 0; this.rest = this.rest.slice(end + 2)) {
            const fields: Record<string, string> = {};
            for (const line of this.rest.slice(0, end).split('\n')) {
                const colon = line.indexOf(': ');
                if (colon > 0) fields[line.slice(0, colon)] = line.slice(colon + 2);
            }
            if (fields.data) this.events.push({ id: fields.id, event: fields.event, message: JSON.parse(fields.data) });
        }
    }

    private finish() {
        this.ended = true;
        open.delete(this.request);
    }

    async next(predicate: (event: StreamEvent) => unknown = () => true): Promise<StreamEvent> {
        return waitFor(
            `an event; so far ${this.body.slice(-500)}`,
            () => {
                while (this.seen < this.events.length) {
                    const event = this.events[this.seen++];
                    if (predicate(event)) return event;
                }
                return undefined;
            },
            { everyMs: 2 },
        );
    }

    close() {
        this.request.destroy();
    }
}

/** Ends what a failed test left open, so that the process can end. */
export function closeStreams() {
    for (const request of open) request.destroy();
}
