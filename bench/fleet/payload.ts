/**
 * The file that the fleet gets, and whether a copy of it is intact. Used by run.ts and result.ts.
 */

import { createCipheriv, createHash } from 'node:crypto'
import { createReadStream } from 'node:fs'
import { open, rm } from 'node:fs/promises'

/** Bytes that compress nowhere and are the same for the same seed; resolves with their SHA-256. */
export async function writePayload(path: string, bytes: number, seed: number): Promise<string> {
  const key = createHash('sha256').update(`swarm rig ${seed}`).digest()
  const stream = createCipheriv('aes-256-ctr', key, Buffer.alloc(16))
  const digest = createHash('sha256')
  const zeros = Buffer.alloc(1 << 20)
  await rm(path, { force: true })
  const file = await open(path, 'w', 0o644)
  try {
    for (let left = bytes; left > 0; left -= zeros.length) {
      const chunk = stream.update(left < zeros.length ? zeros.subarray(0, left) : zeros)
      digest.update(chunk)
      await file.write(chunk)
    }
  } finally {
    await file.close()
  }
  return digest.digest('hex')
}

export async function digestOf(path: string): Promise<string | undefined> {
  try {
    const digest = createHash('sha256')
    for await (const chunk of createReadStream(path)) digest.update(chunk as Buffer)
    return digest.digest('hex')
  } catch {
    return undefined
  }
}
