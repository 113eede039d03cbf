import assert from 'node:assert/strict'
import { it } from 'node:test'
import fc from 'fast-check'
import { isSettled, settleMs } from '../../src/store/file-stamp.ts'
import { HandlePool } from '../../src/store/handle-pool.ts'
import { Layout } from '../../src/store/layout.ts'
import { Selection } from '../../src/store/selection.ts'
import { defaultStateDir } from '../../src/store/state-dir.ts'
import { folderContent, PIECE } from './fixtures.ts'

const lengths = fc.array(fc.oneof(fc.constant(0), fc.nat(40), fc.nat(3 * PIECE), fc.constant(PIECE)), {
  minLength: 1,
  maxLength: 12
})

it('slices of all pieces cover every byte of every file once and in order', () => {
  fc.assert(
    fc.property(lengths, list => {
      const { manifest } = folderContent(Object.fromEntries(list.map((length, n) => [`f${n}`, length])))
      const layout = new Layout(manifest)
      const filled = list.map(() => 0)
      for (let piece = 0; piece < layout.geometry.pieceCount; piece++) {
        let inPiece = 0
        for (const { file, fileOffset, pieceOffset, bytes } of layout.slicesOf(piece)) {
          assert.equal(pieceOffset, inPiece)
          assert.equal(fileOffset, filled[file])
          assert.ok(bytes > 0)
          inPiece += bytes
          filled[file] = (filled[file] as number) + bytes
        }
        assert.equal(inPiece, layout.geometry.pieceBytes(piece))
      }
      assert.deepEqual(filled, list)
    })
  )
})

it('a selection wants just the pieces of its files, and keeps each foreign byte of them in a place of its own', () => {
  fc.assert(
    fc.property(lengths, fc.array(fc.boolean(), { minLength: 12, maxLength: 12 }), (list, chosen) => {
      chosen[0] = true
      const { manifest } = folderContent(Object.fromEntries(list.map((length, n) => [`f${n}`, length])))
      const layout = new Layout(manifest)
      const selection = new Selection(layout, path => chosen[Number(path.slice(1))] as boolean)
      const rest: [number, number][] = []
      for (let piece = 0; piece < layout.geometry.pieceCount; piece++) {
        const whole = layout.slicesOf(piece)
        assert.equal(
          selection.wanted.get(piece),
          whole.some(slice => chosen[slice.file])
        )
        if (!selection.wanted.get(piece)) continue
        const kept = selection.slicesOf(piece)
        assert.deepEqual(
          kept.filter(slice => slice.file !== selection.restFile),
          whole.filter(slice => chosen[slice.file])
        )
        assert.equal(
          kept.reduce((total, slice) => total + slice.bytes, 0),
          layout.geometry.pieceBytes(piece)
        )
        for (const slice of kept) {
          if (slice.file === selection.restFile) rest.push([slice.fileOffset, slice.fileOffset + slice.bytes])
        }
      }
      rest.sort((a, b) => a[0] - b[0])
      for (let n = 1; n < rest.length; n++) assert.ok((rest[n]?.[0] ?? 0) >= (rest[n - 1]?.[1] ?? 0), 'places overlap')
    })
  )
})

it('the pool never has more files open than allowed, and opens again what failed to open', async () => {
  let failures = 1
  let inUse = 0
  let most = 0
  // Descriptors that do not exist: closing them fails silently.
  const pool = new HandlePool(async file => {
    if (file === 3 && failures-- > 0) throw new Error('once')
    return 1_000_000 + file
  }, 2)
  await assert.rejects(
    pool.use(3, async () => {}),
    /once/
  )
  const files = Array.from({ length: 40 }, (_, n) => n % 7)
  await Promise.all(
    files.map(file =>
      pool.use(file, async fd => {
        assert.equal(fd, 1_000_000 + file)
        assert.ok(pool.openCount <= 2)
        most = Math.max(most, ++inUse)
        await new Promise(resolve => setImmediate(resolve))
        inUse--
      })
    )
  )
  assert.ok(most > 1, 'uses of one file share its descriptor')
  await pool.closeAll()
  assert.equal(pool.openCount, 0)
})

it('a time counts as settled only when a later change must differ from it', () => {
  const ms = 1_000_000n
  assert.equal(isSettled(1000_123n * ms, 1_000_124), false)
  assert.equal(isSettled(1000_123n * ms, 1_000_300), true)
  assert.equal(isSettled(1000_000n * ms, 1_000_300), false, 'whole seconds may be all that the file system keeps')
  assert.equal(isSettled(1000_000n * ms, 1_002_001), true)
  assert.equal(isSettled(9000_000n * ms, 1_000_000), false, 'the future')
  assert.equal(settleMs(9000_123n * ms, 1_000_000), 1, 'nobody waits for the future')
  assert.equal(isSettled(1000_123n * ms, 1_000_124 + settleMs(1000_123n * ms, 1_000_124)), true)
})

it('the state folder follows each platform’s convention', () => {
  const home = '/home/me'
  assert.equal(defaultStateDir({ platform: 'linux', env: {}, home }), '/home/me/.local/state/swarm')
  assert.equal(defaultStateDir({ platform: 'linux', env: { XDG_STATE_HOME: '/x' }, home }), '/x/swarm')
  assert.equal(defaultStateDir({ platform: 'linux', env: { XDG_STATE_HOME: 'rel' }, home }), '/home/me/.local/state/swarm')
  assert.equal(defaultStateDir({ platform: 'darwin', env: {}, home }), '/home/me/Library/Application Support/swarm')
  assert.equal(defaultStateDir({ platform: 'win32', env: { LOCALAPPDATA: 'C:\\L' }, home: 'C:\\me' }), 'C:\\L\\swarm')
  assert.equal(defaultStateDir({ platform: 'win32', env: {}, home: 'C:\\me' }), 'C:\\me\\AppData\\Local\\swarm')
})
