import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, describe, it, type TestContext } from 'node:test'
import { Bitfield } from '../../src/content/bitfield.ts'
import { encodePieceList } from '../../src/content/piece-list.ts'
import { createNode, type Manifest, type SwarmNode, type Transfer } from '../../src/index.ts'
import { createHost } from '../../src/network/host.ts'
import type { PeerStream } from '../../src/network/types.ts'
import { rootBytes } from '../../src/node/manifest-search.ts'
import { resolveNodeOptions } from '../../src/node/options.ts'
import { type Message, WIRE_VERSION } from '../../src/wire/messages.ts'

const home = await mkdtemp(join(tmpdir(), 'swarm-bad-'))
after(() => rm(home, { recursive: true, force: true }))
let folders = 0

async function honestNode(t: TestContext, options = {}): Promise<SwarmNode> {
  const node = await createNode({
    listen: ['/ip4/127.0.0.1/tcp/0'],
    mdns: false,
    stateDir: join(home, `${folders++}`),
    ...options
  })
  t.after(() => node.stop())
  return node
}

/** A peer that speaks the protocol as far as `behave` does, and claims to have everything. */
async function hostilePeer(
  t: TestContext,
  manifest: Manifest,
  behave: { onMessage?: (link: PeerStream, message: Message) => void; onJoin?: (link: PeerStream) => void; have?: Bitfield }
): Promise<{ address: string; peer: string; ended: Promise<string> }> {
  const host = await createHost(
    resolveNodeOptions({ listen: ['/ip4/127.0.0.1/tcp/0'], mdns: false, stateDir: join(home, `${folders++}`) })
  )
  t.after(() => host.stop())
  const pieceCount = manifest.hashes.byteLength / 32
  const ended = Promise.withResolvers<string>()
  host.listen({
    root: rootBytes(manifest.root),
    hello: { type: 'hello', version: WIRE_VERSION, pieceCount, labels: {} },
    maxPieceBytes: manifest.pieceLength,
    accepts: () => true,
    pieceList: () => encodePieceList(manifest),
    onPeerStream: link => {
      link.start({
        onMessage: message => behave.onMessage?.(link, message),
        onPiece: () => {},
        onClose: reason => ended.resolve(reason)
      })
      link.send({ type: 'bitfield', bits: (behave.have ?? Bitfield.full(pieceCount)).toBytes() })
      behave.onJoin?.(link)
    }
  })
  return { address: host.addresses()[0] as string, peer: host.peer, ended: ended.promise }
}

/**
 * `SLOW` gives a piece and then nothing more until it is told otherwise, so that the download needs the bad
 * peer as well.
 */
const SLOW = { uploadBytesPerSecond: 1 }
const FAST = { uploadBytesPerSecond: 0 }

async function seedFile(
  t: TestContext,
  bytes: number,
  options = {}
): Promise<{ seed: Transfer; content: Buffer; seeder: SwarmNode }> {
  const path = join(home, `content-${folders++}`)
  const content = randomBytes(bytes)
  await writeFile(path, content)
  const seeder = await honestNode(t, options)
  return { seed: await seeder.seed(path), content, seeder }
}

describe('a download with a bad peer beside an honest one', { timeout: 600_000, concurrency: true }, () => {
  it('drops wrong bytes, bans who sent them, and completes from the others', async t => {
    const { seed, content, seeder } = await seedFile(t, 4_000_000, SLOW)
    const bad = await hostilePeer(t, seed.manifest, {
      onMessage: (link, message) => {
        if (message.type !== 'request') return
        for (const piece of message.pieces) {
          const bytes = piece === 15 ? 4_000_000 - 15 * 262_144 : 262_144
          link.sendPiece({ piece, bytes }, randomBytes(bytes)).catch(() => {})
        }
      },
      onJoin: link => link.send({ type: 'offer', pieces: [3, 4] })
    })
    const leecher = await honestNode(t)
    const output = join(home, `copy-${folders++}`)
    const transfer = await leecher.get({ ...seed.manifest, peers: [bad.address, ...seed.hints()] }, { output })
    const banned = new Promise(resolve =>
      transfer.on('peer', ({ peer, event }) => peer === bad.peer && event === 'banned' && resolve(true))
    )
    assert.equal(await banned, true)
    seeder.setLimits(FAST)
    await transfer.completed
    assert.deepEqual(await readFile(output), content)
    assert.ok(transfer.snapshot().bytesWasted >= 262_144, 'the wrong bytes are counted as waste')
    await bad.ended
  })

  it('drops who sends pieces that nobody asked for', async t => {
    const { seed, content, seeder } = await seedFile(t, 2_000_000, SLOW)
    const bad = await hostilePeer(t, seed.manifest, {
      onJoin: link => {
        const flood = (): Promise<void> =>
          link.sendPiece({ piece: 1, bytes: 262_144 }, randomBytes(262_144)).then(flood, () => {})
        void flood()
      }
    })
    const leecher = await honestNode(t)
    const output = join(home, `copy-${folders++}`)
    const transfer = await leecher.get({ ...seed.manifest, peers: [bad.address, ...seed.hints()] }, { output })
    await bad.ended
    seeder.setLimits(FAST)
    await transfer.completed
    assert.deepEqual(await readFile(output), content)
  })

  it('goes on from others when a peer lies in its bitfield, and stops asking it', async t => {
    const { seed, content, seeder } = await seedFile(t, 2_000_000, SLOW)
    const lied = Promise.withResolvers<void>()
    const bad = await hostilePeer(t, seed.manifest, {
      onMessage: (link, message) => {
        if (message.type !== 'request') return
        link.send({ type: 'reject', pieces: message.pieces, reason: 'missing' })
        lied.resolve()
      }
    })
    const leecher = await honestNode(t)
    const output = join(home, `copy-${folders++}`)
    const transfer = await leecher.get({ ...seed.manifest, peers: [bad.address, ...seed.hints()] }, { output })
    await lied.promise
    seeder.setLimits(FAST)
    await transfer.completed
    assert.deepEqual(await readFile(output), content)
  })

  it('takes pieces from others when a peer offers them and then says nothing more', async t => {
    const { seed, content } = await seedFile(t, 2_000_000)
    const bad = await hostilePeer(t, seed.manifest, {
      onJoin: link => link.send({ type: 'offer', pieces: [0, 1, 2, 3, 4, 5, 6, 7] })
    })
    const leecher = await honestNode(t)
    const output = join(home, `copy-${folders++}`)
    const transfer = await leecher.get({ ...seed.manifest, peers: [bad.address] }, { output })
    // The silent peer is alone at first, so that the leecher expects every piece from it; then the honest one
    // joins.
    const joined = new Promise<void>(resolve => transfer.on('peer', ({ event }) => event === 'joined' && resolve()))
    if (transfer.snapshot().peers.length === 0) await joined
    const late = await leecher.get({ ...seed.manifest }, { output, peers: seed.hints() })
    assert.equal(late, transfer, 'the same transfer, which hears of one more peer')
    await transfer.completed
    assert.deepEqual(await readFile(output), content)
  })
})
