/**
 * The audit log: who added, removed, uploaded, read, changed something or was refused, one JSON object a
 * line, always with the same fields.
 *
 * Invariants: a line is with the operating system before the request is over; the file is its user's alone
 * and rotates, so that it never takes more than `MAX_BYTES` times `MAX_FILES`; when it cannot be written the
 * daemon goes on and says so. Called by http/outcome.ts.
 */

import { closeSync, fstatSync, openSync, renameSync, writeSync } from 'node:fs'
import { StoreError } from '../errors.ts'

export type AuditAction =
  | 'task.add'
  | 'task.change'
  | 'task.remove'
  | 'content.read'
  | 'upload.begin'
  | 'upload.part'
  | 'upload.complete'
  | 'upload.abort'
  | 'limits.change'
  | 'folders.scan'
  | 'token.create'
  | 'token.revoke'
  | 'url.sign'
  | 'login'
  | 'refused'

interface AuditEntry {
  action: AuditAction
  /** Name of the token, or local, open, nobody. */
  who: string
  /** Id of the token. */
  token: string | null
  /** Address of the caller. */
  from: string
  /** HTTP status of the answer. */
  status: number
  /** Root, or id of a task, upload or token. */
  target: string | null
  /** Content bytes sent or taken. */
  bytes: number | null
}

const MAX_BYTES = 10 * 1024 * 1024
/** The one written to, and those before it: `audit.log.1` is the youngest. */
const MAX_FILES = 5

export class AuditLog {
  readonly #path: string
  readonly #maxBytes: number
  readonly #onFault: (err: unknown) => void
  #fd: number
  #bytes = 0

  /** Throws `StoreError`. */
  constructor(path: string, { onFault, maxBytes = MAX_BYTES }: { onFault: (err: unknown) => void; maxBytes?: number }) {
    this.#path = path
    this.#maxBytes = maxBytes
    this.#onFault = onFault
    try {
      this.#fd = this.#open()
    } catch (err) {
      throw new StoreError('cannot write the audit log', path, err)
    }
  }

  record({ action, who, token, from, status, target, bytes }: AuditEntry, nowMs = Date.now()): void {
    const time = new Date(nowMs).toISOString()
    const line = Buffer.from(`${JSON.stringify({ time, action, who, token, from, status, target, bytes })}\n`)
    try {
      if (this.#bytes > 0 && this.#bytes + line.byteLength > this.#maxBytes) this.#rotate()
      this.#bytes += writeSync(this.#fd, line)
    } catch (err) {
      this.#onFault(err)
    }
  }

  close(): void {
    closeSync(this.#fd)
  }

  #open(): number {
    const fd = openSync(this.#path, 'a', 0o600)
    this.#bytes = fstatSync(fd).size
    return fd
  }

  #rotate(): void {
    for (let number = MAX_FILES - 1; number >= 1; number--) {
      try {
        renameSync(number === 1 ? this.#path : `${this.#path}.${number - 1}`, `${this.#path}.${number}`)
      } catch (err) {
        if ((err as NodeJS.ErrnoException).code !== 'ENOENT') throw err
      }
    }
    const former = this.#fd
    this.#fd = this.#open()
    closeSync(former)
  }
}
