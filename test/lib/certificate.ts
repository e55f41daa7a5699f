// Certificates for tests, made on the spot with the openssl command: self-signed, for localhost and
// 127.0.0.1, so that a client that is given one as its authority checks for real.

import { execFileSync } from 'node:child_process';
import * as fs from 'node:fs';

export interface Files {
    cert: string;
    key: string;
}

/** Writes the two files, readable for the owner of `like` alone, and returns the certificate. */
export function makeCertificate(files: Files, name: string, like: string): string {
    execFileSync(
        'openssl',
        [
            ...['req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes', '-days', '2'],
            ...['-subj', `/CN=${name}`, '-addext', 'subjectAltName=DNS:localhost,IP:127.0.0.1'],
            ...['-keyout', files.key, '-out', files.cert],
        ],
        { stdio: ['ignore', 'ignore', 'pipe'] },
    );
    const { uid, gid } = fs.statSync(like);
    for (const file of [files.cert, files.key]) fs.chownSync(file, uid, gid);
    fs.chmodSync(files.key, 0o600);
    return fs.readFileSync(files.cert, 'utf8');
}
