/**
 * Uploads whose bytes a front writes to a file that grows (tus), as the narrow service that fronts are given.
 */

import type { Debit, GrowingUpload, NewGrowingUpload, UploadedContent, UploadService } from '../content-service.ts'
import { joinFiles } from './upload-files.ts'
import type { UploadRecord } from './upload-store.ts'
import type { Uploads } from './uploads.ts'

export class GrowingUploads implements UploadService {
  readonly folder: string
  readonly #uploads: Uploads

  constructor(uploads: Uploads) {
    this.#uploads = uploads
    this.folder = uploads.store.folder
  }

  find(id: string): GrowingUpload | undefined {
    const record = this.#uploads.store.get(id)
    return record?.kind === 'tus' ? this.#viewOf(record) : undefined
  }

  list(): GrowingUpload[] {
    const records = this.#uploads.store.list().filter(({ kind, taskId }) => kind === 'tus' && taskId === undefined)
    return records.map(record => this.#viewOf(record))
  }

  async begin(id: string, upload: NewGrowingUpload): Promise<void> {
    await this.#uploads.initiate({ kind: 'tus', ...upload }, id)
  }

  announce(id: string, length: number | undefined): void {
    this.#uploads.ledger.announce(id, length)
    this.#uploads.store.save({ ...this.#uploads.record(id), length })
  }

  checkRoom(bytes: number): void {
    this.#uploads.ledger.checkRoom(bytes)
  }

  debit(id: string, announced: number): Debit {
    return this.#uploads.ledger.begin(id, { announced })
  }

  async finish(id: string): Promise<UploadedContent> {
    return this.#uploads.finish(this.#uploads.record(id), this.#uploads.store.tusFile(id))
  }

  async join(id: string, upload: NewGrowingUpload, parts: readonly string[]): Promise<UploadedContent> {
    const { store } = this.#uploads
    await this.begin(id, upload)
    const files = parts.map(part => store.tusFile(part))
    await joinFiles(store.tusFile(id), files).catch(async err => {
      await this.remove(id)
      throw err
    })
    const content = await this.finish(id)
    for (const part of parts) await this.remove(part)
    return content
  }

  remove(id: string): Promise<void> {
    return this.#uploads.remove(id)
  }

  #viewOf(record: UploadRecord): GrowingUpload {
    const { id, length, root, metadata, isPartial, taskId } = record
    const expiresMs = this.#uploads.expiresMs(record)
    return { id, length, root, metadata, isPartial, isComplete: taskId !== undefined, expiresMs }
  }
}
