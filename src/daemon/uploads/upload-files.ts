/**
 * The files of uploads: parts as they come, parts joined, and the finished file under its name.
 *
 * Invariant: what a function has written is durable when it resolves.
 */

import { createHash } from 'node:crypto'
import { createReadStream } from 'node:fs'
import { type FileHandle, link, open, rename, stat } from 'node:fs/promises'
import { join, parse } from 'node:path'
import { StoreError } from '../../errors.ts'
import type { Debit } from '../content-service.ts'

/** One behind the other into a new file, durable. */
export async function joinFiles(target: string, files: readonly string[]): Promise<void> {
  try {
    await using handle = await open(target, 'w', 0o600)
    for (const file of files) {
      for await (const chunk of createReadStream(file, { highWaterMark: 1024 * 1024 })) await writeAll(handle, chunk as Buffer)
    }
    await handle.datasync()
  } catch (err) {
    throw new StoreError('cannot put the parts together', target, err)
  }
}

/** Into a new file, debited chunk by chunk, durable. */
export async function writePart(
  path: string,
  body: AsyncIterable<Uint8Array>,
  debit: Debit
): Promise<{ bytes: number; digest: Buffer }> {
  const hash = createHash('sha256')
  let bytes = 0
  await using handle = await open(path, 'wx', 0o600)
  for await (const chunk of body) {
    debit.take(chunk.byteLength)
    bytes += chunk.byteLength
    hash.update(chunk)
    await writeAll(handle, chunk)
  }
  await handle.datasync()
  return { bytes, digest: hash.digest() }
}

async function writeAll(handle: FileHandle, bytes: Uint8Array): Promise<void> {
  for (let done = 0; done < bytes.byteLength; ) done += (await handle.write(bytes, done)).bytesWritten
}

/**
 * Gives the file a name in `folder`: `name`, or `name (2)` and so on when that is taken. It keeps its old
 * name as well until the upload is settled, so that a crash in between costs nothing; where the file system
 * knows no second name it is moved. Throws `StoreError`.
 */
export async function placeFile(path: string, folder: string, name: string): Promise<string> {
  const { name: stem, ext } = parse(name)
  for (let number = 1; ; number++) {
    const target = join(folder, number === 1 ? name : `${stem} (${number})${ext}`)
    try {
      const there = await stat(target).catch(() => undefined)
      if (there === undefined) await link(path, target).catch(() => rename(path, target))
      else if (there.ino !== (await stat(path)).ino) continue
      return target
    } catch (err) {
      throw new StoreError('cannot put the upload in place', target, err)
    }
  }
}
