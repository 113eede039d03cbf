/**
 * Certificate and key of the daemon's HTTPS: the operator's files, looked at again when they change, or one
 * of our own in the state folder.
 *
 * Invariant: files that do not fit together never take the place of a pair that works. Called by
 * start-daemon.ts.
 */

import { createPrivateKey, X509Certificate } from 'node:crypto'
import { readFileSync, statSync, writeFileSync } from 'node:fs'
import { hostname } from 'node:os'
import { join } from 'node:path'
import { InvalidOptionsError, StoreError } from '../errors.ts'
import { createHttpsCertificate } from '../node/https-certificate.ts'

export interface TlsFiles {
  cert: string
  key: string
}

export interface TlsPair {
  cert: string
  key: string
  /** SHA-256 of the certificate, as openssl and browsers show it. */
  fingerprint: string
}

const OWN_CERT = 'https-cert.pem'
const OWN_KEY = 'https-key.pem'
const LOOK_MS = 2000

/** Throws `InvalidOptionsError` for files that cannot be used. */
export function readPair({ cert: certFile, key: keyFile }: TlsFiles): TlsPair {
  try {
    const [cert, key] = [readFileSync(certFile, 'utf8'), readFileSync(keyFile, 'utf8')]
    const certificate = new X509Certificate(cert)
    if (!certificate.checkPrivateKey(createPrivateKey(key))) throw new Error('the key is not that of the certificate')
    return { cert, key, fingerprint: certificate.fingerprint256 }
  } catch (err) {
    throw new InvalidOptionsError(
      `tls-cert, tls-key: ${(err as Error).message}`,
      { field: 'tls-cert', cert: certFile, key: keyFile },
      err
    )
  }
}

/**
 * Our own pair: made at the first start, and again when it is over. `host` is one more name that clients may
 * use.
 */
export function ownPair(stateDir: string, host: string): TlsFiles {
  const files = { cert: join(stateDir, OWN_CERT), key: join(stateDir, OWN_KEY) }
  try {
    if (new X509Certificate(readFileSync(files.cert)).validToDate.getTime() > Date.now() && readPair(files).cert !== '')
      return files
  } catch (err) {
    const { code } = err as NodeJS.ErrnoException
    if (code !== 'ENOENT') throw new StoreError('cannot use the certificate; delete it and its key', files.cert, err)
  }
  const names = new Set(['localhost', hostname(), '127.0.0.1', '::1', ...(host === '0.0.0.0' || host === '::' ? [] : [host])])
  const { cert, key } = createHttpsCertificate([...names])
  try {
    writeFileSync(files.key, key, { mode: 0o600 })
    writeFileSync(files.cert, cert, { mode: 0o600 })
  } catch (err) {
    throw new StoreError('cannot keep the certificate', files.cert, err)
  }
  return files
}

/** Calls `use` with each pair that the files come to hold; stops when the answer is called. */
export function watchPair(files: TlsFiles, use: (pair: TlsPair) => void, onFault: (err: unknown) => void): () => void {
  const look = (): string =>
    [files.cert, files.key]
      .map(path => statSync(path, { throwIfNoEntry: false }))
      .map(found => `${found?.mtimeMs} ${found?.ino} ${found?.size}`)
      .join()
  let seen = look()
  let used = readPair(files).fingerprint
  const timer = setInterval(() => {
    const now = look()
    if (now === seen) return
    seen = now
    try {
      const pair = readPair(files)
      if (pair.fingerprint !== used) use(pair)
      used = pair.fingerprint
    } catch (err) {
      // Perhaps one of the two is still being written: the next change tries again.
      onFault(err)
    }
  }, LOOK_MS)
  timer.unref()
  return () => clearInterval(timer)
}
