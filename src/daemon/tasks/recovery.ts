/**
 * The task store when it is damaged: what can still be read of it, over the copy of its last good state.
 *
 * Invariants: a damaged file is moved aside and never deleted or written to; what is taken over is what
 * parses. The copy is a database of its own that follows the store row by row, so that keeping it costs what
 * changed. Called by task-store.ts.
 */

import { existsSync, renameSync, statSync } from 'node:fs'
import { basename } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import {
  isDamage,
  makeTables,
  noRows,
  openDatabase,
  putRow,
  type Row,
  type Rows,
  readRows,
  TABLES,
  type Table
} from './task-rows.ts'

/** What happened to the task store, in words for log and status. */
export interface StoreLoss {
  atMs: number
  text: string
}

const ROOT = /^[0-9a-f]{64}$/

/** Whether the database can be read whole. Throws what is no damage: a lock, rights. */
export function isIntact(db: DatabaseSync): boolean {
  try {
    const [first] = db.prepare('PRAGMA integrity_check(1)').all() as { integrity_check: string }[]
    return first?.integrity_check === 'ok'
  } catch (err) {
    if (isDamage(err)) return false
    throw err
  }
}

/**
 * The rows to go on with when the store at `path` is damaged or gone, which is moved aside; and what that
 * means.
 */
export function recoverRows(path: string, copyPath: string, nowMs: number): { rows: Rows; loss: StoreLoss } {
  const isThere = existsSync(path)
  const read = isThere ? readDamaged(path) : noRows()
  const copy = existsSync(copyPath) ? readDamaged(copyPath) : noRows()
  const aside = isThere ? moveAside(path, nowMs) : undefined
  const rows = noRows()
  for (const source of [copy, read]) {
    for (const table of Object.keys(TABLES) as Table[])
      for (const [key, row] of source[table]) if (isSound(table, row)) rows[table].set(key, row)
  }
  const fromCopy = [...rows.tasks.keys()].filter(key => !read.tasks.has(key)).length
  const what = isThere ? 'the task store was damaged' : 'the task store was gone'
  const copied = existsSync(copyPath) ? `its copy of ${new Date(statSync(copyPath).mtimeMs).toISOString()}` : 'no copy'
  const kept = aside === undefined ? '' : `; the damaged file is kept as ${basename(aside)}`
  const text = `${what}: ${rows.tasks.size - fromCopy} task(s) were read from it and ${fromCopy} taken from ${copied}; tasks newer than that may be lost${kept}`
  return { rows: oneTaskPerRoot(rows), loss: { atMs: nowMs, text } }
}

function readDamaged(path: string): Rows {
  try {
    const db = new DatabaseSync(path)
    try {
      return readRows(db)
    } finally {
      db.close()
    }
  } catch {
    return noRows()
  }
}

function moveAside(path: string, nowMs: number): string {
  const aside = `${path}.damaged-${new Date(nowMs).toISOString().replace(/[:.]/g, '')}`
  for (const suffix of ['', '-wal', '-shm']) if (existsSync(path + suffix)) renameSync(path + suffix, aside + suffix)
  return aside
}

function isSound(table: Table, { key, value, root }: Row): boolean {
  try {
    const parsed = JSON.parse(value) as { id?: unknown; root?: unknown; state?: unknown; order?: unknown; limits?: unknown }
    if (table !== 'tasks') return table !== 'manifests' || (ROOT.test(key) && typeof parsed === 'object')
    return (
      parsed.id === key &&
      parsed.root === root &&
      ROOT.test(root ?? '') &&
      typeof parsed.state === 'string' &&
      typeof parsed.order === 'number' &&
      typeof parsed.limits === 'object'
    )
  } catch {
    return false
  }
}

/** Of two tasks of a root (one of the copy was deleted and asked for again) the newer one counts. */
function oneTaskPerRoot(rows: Rows): Rows {
  const byRoot = new Map([...rows.tasks.values()].map(row => [row.root, row]))
  return { ...rows, tasks: new Map([...byRoot.values()].map(row => [row.key, row])) }
}

/** The copy. It is a cache of the store: one that cannot be used is made again. */
export class TaskCopy {
  readonly #db: DatabaseSync
  readonly #path: string

  private constructor(path: string, db: DatabaseSync) {
    this.#path = path
    this.#db = db
  }

  /** Undefined where none can be written. Made equal to `rows`. */
  static open(path: string, rows: Rows): TaskCopy | undefined {
    try {
      let db = openDatabase(path)
      if (!isIntact(db)) {
        db.close()
        moveAside(path, Date.now())
        db = openDatabase(path)
      }
      makeTables(db)
      const copy = new TaskCopy(path, db)
      copy.#follow(rows)
      return copy
    } catch {
      return undefined
    }
  }

  /** Writes what changed; a row that is undefined is gone. False when it could not be written. */
  write(changes: readonly { table: Table; key: string; row: Row | undefined }[]): boolean {
    try {
      this.#db.exec('BEGIN IMMEDIATE')
      for (const { table, key, row } of changes) {
        if (row === undefined) this.#db.prepare(`DELETE FROM ${table} WHERE ${TABLES[table].key} = ?`).run(key)
        else putRow(this.#db, table, row)
      }
      this.#db.exec('COMMIT')
      return true
    } catch {
      try {
        this.#db.exec('ROLLBACK')
      } catch {
        // Rolled back already.
      }
      return false
    }
  }

  close(): void {
    this.#db.close()
  }

  get path(): string {
    return this.#path
  }

  #follow(rows: Rows): void {
    const own = readRows(this.#db)
    const changes: { table: Table; key: string; row: Row | undefined }[] = []
    for (const table of Object.keys(TABLES) as Table[]) {
      for (const key of own[table].keys()) if (!rows[table].has(key)) changes.push({ table, key, row: undefined })
      for (const [key, row] of rows[table]) if (own[table].get(key)?.value !== row.value) changes.push({ table, key, row })
    }
    if (changes.length > 0) this.write(changes)
  }
}
