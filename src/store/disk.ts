/**
 * The few file system calls that the stores are made of, on raw descriptors: positional, complete (short
 * reads and writes are continued) and failing with a `StoreError` that names the path and the errno.
 *
 * Raw descriptors instead of `FileHandle`: large reads are up to a half faster and a handle cannot be closed
 * by the collector under our feet. Called by the stores of this folder only.
 */

import { execFile } from 'node:child_process'
import fs from 'node:fs'
import { dirname } from 'node:path'
import { StoreError } from '../errors.ts'

/**
 * The error to throw for a failed call on `path`: ours pass through, everything else becomes a `StoreError`.
 */
export function storeError(message: string, path: string, cause: unknown): Error {
  return cause instanceof StoreError ? cause : new StoreError(message, path, cause)
}

export function errnoOf(err: unknown): string | undefined {
  return (err as { code?: string } | undefined)?.code
}

/** Whether `err` says that nothing is at that path. */
export function isMissing(err: unknown): boolean {
  const code = errnoOf(err)
  return code === 'ENOENT' || code === 'ENOTDIR'
}

/**
 * Whether `err` says that there is no regular file to be read: nothing, or a folder, pipe, socket or endless
 * link in its place.
 */
export function isNoFile(err: unknown): boolean {
  const code = err instanceof StoreError ? err.errno : errnoOf(err)
  return code !== undefined && NO_FILE.has(code)
}
const NO_FILE = new Set(['ENOENT', 'ENOTDIR', 'EISDIR', 'ESPIPE', 'ENXIO', 'ELOOP'])

/** Rejects with Node's own error, for callers that tell errnos apart. */
export function openRaw(path: string, flags: number, mode = 0o666): Promise<number> {
  return new Promise((resolve, reject) => fs.open(path, flags, mode, (err, fd) => (err ? reject(err) : resolve(fd))))
}

export function closeFile(fd: number): Promise<void> {
  // What mattered was flushed before; an error here could only tell what fdatasync has told.
  return new Promise(resolve => fs.close(fd, () => resolve()))
}

/**
 * Reads up to `length` bytes into `buffer` at `offset`; fewer only at the end of the file. Returns the bytes
 * read.
 */
export function readAt(
  fd: number,
  buffer: Uint8Array,
  offset: number,
  length: number,
  position: number,
  path: string
): Promise<number> {
  return new Promise((resolve, reject) => {
    let done = 0
    const step = (): void => {
      fs.read(fd, buffer, offset + done, length - done, position + done, (err, bytes) => {
        if (err) return reject(storeError('cannot read', path, err))
        done += bytes
        if (bytes === 0 || done === length) return resolve(done)
        step()
      })
    }
    step()
  })
}

/** Writes all of `length` bytes. */
export function writeAt(
  fd: number,
  data: Uint8Array,
  offset: number,
  length: number,
  position: number,
  path: string
): Promise<void> {
  return new Promise((resolve, reject) => {
    let done = 0
    const step = (): void => {
      fs.write(fd, data, offset + done, length - done, position + done, (err, bytes) => {
        if (err) return reject(storeError('cannot write', path, err))
        done += bytes
        if (done === length) return resolve()
        step()
      })
    }
    step()
  })
}

export function dataSync(fd: number, path: string): Promise<void> {
  return new Promise((resolve, reject) =>
    fs.fdatasync(fd, err => (err ? reject(storeError('cannot flush', path, err)) : resolve()))
  )
}

/**
 * Forces everything to disk that was written to the file system of `path`, by the system's `sync -f`: Node
 * has no such call. False where there is none, or when it failed: the caller flushes file by file then and
 * meets the reason.
 */
export function syncFileSystem(path: string): Promise<boolean> {
  return new Promise(resolve => execFile('sync', ['-f', path], err => resolve(err === null)))
}

export function statFile(fd: number, path: string): Promise<fs.BigIntStats> {
  return new Promise((resolve, reject) =>
    fs.fstat(fd, { bigint: true }, (err, stats) => (err ? reject(storeError('cannot stat', path, err)) : resolve(stats)))
  )
}

/** What is at `path` (symbolic links followed), or undefined when nothing is. */
export function statPath(path: string): Promise<fs.BigIntStats | undefined> {
  return new Promise((resolve, reject) =>
    fs.stat(path, { bigint: true }, (err, stats) => {
      if (!err) resolve(stats)
      else if (isMissing(err)) resolve(undefined)
      else reject(storeError('cannot stat', path, err))
    })
  )
}

/** Makes the folder and its parents. Not Node's recursive mkdir: on a read-only disk that one says ENOENT. */
export async function makeFolder(path: string, mode = 0o777): Promise<void> {
  if ((await statPath(path))?.isDirectory()) return
  try {
    await fs.promises.mkdir(path, mode)
  } catch (err) {
    const code = errnoOf(err)
    if (code === 'ENOENT' && dirname(path) !== path) {
      await makeFolder(dirname(path), mode)
      return makeFolder(path, mode)
    }
    // Somebody else made it meanwhile.
    if (code === 'EEXIST' && (await statPath(path))?.isDirectory()) return
    throw storeError('cannot create folder', path, err)
  }
}

/**
 * Removes a file or a whole folder; nothing there is fine. Only for what lies in our own state folder: what
 * lies where users put their files goes one file at a time, see download/own-files.ts.
 */
export async function removePath(path: string): Promise<void> {
  try {
    await fs.promises.rm(path, { recursive: true, force: true })
  } catch (err) {
    throw storeError('cannot remove', path, err)
  }
}

let temporaries = 0

/**
 * Puts `data` at `path` so that a reader, or we after a crash, see the old content or the new and nothing
 * between.
 */
export async function replaceFile(path: string, data: Uint8Array): Promise<void> {
  const temporary = `${path}.${process.pid}.${temporaries++}.tmp`
  // State, which is its user's alone.
  await makeFolder(dirname(path), 0o700)
  try {
    const fd = await openRaw(temporary, fs.constants.O_WRONLY | fs.constants.O_CREAT | fs.constants.O_EXCL, 0o600)
    try {
      await writeAt(fd, data, 0, data.byteLength, 0, temporary)
      await dataSync(fd, temporary)
    } finally {
      await closeFile(fd)
    }
    await fs.promises.rename(temporary, path)
  } catch (err) {
    await fs.promises.rm(temporary, { force: true }).catch(() => {})
    throw storeError('cannot write', path, err)
  }
}

/**
 * Runs `action` on every item, `width` at a time, and stops taking new ones after the first failure, which it
 * throws.
 */
export async function forEachWide<T>(
  items: readonly T[],
  width: number,
  action: (item: T, index: number) => Promise<void>
): Promise<void> {
  let next = 0
  let failed = false
  const lane = async (): Promise<void> => {
    while (next < items.length && !failed) {
      const index = next++
      try {
        await action(items[index] as T, index)
      } catch (err) {
        failed = true
        throw err
      }
    }
  }
  const settled = await Promise.allSettled(Array.from({ length: Math.min(width, items.length) }, lane))
  for (const result of settled) if (result.status === 'rejected') throw result.reason
}
