/**
 * The rows of the task store as SQLite keeps them, and what its failures mean to an operator.
 */

import { renameSync, rmSync } from 'node:fs'
import { DatabaseSync } from 'node:sqlite'
import { StoreError } from '../../errors.ts'
import { createPrivateFile } from '../../node/state-folder.ts'

export const SCHEMA_VERSION = 1

/** Tables with the column that names a row and the one that holds it. */
export const TABLES = {
  tasks: { key: 'id', value: 'record' },
  manifests: { key: 'root', value: 'text' },
  settings: { key: 'name', value: 'value' }
} as const
export type Table = keyof typeof TABLES

/** Of tasks `root` is a column of its own. */
export interface Row {
  key: string
  value: string
  root?: string
}

export type Rows = Record<Table, Map<string, Row>>

export function noRows(): Rows {
  return { tasks: new Map(), manifests: new Map(), settings: new Map() }
}

export function openDatabase(path: string): DatabaseSync {
  if (path !== ':memory:') createPrivateFile(path)
  return new DatabaseSync(path)
}

/**
 * Makes the tables where they are not. The write takes the lock now, so that a second daemon fails here and
 * not at its first task.
 */
export function makeTables(db: DatabaseSync): void {
  db.exec(`BEGIN EXCLUSIVE;
    CREATE TABLE IF NOT EXISTS tasks (id TEXT PRIMARY KEY, root TEXT NOT NULL UNIQUE, record TEXT NOT NULL) STRICT;
    CREATE TABLE IF NOT EXISTS manifests (root TEXT PRIMARY KEY, text TEXT NOT NULL) STRICT;
    CREATE TABLE IF NOT EXISTS settings (name TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT;
    PRAGMA user_version = ${SCHEMA_VERSION};
    COMMIT`)
}

export function putRow(db: DatabaseSync, table: Table, { key, value, root }: Row): void {
  if (table === 'tasks')
    db.prepare('INSERT OR REPLACE INTO tasks (id, root, record) VALUES (?, ?, ?)').run(key, root ?? '', value)
  else db.prepare(`INSERT OR REPLACE INTO ${table} VALUES (?, ?)`).run(key, value)
}

/**
 * A database of these rows at `path`, where nothing is: whole or not at all, so that a crash leaves none that
 * is empty.
 */
export function fillDatabase(path: string, rows: Rows): void {
  const temporary = `${path}.new`
  rmSync(temporary, { force: true })
  const db = openDatabase(temporary)
  try {
    db.exec('PRAGMA synchronous = FULL')
    makeTables(db)
    transact(db, temporary, () => {
      for (const table of Object.keys(TABLES) as Table[]) for (const row of rows[table].values()) putRow(db, table, row)
    })
  } finally {
    db.close()
  }
  renameSync(temporary, path)
}

/**
 * Every row that can be read, from both ends of each table: what lies behind a damaged page is passed over.
 */
export function readRows(db: DatabaseSync): Rows {
  const rows = noRows()
  for (const table of Object.keys(TABLES) as Table[]) {
    const { key, value } = TABLES[table]
    const root = table === 'tasks' ? 'root' : 'NULL'
    for (const direction of ['ASC', 'DESC']) {
      try {
        const statement = db.prepare(
          `SELECT ${key} AS key, ${value} AS value, ${root} AS root FROM ${table} ORDER BY rowid ${direction}`
        )
        for (const row of statement.iterate() as Iterable<{ key: string; value: string; root: string | null }>) {
          const { root: taskRoot, ...rest } = row
          rows[table].set(row.key, taskRoot === null ? rest : { ...rest, root: taskRoot })
        }
      } catch {
        // From here on nothing can be read in this direction.
      }
    }
  }
  return rows
}

/** Runs `work` whole or not at all. Throws `StoreError`. */
export function transact(db: DatabaseSync, path: string, work: () => void): void {
  try {
    db.exec('BEGIN IMMEDIATE')
    work()
    db.exec('COMMIT')
  } catch (err) {
    try {
      db.exec('ROLLBACK')
    } catch {
      // A full disk has rolled back already.
    }
    throw storeFault(path, err)
  }
}

/** Result codes of SQLite (https://sqlite.org/rescode.html) as what a system call would have said. */
const ERRNOS = new Map([
  [8, 'EROFS'],
  [10, 'EIO'],
  [13, 'ENOSPC'],
  [14, 'EACCES']
])

/** Whether the file is no database, or a damaged one. */
export function isDamage(err: unknown): boolean {
  const code = ((err as { errcode?: number }).errcode ?? 0) & 0xff
  return code === 11 || code === 26
}

export function storeFault(path: string, err: unknown): Error {
  const code = ERRNOS.get(((err as { errcode?: number }).errcode ?? 0) & 0xff)
  if ((err as { errcode?: number }).errcode === undefined) return err as Error
  const what = code === 'ENOSPC' ? 'the state folder is full; make room there' : 'cannot write to the task store'
  return new StoreError(what, path, Object.assign(new Error((err as Error).message), { code }))
}
