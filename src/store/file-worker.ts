/**
 * Runs in a thread of its own: writes and looks at many small files with synchronous calls. Started by
 * file-thread.ts, which says what it promises.
 */

import fs from 'node:fs'
import { parentPort } from 'node:worker_threads'
import {
  type FileRequest,
  type FileThreadAnswer,
  LOOK_FIELDS,
  type LookAtFiles,
  type ReadFiles,
  type WriteFiles
} from './file-thread.ts'

const NOTHING = new Uint8Array()
const { O_RDONLY, O_WRONLY, O_CREAT, O_DIRECTORY = 0, O_NOFOLLOW = 0, O_NONBLOCK = 0 } = fs.constants
/** Folders kept open. */
const OPEN_FOLDERS = 64

/** By the number of their base's handle and their path from it; the one unused for longest is first. */
const folders = new Map<string, number>()

function within(fd: number, name: string): string {
  return `/proc/self/fd/${fd}/${name}`
}

/** A handle of the folder, opened name by name, never through a link. */
function folderOf(base: number, path: string, isMade: boolean): number {
  if (path === '') return base
  const key = `${base}/${path}`
  const held = folders.get(key)
  if (held !== undefined) {
    folders.delete(key)
    folders.set(key, held)
    return held
  }
  const slash = path.lastIndexOf('/')
  const parent = folderOf(base, path.slice(0, Math.max(slash, 0)), isMade)
  const at = within(parent, path.slice(slash + 1))
  const fd = openFolder(at, isMade)
  folders.set(key, fd)
  return fd
}

function openFolder(at: string, isMade: boolean): number {
  const flags = O_RDONLY | O_DIRECTORY | O_NOFOLLOW
  try {
    return fs.openSync(at, flags)
  } catch (err) {
    if (!isMade || (err as NodeJS.ErrnoException).code !== 'ENOENT') throw err
    fs.mkdirSync(at)
    return fs.openSync(at, flags)
  }
}

/** Only between files: a folder on the way to the one in use must not go. */
function closeUnused(most: number): void {
  for (const [key, fd] of folders) {
    if (folders.size <= most) return
    folders.delete(key)
    fs.closeSync(fd)
  }
}

function release(base: number): Omit<FileThreadAnswer, 'id'> {
  for (const [key, fd] of folders) {
    if (!key.startsWith(`${base}/`)) continue
    folders.delete(key)
    fs.closeSync(fd)
  }
  return { done: new Uint8Array(), looks: new BigInt64Array(), data: NOTHING }
}

function pathWithin(base: number, path: string, isMade: boolean): string {
  closeUnused(OPEN_FOLDERS)
  const slash = path.lastIndexOf('/')
  return within(folderOf(base, path.slice(0, Math.max(slash, 0)), isMade), path.slice(slash + 1))
}

function writeFile(at: string, data: Uint8Array, offset: number, length: number): void {
  const fd = fs.openSync(at, O_WRONLY | O_CREAT | O_NOFOLLOW | O_NONBLOCK)
  try {
    for (let done = 0; done < length; ) done += fs.writeSync(fd, data, offset + done, length - done, done)
  } finally {
    fs.closeSync(fd)
  }
}

/** 1 where `action` went well. */
function each(paths: readonly string[], action: (path: string, index: number) => boolean): Uint8Array<ArrayBuffer> {
  const done = new Uint8Array(paths.length)
  for (const [index, path] of paths.entries()) {
    try {
      done[index] = action(path, index) ? 1 : 0
    } catch {
      // The owner does it again and says what is wrong.
    }
  }
  return done
}

function lookAtFiles({ base, paths }: LookAtFiles): Omit<FileThreadAnswer, 'id'> {
  // What was held may have been moved away meanwhile; a look goes the whole way again.
  closeUnused(0)
  const looks = new BigInt64Array(paths.length * LOOK_FIELDS)
  const done = each(paths, (path, index) => {
    const options = { bigint: true, throwIfNoEntry: false } as const
    const stats = base === undefined ? fs.statSync(path, options) : fs.lstatSync(pathWithin(base, path, false), options)
    if (!stats?.isFile()) return false
    looks.set(fieldsOf(stats), index * LOOK_FIELDS)
    return true
  })
  return { done, looks, data: NOTHING }
}

function fieldsOf({ size, mtimeNs, ctimeNs, birthtimeNs, ino }: fs.BigIntStats): bigint[] {
  return [size, mtimeNs, ctimeNs, birthtimeNs, ino]
}

function writeFiles({ base, paths, data, offsets, lengths }: WriteFiles): Omit<FileThreadAnswer, 'id'> {
  const done = each(paths, (path, index) => {
    writeFile(pathWithin(base, path, true), data, offsets[index] as number, lengths[index] as number)
    return true
  })
  return { done, looks: new BigInt64Array(), data: NOTHING }
}

function readFiles({ paths, bytes, offsets, positions, lengths }: ReadFiles): Omit<FileThreadAnswer, 'id'> {
  const data = new Uint8Array(bytes)
  const looks = new BigInt64Array(paths.length * LOOK_FIELDS)
  const done = each(paths, (path, index) => {
    const fd = fs.openSync(path, O_RDONLY | O_NONBLOCK)
    try {
      const length = lengths[index] as number
      for (let read = 0; read < length; ) {
        const taken = fs.readSync(fd, data, (offsets[index] as number) + read, length - read, (positions[index] as number) + read)
        if (taken === 0) return false
        read += taken
      }
      looks.set(fieldsOf(fs.fstatSync(fd, { bigint: true })), index * LOOK_FIELDS)
      return true
    } finally {
      fs.closeSync(fd)
    }
  })
  return { done, looks, data }
}

function answerTo(request: FileRequest): Omit<FileThreadAnswer, 'id'> {
  if (request.kind === 'release') return release(request.base)
  if (request.kind === 'look') return lookAtFiles(request)
  return request.kind === 'read' ? readFiles(request) : writeFiles(request)
}

parentPort?.on('message', (request: FileRequest & { id: number }) => {
  const answer = answerTo(request)
  const moved = [answer.done.buffer, answer.looks.buffer, ...(request.kind === 'read' ? [answer.data.buffer] : [])]
  parentPort?.postMessage({ ...answer, id: request.id } satisfies FileThreadAnswer, moved)
})
