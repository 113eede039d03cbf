import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { mkdtemp, readdir, rm, utimes, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Readable } from 'node:stream'
import { test } from 'node:test'
import { UploadStore } from '../../../src/daemon/uploads/upload-store.ts'
import { Uploads } from '../../../src/daemon/uploads/uploads.ts'

test('uploads tell how much of them is here, and expire when nothing comes for long enough', async t => {
  const folder = await mkdtemp(join(tmpdir(), 'swarm-uploads-'))
  t.after(() => rm(folder, { recursive: true }))
  const store = new UploadStore(folder, join(folder, 'uploads'))
  const unused = (): never => assert.fail('no upload is complete')
  const uploads = new Uploads({
    store,
    contents: { usedBytes: 0, ofRoot: () => undefined, get: unused, open: unused, alsoCalled: unused },
    adopt: unused,
    stateDir: folder,
    completeDir: folder,
    maxBytes: 0,
    quotaBytes: () => 0,
    expiryMs: 600_000,
    log: { info: () => {}, warn: () => {} }
  })
  const byParts = await uploads.initiate({ kind: 'multipart', name: 'a', length: 1000 })
  await uploads.putPart(byParts.id, 1, Readable.from([randomBytes(300)]))
  const byTus = await uploads.initiate({ kind: 'tus', name: 'b', length: 1000 })
  await writeFile(store.tusFile(byTus.id), randomBytes(400))
  const received = (): number[] => uploads.list().map(upload => upload.received)
  assert.deepEqual(received().sort(), [300, 400])
  const nowMs = Date.now()
  // Bytes came by tus five minutes later.
  await utimes(store.tusFile(byTus.id), nowMs / 1000 + 300, nowMs / 1000 + 300)
  await uploads.expire(nowMs + 500_000)
  assert.equal(received().length, 2)
  await uploads.expire(nowMs + 750_000)
  assert.deepEqual(received(), [400])
  await uploads.expire(nowMs + 1_000_000)
  assert.deepEqual(received(), [])
  assert.deepEqual(await readdir(store.folder), [])
  await uploads.stop()
})
