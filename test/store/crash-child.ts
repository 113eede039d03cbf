/**
 * The process that store-crash.test.ts kills: writes pieces in an order of its own and tells each one that is
 * in `have`.
 *
 * Arguments: output, state folder, kind of content, seed of the order, pieces after which it only waits for
 * its end (so that it cannot outrun its killer).
 */

import { openFileStore } from '../../src/store/download/file-store.ts'
import { crashContent } from './crash-content.ts'
import { hash } from './fixtures.ts'

const [output, stateDir, kind, seed, limit] = process.argv.slice(2) as [string, string, string, string, string]
const content = crashContent(kind)
const store = await openFileStore({ manifest: content.manifest, output, stateDir, hash, flushBytes: 200_000, flushMs: 5 })
process.stdout.write(`found ${[...store.have.ones()].join(',')}\n`)
const missing = [...store.wanted.ones()].filter(piece => !store.have.get(piece))
let random = Number(seed)
const next = (): number | undefined => {
  random = (Math.imul(random, 1103515245) + 12345) >>> 0
  return missing.splice((random >>> 8) % Math.max(1, missing.length), 1)[0]
}
let left = Number(limit)
const lane = async (): Promise<void> => {
  for (let piece = next(); piece !== undefined; piece = next()) {
    if (left-- <= 0) await new Promise(() => setInterval(() => {}, 1000))
    await store.write(piece, content.piece(piece))
    process.stdout.write(`wrote ${piece}\n`)
  }
}
await Promise.all([lane(), lane(), lane()])
await store.finish()
process.stdout.write('finished\n')
await store.close()
