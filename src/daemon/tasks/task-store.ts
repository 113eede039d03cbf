/**
 * Tasks, manifests and settings on disk: one SQLite file in the state folder, and next to it a copy of its
 * last good state.
 *
 * Invariants: every change is committed before its caller goes on (write-ahead log, full sync), so a kill -9
 * loses nothing that was answered; one daemon holds the file, a second one is refused; a damaged file is
 * found at the start and replaced by what can be read of it and of its copy (tasks/recovery.ts). Called by
 * the queue and limits.ts.
 */

import { existsSync, mkdirSync } from 'node:fs'
import { dirname } from 'node:path'
import type { DatabaseSync, StatementSync } from 'node:sqlite'
import { InvalidOptionsError, StoreError } from '../../errors.ts'
import type { TaskRecord } from './record.ts'
import { isIntact, recoverRows, type StoreLoss, TaskCopy } from './recovery.ts'
import {
  fillDatabase,
  isDamage,
  makeTables,
  openDatabase,
  type Row,
  readRows,
  SCHEMA_VERSION,
  storeFault,
  type Table,
  transact
} from './task-rows.ts'

/** The copy follows this long behind. */
const COPY_AFTER_MS = 10_000

export class TaskStore {
  /** What was lost when it was opened; undefined when nothing was. */
  readonly loss: StoreLoss | undefined
  readonly path: string
  readonly #db: DatabaseSync
  readonly #copy: TaskCopy | undefined
  /** Rows that the copy does not have yet. */
  readonly #behind = new Map<string, { table: Table; key: string; row: Row | undefined }>()
  #copyTimer: NodeJS.Timeout | undefined
  readonly #put: StatementSync
  readonly #delete: StatementSync
  readonly #putManifest: StatementSync
  readonly #getManifest: StatementSync
  readonly #deleteManifest: StatementSync
  readonly #putSetting: StatementSync
  readonly #getSetting: StatementSync

  /**
   * `path` may be ':memory:'. Throws `InvalidOptionsError` when another daemon has it open, `StoreError` when
   * it cannot be used.
   */
  constructor(path: string) {
    this.path = path
    const copyPath = `${path}.copy`
    const opened = openStore(path, copyPath)
    this.#db = opened.db
    this.loss = opened.loss
    this.#copy = path === ':memory:' ? undefined : TaskCopy.open(copyPath, readRows(this.#db))
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

  /** Every task, in queue order. */
  load(): TaskRecord[] {
    const rows = this.#db.prepare('SELECT record FROM tasks').all() as { record: string }[]
    return rows.map(({ record }) => JSON.parse(record) as TaskRecord).sort((a, b) => a.order - b.order)
  }

  /** Throws `StoreError`; then none of them is stored. */
  save(...records: readonly TaskRecord[]): void {
    const rows = records.map(record => ({ key: record.id, root: record.root, value: JSON.stringify(record) }))
    transact(this.#db, this.path, () => {
      for (const { key, root, value } of rows) this.#put.run(key, root, value)
    })
    for (const row of rows) this.#copySoon('tasks', row.key, row)
  }

  /** Forgets the task and its manifest. Throws `StoreError`. */
  delete(record: TaskRecord): void {
    transact(this.#db, this.path, () => {
      this.#delete.run(record.id)
      this.#deleteManifest.run(record.root)
    })
    this.#copySoon('tasks', record.id, undefined)
    this.#copySoon('manifests', record.root, undefined)
  }

  /** Throws `StoreError`. */
  saveManifest(root: string, text: string): void {
    transact(this.#db, this.path, () => this.#putManifest.run(root, text))
    this.#copySoon('manifests', root, { key: root, value: text })
  }

  manifest(root: string): string | undefined {
    return (this.#getManifest.get(root) as { text: string } | undefined)?.text
  }

  /** Throws `StoreError`. */
  saveSetting(name: string, value: unknown): void {
    const text = JSON.stringify(value)
    transact(this.#db, this.path, () => this.#putSetting.run(name, text))
    this.#copySoon('settings', name, { key: name, value: text })
  }

  setting(name: string): unknown {
    const row = this.#getSetting.get(name) as { value: string } | undefined
    return row === undefined ? undefined : JSON.parse(row.value)
  }

  close(): void {
    clearTimeout(this.#copyTimer)
    this.#writeCopy()
    this.#copy?.close()
    this.#db.close()
  }

  #copySoon(table: Table, key: string, row: Row | undefined): void {
    if (this.#copy === undefined) return
    this.#behind.set(`${table} ${key}`, { table, key, row })
    this.#copyTimer ??= setTimeout(() => this.#writeCopy(), COPY_AFTER_MS).unref()
  }

  /**
   * Brings the copy up to date, and the log into the database file. Full disks and the like are tried again
   * with the next change.
   */
  #writeCopy(): void {
    this.#copyTimer = undefined
    if (this.#copy === undefined || this.#behind.size === 0) return
    if (this.#copy.write([...this.#behind.values()])) this.#behind.clear()
    try {
      this.#db.exec('PRAGMA wal_checkpoint(TRUNCATE)')
    } catch {
      // SQLite does it by itself when the log is long.
    }
  }
}

/** Opens the database, or what can be recovered of it. */
function openStore(path: string, copyPath: string): { db: DatabaseSync; loss: StoreLoss | undefined } {
  let db: DatabaseSync | undefined
  try {
    if (path !== ':memory:') mkdirSync(dirname(path), { recursive: true, mode: 0o700 })
    const isGone = path !== ':memory:' && !existsSync(path) && existsSync(copyPath)
    if (!isGone) {
      db = openDatabase(path)
      const intact = prepare(db, path)
      if (intact) return { db, loss: undefined }
      db.close()
    }
    const { rows, loss } = recoverRows(path, copyPath, Date.now())
    fillDatabase(path, rows)
    const made = openDatabase(path)
    db = made
    prepare(made, path)
    return { db: made, loss }
  } catch (err) {
    try {
      db?.close()
    } catch {
      // It was closed, or never opened.
    }
    if (err instanceof InvalidOptionsError) throw err
    if (/database is locked/.test((err as Error).message)) {
      const message = `another daemon uses the state folder of ${path}; stop it or give --state-dir`
      throw new InvalidOptionsError(message, { path }, err)
    }
    const fault = storeFault(path, err)
    throw fault instanceof StoreError ? fault : new StoreError('cannot open the task store', path, err)
  }
}

/** Locks and checks it and makes its tables; false when it is damaged. */
function prepare(db: DatabaseSync, path: string): boolean {
  try {
    db.exec('PRAGMA locking_mode = EXCLUSIVE; PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL')
    const { user_version: version } = db.prepare('PRAGMA user_version').get() as { user_version: number }
    if (!isIntact(db)) return false
    if (version > SCHEMA_VERSION)
      throw new InvalidOptionsError(`${path} was written by a newer version of swarm (${version} > ${SCHEMA_VERSION})`, { path })
    makeTables(db)
    return true
  } catch (err) {
    if (isDamage(err)) return false
    throw err
  }
}
