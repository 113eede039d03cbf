/**
 * Outputs of downloads for the tests of this folder: where one goes, opening it, and what lies there at
 * the end.
 */

import assert from 'node:assert/strict'
import fs from 'node:fs/promises'
import { join } from 'node:path'
import type { TestContext } from 'node:test'
import { type FileStore, type FileStoreInit, openFileStore } from '../../src/store/download/file-store.ts'
import { type Content, hash, PIECE, tempFolder } from './fixtures.ts'

export const TREE = { 'a*': 100, 'b/c': 3 * PIECE, d: 0, 'deep/er/ünï': 17, 'e e': PIECE + 1, z: 0 }

export interface Place {
  output: string
  stateDir: string
  part: string
}

export async function somewhere(t: TestContext): Promise<Place> {
  const folder = await tempFolder(t)
  const output = join(folder, 'out', 'content')
  return { output, stateDir: join(folder, 'state'), part: `${output}.part` }
}

export function open(content: Content, at: Place, more: Partial<FileStoreInit> = {}): Promise<FileStore> {
  return openFileStore({ manifest: content.manifest, output: at.output, stateDir: at.stateDir, hash, ...more })
}

export async function assertPlaced(content: Content, at: Place, paths = content.files.map(file => file.path)): Promise<void> {
  for (const file of content.files) {
    const path = join(at.output, file.path)
    if (!paths.includes(file.path)) {
      await assert.rejects(fs.stat(path), { code: 'ENOENT' }, file.path)
      continue
    }
    assert.deepEqual(await fs.readFile(path), Buffer.from(file.bytes), file.path)
    if (file.executable && process.platform !== 'win32') assert.equal((await fs.stat(path)).mode & 0o100, 0o100)
  }
  await assert.rejects(fs.stat(at.part), { code: 'ENOENT' })
  await assert.rejects(fs.stat(`${at.part}.lock`), { code: 'ENOENT' })
}
