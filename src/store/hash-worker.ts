/**
 * Runs in a thread of its own: reads a run of pieces from an open file and answers with their hashes.
 *
 * Reading and hashing one piece after the other keeps it in this core's cache. Descriptors belong to the
 * whole process, so the file stays the owner's. Started by hash-threads.ts.
 */

import fs from 'node:fs'
import { parentPort } from 'node:worker_threads'
import { HASH_BYTES } from '../content/hash.ts'
import type { HashedRun, PieceRun } from './hash-threads.ts'
import { loadHasher } from './hasher.ts'

const { hash } = await loadHasher()
let buffer = Buffer.allocUnsafeSlow(0)

function hashRun({ fd, position, bytes, pieceLength }: PieceRun): Uint8Array<ArrayBuffer> | undefined {
  if (buffer.byteLength < Math.min(pieceLength, bytes)) buffer = Buffer.allocUnsafeSlow(Math.min(pieceLength, bytes))
  const hashes = new Uint8Array(Math.ceil(bytes / pieceLength) * HASH_BYTES)
  for (let offset = 0, piece = 0; offset < bytes; offset += pieceLength, piece++) {
    const length = Math.min(pieceLength, bytes - offset)
    for (let done = 0; done < length; ) {
      const taken = fs.readSync(fd, buffer, done, length - done, position + offset + done)
      if (taken === 0) return undefined
      done += taken
    }
    hashes.set(hash(buffer.subarray(0, length)), piece * HASH_BYTES)
  }
  return hashes
}

parentPort?.on('message', (run: PieceRun) => {
  let hashes: Uint8Array<ArrayBuffer> | undefined
  try {
    hashes = hashRun(run)
  } catch {
    // The owner reads again and says what is wrong.
  }
  const answer: HashedRun = { id: run.id, hashes }
  parentPort?.postMessage(answer, hashes === undefined ? [] : [hashes.buffer])
})
