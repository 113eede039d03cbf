/**
 * What every piece store does, whatever it is made of. Run by the tests of each store in test/store.
 */

import assert from 'node:assert/strict'
import { describe, it, type TestContext } from 'node:test'
import type { Manifest } from '../../src/content/manifest.ts'
import { StoreError } from '../../src/errors.ts'
import type { PieceStore } from '../../src/store/piece-store.ts'

export interface PieceStoreSubject {
  /** The content that the store is opened for: at least three pieces, the last one shorter. */
  manifest: Manifest
  /** The piece's bytes. */
  piece: (piece: number) => Uint8Array
  /** Opens a store that has nothing yet; `undefined` for stores that are born complete. */
  openEmpty?: (t: TestContext) => Promise<PieceStore>
  /** Opens a store that has everything. */
  openFull: (t: TestContext) => Promise<PieceStore>
}

export function describePieceStore(name: string, setUp: (t: TestContext) => Promise<PieceStoreSubject>): void {
  describe(`${name} as a piece store`, () => {
    const whenWritable = (title: string, run: (subject: PieceStoreSubject, store: PieceStore) => Promise<void>): void => {
      it(title, async t => {
        const subject = await setUp(t)
        if (subject.openEmpty === undefined) return t.skip('this store is born complete')
        const store = await subject.openEmpty(t)
        try {
          await run(subject, store)
        } finally {
          await store.close()
        }
      })
    }
    const whenFull = (title: string, run: (subject: PieceStoreSubject, store: PieceStore) => Promise<void>): void => {
      it(title, async t => {
        const subject = await setUp(t)
        const store = await subject.openFull(t)
        try {
          await run(subject, store)
        } finally {
          await store.close()
        }
      })
    }

    whenWritable('has nothing at first and wants every piece', async ({ manifest }, store) => {
      assert.equal(store.have.count, 0)
      assert.equal(store.wanted.count, Math.ceil(manifest.length / manifest.pieceLength))
    })

    whenWritable('has a piece once it is written, and reads the same bytes back', async ({ piece }, store) => {
      assert.equal(await store.write(1, piece(1)), true)
      assert.equal(store.have.get(1), true)
      assert.equal(store.have.count, 1)
      assert.deepEqual(Buffer.from(await store.read(1)), Buffer.from(piece(1)))
    })

    whenWritable('keeps nothing of a piece whose bytes do not match', async ({ piece }, store) => {
      const wrong = piece(0).slice()
      wrong[5] = (wrong[5] as number) ^ 1
      assert.equal(await store.write(0, wrong), false)
      assert.equal(await store.write(0, piece(0).subarray(1)), false)
      assert.equal(await store.write(0, piece(1)), false)
      assert.equal(store.have.count, 0)
      await assert.rejects(store.read(0), RangeError)
    })

    whenWritable('takes the same piece twice, at once and later', async ({ piece }, store) => {
      assert.deepEqual(await Promise.all([store.write(0, piece(0)), store.write(0, piece(0))]), [true, true])
      assert.equal(await store.write(0, piece(0)), true)
      assert.equal(store.have.count, 1)
    })

    whenWritable('refuses to finish while pieces are missing', async ({ piece }, store) => {
      await store.write(0, piece(0))
      await assert.rejects(store.finish(), RangeError)
    })

    whenWritable('takes pieces in any order and at once, then finishes and reads on', async ({ manifest, piece }, store) => {
      const count = Math.ceil(manifest.length / manifest.pieceLength)
      const order = Array.from({ length: count }, (_, n) => (n * 7 + 3) % count)
      const all = new Set([...order, ...Array.from({ length: count }, (_, n) => n)])
      assert.deepEqual(new Set(await Promise.all([...all].map(n => store.write(n, piece(n))))), new Set([true]))
      assert.equal(store.have.isFull, true)
      await store.finish()
      await store.finish()
      for (let n = 0; n < count; n++) assert.deepEqual(Buffer.from(await store.read(n)), Buffer.from(piece(n)))
    })

    whenWritable('refuses pieces that the content does not have', async ({ manifest, piece }, store) => {
      const count = Math.ceil(manifest.length / manifest.pieceLength)
      for (const outside of [-1, count, 0.5, Number.NaN]) {
        await assert.rejects(store.write(outside, piece(0)), RangeError)
        await assert.rejects(store.read(outside), RangeError)
      }
    })

    whenFull('reads every piece, the last one shorter, each into a buffer of its own', async ({ manifest, piece }, store) => {
      const count = Math.ceil(manifest.length / manifest.pieceLength)
      assert.equal(store.have.isFull, true)
      const pieces = await Promise.all(Array.from({ length: count }, (_, n) => store.read(n)))
      for (const [n, data] of pieces.entries()) assert.deepEqual(Buffer.from(data), Buffer.from(piece(n)))
      assert.ok((pieces.at(-1)?.byteLength ?? 0) < manifest.pieceLength)
      pieces[0]?.fill(0)
      assert.deepEqual(Buffer.from(await store.read(0)), Buffer.from(piece(0)))
    })

    whenFull('is closed twice without complaint and serves nothing afterwards', async (_, store) => {
      await store.close()
      await store.close()
      await assert.rejects(store.read(0), StoreError)
    })
  })
}
