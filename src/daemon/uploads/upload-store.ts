/**
 * Uploads that are not finished: what was announced, which parts are here, until when. Rows in SQLite, bytes
 * in files.
 *
 * Invariants: a part is a row only after its bytes are durable in a file of their own, and each part is a row
 * of its own, so that parallel parts cannot lose each other; a part that is sent again takes the place of the
 * former in one step; whatever is in the folder without a row is garbage of a crash and goes at the next
 * start. Called by uploads.ts and the tus front.
 */

import { mkdirSync, readdirSync, rmSync, statSync } from 'node:fs'
import { rm } from 'node:fs/promises'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { StoreError } from '../../errors.ts'
import { createPrivateFile } from '../../node/state-folder.ts'

export interface UploadRecord {
  readonly id: string
  readonly kind: 'multipart' | 'tus'
  /** Bytes announced; undefined when not known yet. */
  length: number | undefined
  name: string
  /** What the content must turn out to be, when the client knows. */
  root: string | undefined
  pieceLength: number | undefined
  metadata: Readonly<Record<string, string | null>>
  /** Of tus: this upload is a part of another (concatenation). */
  isPartial: boolean
  /** The task that the finished upload became. */
  taskId: string | undefined
  createdMs: number
  expiresMs: number
}

export interface PartRecord {
  readonly part: number
  readonly bytes: number
  /** SHA-256 of the part, 64 hex digits. */
  readonly checksum: string
  /** Name of its file in the upload's folder. */
  readonly file: string
}

export class UploadStore {
  readonly folder: string
  readonly #db: DatabaseSync

  /** Throws `StoreError`. */
  constructor(stateDir: string, folder: string) {
    this.folder = folder
    try {
      mkdirSync(folder, { recursive: true, mode: 0o700 })
      const path = join(stateDir, 'uploads.sqlite')
      createPrivateFile(path)
      this.#db = new DatabaseSync(path)
      this.#db.exec(`PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL;
        CREATE TABLE IF NOT EXISTS uploads (id TEXT PRIMARY KEY, record TEXT NOT NULL) STRICT;
        CREATE TABLE IF NOT EXISTS parts (upload TEXT NOT NULL, part INTEGER NOT NULL, bytes INTEGER NOT NULL, checksum TEXT NOT NULL,
          file TEXT NOT NULL, PRIMARY KEY (upload, part)) STRICT, WITHOUT ROWID`)
    } catch (err) {
      throw new StoreError('cannot open the store of uploads', folder, err)
    }
    this.#sweep()
  }

  list(): UploadRecord[] {
    const rows = this.#db.prepare('SELECT record FROM uploads').all() as { record: string }[]
    return rows.map(({ record }) => JSON.parse(record) as UploadRecord)
  }

  get(id: string): UploadRecord | undefined {
    const row = this.#db.prepare('SELECT record FROM uploads WHERE id = ?').get(id) as { record: string } | undefined
    return row === undefined ? undefined : (JSON.parse(row.record) as UploadRecord)
  }

  save(record: UploadRecord): void {
    this.#db
      .prepare('INSERT INTO uploads (id, record) VALUES (?, ?) ON CONFLICT (id) DO UPDATE SET record = excluded.record')
      .run(record.id, JSON.stringify(record))
  }

  /** In order of their numbers. */
  parts(id: string): PartRecord[] {
    return this.#db
      .prepare('SELECT part, bytes, checksum, file FROM parts WHERE upload = ? ORDER BY part')
      .all(id) as unknown as PartRecord[]
  }

  part(id: string, part: number): Pick<PartRecord, 'file' | 'bytes'> | undefined {
    return this.#db.prepare('SELECT file, bytes FROM parts WHERE upload = ? AND part = ?').get(id, part) as
      | { file: string; bytes: number }
      | undefined
  }

  /** Notes a part whose bytes are on disk; gives the one that it takes the place of. */
  savePart(id: string, { part, bytes, checksum, file }: PartRecord): Pick<PartRecord, 'file' | 'bytes'> | undefined {
    const before = this.part(id, part)
    this.#db
      .prepare(
        `INSERT INTO parts (upload, part, bytes, checksum, file) VALUES (?, ?, ?, ?, ?)
         ON CONFLICT (upload, part) DO UPDATE SET bytes = excluded.bytes, checksum = excluded.checksum, file = excluded.file`
      )
      .run(id, part, bytes, checksum, file)
    return before
  }

  /** Bytes of an upload that are here and count. */
  receivedBytes(record: UploadRecord): number {
    if (record.taskId !== undefined) return record.length ?? 0
    if (record.kind === 'tus') return statSync(this.tusFile(record.id), { throwIfNoEntry: false })?.size ?? 0
    return this.parts(record.id).reduce((bytes, part) => bytes + part.bytes, 0)
  }

  /** When the last byte of an upload by tus came, in ms since 1970; undefined before the first. */
  lastByteMs(record: UploadRecord): number | undefined {
    return record.kind === 'tus' ? statSync(this.tusFile(record.id), { throwIfNoEntry: false })?.mtimeMs : undefined
  }

  /** Where the bytes of an upload by tus grow. */
  tusFile(id: string): string {
    return join(this.folderOf(id), 'data')
  }

  folderOf(id: string): string {
    return join(this.folder, id)
  }

  /** Forgets the upload and its bytes. */
  async remove(id: string): Promise<void> {
    this.#db.exec('BEGIN IMMEDIATE')
    this.#db.prepare('DELETE FROM parts WHERE upload = ?').run(id)
    this.#db.prepare('DELETE FROM uploads WHERE id = ?').run(id)
    this.#db.exec('COMMIT')
    await rm(this.folderOf(id), { recursive: true, force: true })
  }

  /** Forgets the bytes and keeps the record, so that a client that asks again learns what became of it. */
  async settle(record: UploadRecord): Promise<void> {
    this.#db.exec('BEGIN IMMEDIATE')
    this.#db.prepare('DELETE FROM parts WHERE upload = ?').run(record.id)
    this.save(record)
    this.#db.exec('COMMIT')
    await rm(this.folderOf(record.id), { recursive: true, force: true })
  }

  close(): void {
    this.#db.close()
  }

  #sweep(): void {
    for (const name of readdirSync(this.folder)) {
      const record = this.get(name)
      if (record === undefined || record.taskId !== undefined) rmSync(join(this.folder, name), { recursive: true, force: true })
      else if (record.kind === 'multipart') {
        const known = new Set(this.parts(name).map(({ file }) => file))
        for (const file of readdirSync(join(this.folder, name))) {
          if (!known.has(file)) rmSync(join(this.folder, name, file), { recursive: true, force: true })
        }
      }
    }
  }
}
