/**
 * Uploads as the API shows them. Pure.
 */

import type { UploadStatus } from '../../daemon/uploads/uploads.ts'
import type { Upload } from '../schema/uploads.ts'
import { viewTask } from './tasks.ts'

export function viewUpload({ id, record, state, received, parts, task, expiresMs }: UploadStatus): Upload {
  return {
    id,
    state,
    name: record.name,
    length: record.length ?? null,
    root: record.root ?? null,
    received,
    parts: parts.map(({ part, bytes, checksum }) => ({ part, bytes, checksum })),
    task: task === undefined ? null : viewTask(task),
    createdMs: record.createdMs,
    expiresMs
  }
}
