/**
 * Tasks, manifests and settings on disk: one SQLite file in the state folder.
 *
 * Invariants: every change is committed before its caller goes on (write-ahead log, full sync), so a kill -9 loses nothing that was
 * answered; one daemon holds the file, a second one is refused. Called by task-queue.ts and limits.ts.
 */

import { mkdirSync } from 'node:fs'
import { dirname } from 'node:path'
import { DatabaseSync, type StatementSync } from 'node:sqlite'
import { InvalidOptionsError, StoreError } from '../errors.ts'
import { createPrivateFile } from '../node/state-folder.ts'
import type { AddTask, ErrorBody, TaskLimits, TaskState } from './schema.ts'

/** What a task is, without what only a running transfer knows. */
export interface TaskRecord {
  readonly id: string
  readonly kind: 'get' | 'seed'
  readonly root: string
  name: string
  /** The link that it came from; undefined when its manifest is stored. */
  link: string | undefined
  state: TaskState
  /** Order among equal priorities: smaller goes first. */
  order: number
  priority: number
  pinned: boolean
  limits: TaskLimits
  /** What the caller asked for as output; undefined: the complete folder. */
  output: string | undefined
  only: string[] | undefined
  peers: string[]
  /** Origins that callers gave, beside those of manifest or link. */
  origins?: string[]
  originLimits?: NonNullable<AddTask['originLimits']>
  /** Whether private addresses may be asked for them: whoever added the task is this user, or the operator allows it to all. */
  privateOrigins?: boolean
  force: boolean
  /** Where the content is once it was opened. */
  path: string | undefined
  length: number | undefined
  bytesDone: number
  bytesDownloaded: number
  bytesUploaded: number
  bytesWasted: number
  error: ErrorBody | undefined
  /** Its content is being deleted, to free the disk or with the task; a start after a crash goes on with it. */
  removing?: 'evict' | 'delete' | undefined
  createdMs: number
  startedMs: number | undefined
  finishedMs: number | undefined
  lastUsedMs: number
  /** `Last-Modified` of the content, fixed when it was added so that it never changes while readers resume. */
  lastModifiedMs: number
}

const SCHEMA_VERSION = 1

export class TaskStore {
  readonly #db: DatabaseSync
  readonly #put: StatementSync
  readonly #delete: StatementSync
  readonly #putManifest: StatementSync
  readonly #getManifest: StatementSync
  readonly #deleteManifest: StatementSync
  readonly #putSetting: StatementSync
  readonly #getSetting: StatementSync

  /** `path` may be ':memory:'. Throws `InvalidOptionsError` when another daemon has it open, `StoreError` when it cannot be used. */
  constructor(path: string) {
    try {
      if (path !== ':memory:') {
        mkdirSync(dirname(path), { recursive: true, mode: 0o700 })
        createPrivateFile(path)
      }
      this.#db = new DatabaseSync(path)
      this.#db.exec('PRAGMA locking_mode = EXCLUSIVE; PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL')
      this.#migrate(path)
    } catch (err) {
      if (err instanceof InvalidOptionsError) throw err
      if (/database is locked/.test((err as Error).message)) {
        throw new InvalidOptionsError(
          `another daemon uses the state folder of ${path}; stop it or give --state-dir`,
          { path },
          err
        )
      }
      throw new StoreError('cannot open the task store', path, err)
    }
    this.#put = this.#db.prepare(
      'INSERT INTO tasks (id, root, record) VALUES (?, ?, ?) ON CONFLICT (id) DO UPDATE SET record = excluded.record'
    )
    this.#delete = this.#db.prepare('DELETE FROM tasks WHERE id = ?')
    this.#putManifest = this.#db.prepare(
      'INSERT INTO manifests (root, text) VALUES (?, ?) ON CONFLICT (root) DO UPDATE SET text = excluded.text'
    )
    this.#getManifest = this.#db.prepare('SELECT text FROM manifests WHERE root = ?')
    this.#deleteManifest = this.#db.prepare('DELETE FROM manifests WHERE root = ?')
    this.#putSetting = this.#db.prepare(
      'INSERT INTO settings (name, value) VALUES (?, ?) ON CONFLICT (name) DO UPDATE SET value = excluded.value'
    )
    this.#getSetting = this.#db.prepare('SELECT value FROM settings WHERE name = ?')
  }

  #migrate(path: string): void {
    const version = (this.#db.prepare('PRAGMA user_version').get() as { user_version: number }).user_version
    if (version > SCHEMA_VERSION) {
      throw new InvalidOptionsError(`${path} was written by a newer version of swarm (${version} > ${SCHEMA_VERSION})`, { path })
    }
    // The write takes the exclusive lock now, so that a second daemon fails here and not at its first task.
    this.#db.exec(`BEGIN EXCLUSIVE;
      CREATE TABLE IF NOT EXISTS tasks (id TEXT PRIMARY KEY, root TEXT NOT NULL UNIQUE, record TEXT NOT NULL) STRICT;
      CREATE TABLE IF NOT EXISTS manifests (root TEXT PRIMARY KEY, text TEXT NOT NULL) STRICT;
      CREATE TABLE IF NOT EXISTS settings (name TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT;
      PRAGMA user_version = ${SCHEMA_VERSION};
      COMMIT`)
  }

  /** Every task, in queue order. */
  load(): TaskRecord[] {
    const rows = this.#db.prepare('SELECT record FROM tasks').all() as { record: string }[]
    return rows.map(({ record }) => JSON.parse(record) as TaskRecord).sort((a, b) => a.order - b.order)
  }

  save(...records: readonly TaskRecord[]): void {
    this.#transaction(() => {
      for (const record of records) this.#put.run(record.id, record.root, JSON.stringify(record))
    })
  }

  /** Forgets the task and its manifest. */
  delete(record: TaskRecord): void {
    this.#transaction(() => {
      this.#delete.run(record.id)
      this.#deleteManifest.run(record.root)
    })
  }

  saveManifest(root: string, text: string): void {
    this.#putManifest.run(root, text)
  }

  manifest(root: string): string | undefined {
    return (this.#getManifest.get(root) as { text: string } | undefined)?.text
  }

  saveSetting(name: string, value: unknown): void {
    this.#putSetting.run(name, JSON.stringify(value))
  }

  setting(name: string): unknown {
    const row = this.#getSetting.get(name) as { value: string } | undefined
    return row === undefined ? undefined : JSON.parse(row.value)
  }

  close(): void {
    this.#db.close()
  }

  #transaction(work: () => void): void {
    this.#db.exec('BEGIN IMMEDIATE')
    try {
      work()
      this.#db.exec('COMMIT')
    } catch (err) {
      this.#db.exec('ROLLBACK')
      throw err
    }
  }
}
