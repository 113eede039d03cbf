/**
 * The same small crowd twice: in the simulator, and with real drivers on hosts and stores in memory, in
 * virtual time. What the simulator says of a fleet is worth as much as these two agree.
 */

import assert from 'node:assert/strict'
import { type TestContext, test } from 'node:test'
import { Geometry } from '../../src/content/geometry.ts'
import { createManifest } from '../../src/content/manifest.ts'
import { encodePieceList } from '../../src/content/piece-list.ts'
import { SwarmDriver } from '../../src/node/driver.ts'
import { rootBytes } from '../../src/node/manifest-search.ts'
import { UploadCount } from '../../src/node/upload-count.ts'
import { UploadSlots } from '../../src/node/upload-slots.ts'
import { simulate } from '../../src/sim/run.ts'
import { loadHasher } from '../../src/store/hasher.ts'
import { openMemoryStore } from '../../src/store/memory-store.ts'
import { Random } from '../../src/util/random.ts'
import { RateBudget } from '../../src/util/rate-budget.ts'
import { MemoryNetwork } from '../memory/memory-host.ts'
import { slowStore } from '../memory/slow-store.ts'
import { VirtualTime } from '../memory/virtual-time.ts'

const PIECES = 32
const PIECE = 16 * 1024
const LATENCY_MS = 10
const JITTER = 0.2
/** All start within this, as in the simulator's crowd. */
const SPREAD_MS = 50
const SEEDS = ['1', '2', '3', '4', '5', '6', '7', '8']
const TOLERANCE = 0.03

const { hash } = await loadHasher()
const content = new Uint8Array(PIECES * PIECE).map((_, index) => (index * 2654435761) >>> 13)
const hashes = new Uint8Array(PIECES * 32)
for (let piece = 0; piece < PIECES; piece++) hashes.set(hash(content.subarray(piece * PIECE, (piece + 1) * PIECE)), piece * 32)
const manifest = createManifest({ name: 'crowd', length: content.byteLength, pieceLength: PIECE, hashes }, hash)

/** From each leecher's start to its last piece, ms: the longest. */
async function withDrivers(seed: string, leechers: number, uplink: number): Promise<number> {
  const random = new Random(seed)
  const time = new VirtualTime()
  const uplinkPerMs = uplink / 1000
  const network = new MemoryNetwork({
    time,
    random: random.fork('net'),
    latencyMs: LATENCY_MS,
    jitter: JITTER,
    uplink: uplinkPerMs
  })
  const tookMs: number[] = []
  const drivers: SwarmDriver[] = []
  const starts = random.fork('starts')
  const start = async (peer: string, isSeeder: boolean): Promise<void> => {
    const store = openMemoryStore({ manifest, hash })
    if (isSeeder)
      for (let piece = 0; piece < PIECES; piece++) await store.write(piece, content.subarray(piece * PIECE, (piece + 1) * PIECE))
    const startMs = isSeeder ? 0 : starts.nextBetween(0, SPREAD_MS)
    time.after(startMs, () => {
      const driver = new SwarmDriver({
        host: network.createHost(peer),
        root: rootBytes(manifest.root),
        geometry: new Geometry(content.byteLength, PIECE),
        store: slowStore(store, time, random.fork(`${peer}/disk`)),
        labels: {},
        clock: time,
        random: random.fork(peer),
        engine: {},
        uploadBudget: new RateBudget(0, time.nowMs()),
        downloadBudget: new RateBudget(0, time.nowMs()),
        uploadSlots: new UploadSlots(),
        uploadCount: new UploadCount(),
        pieceList: encodePieceList(manifest),
        origins: [],
        originOptions: {},
        hints: isSeeder ? [] : [{ peer: 'seeder', addresses: ['/memory/seeder'], source: 'hint' }],
        events: {
          onPieceVerified: () => {},
          onPieceLost: (_, message) => assert.fail(message),
          onPeer: () => {},
          onStoreFailed: err => assert.fail(String(err)),
          onReadFailed: err => assert.fail(String(err)),
          onCompleted: () => {
            if (!isSeeder) tookMs.push(time.nowMs() - startMs)
          },
          onOriginDead: err => assert.fail(String(err)),
          onOriginNote: note => assert.fail(note),
          onBug: err => {
            throw err
          }
        }
      })
      drivers.push(driver)
      driver.start()
    })
  }
  await start('seeder', true)
  for (let i = 0; i < leechers; i++) await start(`n${i}`, false)
  await time.runUntil(() => tookMs.length === leechers, 600_000)
  for (const driver of drivers) await time.until(driver.close('done'))
  return Math.max(...tookMs)
}

function inSimulator(seed: string, nodes: number, uplink: number): number {
  return simulate({
    nodes,
    contentBytes: content.byteLength,
    pieceLength: PIECE,
    uplink,
    latencyMs: LATENCY_MS,
    jitter: JITTER,
    seed,
    isChecked: false
  }).maxMs
}

const mean = (values: readonly number[]): number => values.reduce((sum, value) => sum + value, 0) / values.length

async function assertParity(t: TestContext, leechers: number, pieceMs: number, seeds: readonly string[]): Promise<void> {
  const uplink = (PIECE * 1000) / pieceMs
  const driven: number[] = []
  const simulated: number[] = []
  for (const seed of seeds) {
    driven.push(await withDrivers(seed, leechers, uplink))
    simulated.push(inSimulator(seed, leechers, uplink))
  }
  const ratio = mean(driven) / mean(simulated)
  t.diagnostic(`drivers ${mean(driven).toFixed(0)} ms, simulator ${mean(simulated).toFixed(0)} ms, ${ratio.toFixed(4)}`)
  const all = `drivers ${driven.map(Math.round)}, simulator ${simulated.map(Math.round)}`
  assert.ok(Math.abs(ratio - 1) <= TOLERANCE, `${ratio.toFixed(4)}: ${all}`)
}

for (const pieceMs of [100, 1000]) {
  test(`a crowd of 8 takes as long with drivers as in the simulator where a piece takes ${pieceMs} ms`, t =>
    assertParity(t, 8, pieceMs, SEEDS))
}

test('so does one of 40, most of whom the seeder has no room for', t => assertParity(t, 40, 100, SEEDS.slice(0, 3)))
