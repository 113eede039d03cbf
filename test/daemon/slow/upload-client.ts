/**
 * Clients of uploads as processes of their own, so that a test can kill them: `node upload-client.ts
 * tus|parts <url> <file> <state>`. Started again, each asks how far the daemon got and sends the rest.
 */

import { open, readFile } from 'node:fs/promises'
import { basename } from 'node:path'
import * as tus from 'tus-js-client'
import type { Upload } from '../../../src/api/schema/uploads.ts'
import { createManifest } from '../../../src/node/manifests.ts'

const PART_BYTES = 1024 * 1024
/** A daemon that was killed is away until it has started again, which may take long on a busy machine. */
const TRIES = 3000
const RETRY_MS = 100

const [way, url, path, state] = process.argv.slice(2) as [string, string, string, string]
await using file = await open(path)
if (way === 'tus') await byTus()
else await inParts()

async function byTus(): Promise<void> {
  // Its types leave out what only Node has.
  const { FileUrlStorage } = tus as unknown as { FileUrlStorage: new (path: string) => tus.UrlStorage }
  const { promise, resolve, reject } = Promise.withResolvers<void>()
  const upload: tus.Upload = new tus.Upload((await readFile(path)) as never, {
    endpoint: `${url}/uploads`,
    chunkSize: PART_BYTES,
    metadata: { filename: basename(path) },
    urlStorage: new FileUrlStorage(state),
    fingerprint: async () => path,
    retryDelays: Array.from({ length: TRIES }, () => RETRY_MS),
    onSuccess: () => resolve(),
    onError: reject
  })
  const [earlier] = await upload.findPreviousUploads()
  if (earlier !== undefined) upload.resumeFromPreviousUpload(earlier)
  upload.start()
  await promise
}

async function inParts(): Promise<void> {
  const { root, length, pieceLength } = await createManifest(path, { stateDir: state })
  const upload = await call<Upload>('POST', '/v1/uploads', JSON.stringify({ name: basename(path), length, root, pieceLength }))
  if (upload.state === 'complete') return
  for (let part = 1, at = 0; at < length; part++, at += PART_BYTES) {
    if (upload.parts.some(there => there.part === part)) continue
    const bytes = Buffer.alloc(Math.min(PART_BYTES, length - at))
    await file.read(bytes, 0, bytes.byteLength, at)
    await call('PUT', `/v1/uploads/${upload.id}/parts/${part}`, bytes)
  }
  await call('POST', `/v1/uploads/${upload.id}/complete`, '{}')
}

/** Waits for a daemon that is away. */
async function call<T>(method: string, target: string, body: string | Buffer<ArrayBuffer>): Promise<T> {
  const type = typeof body === 'string' ? 'application/json' : 'application/octet-stream'
  for (let tries = 0; ; tries++) {
    try {
      const answer = await fetch(url + target, { method, body, headers: { 'content-type': type } })
      if (answer.ok) return (await answer.json()) as T
      if (answer.status < 500) throw new Error(`${answer.status} ${await answer.text()}`)
    } catch (err) {
      if (tries > TRIES) throw err
    }
    await new Promise(resolve => setTimeout(resolve, RETRY_MS))
  }
}
