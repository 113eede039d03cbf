import assert from 'node:assert/strict'
import { afterEach, describe, it } from 'node:test'
import type { Stream } from '@libp2p/interface'
import { multiaddr } from '@multiformats/multiaddr'
import type { Libp2p } from 'libp2p'
import { NoPeersError } from '../../../src/errors.ts'
import { NETWORK_LIMITS, type NetworkLimits } from '../../../src/network/limits/table.ts'
import { decodeHandshake, encodeHandshake, prove, rootKeyOf } from '../../../src/wire/handshake.ts'
import { PIECE_LIST_PROTOCOL } from '../../../src/wire/messages.ts'
import { createStockNode } from '../stock-peer.ts'
import { Hosts, listenerFor, rootOf, until } from '../support.ts'

const hosts = new Hosts()
const nodes: Libp2p[] = []
afterEach(async () => {
  await hosts.stop()
  await Promise.all(nodes.splice(0).map(node => node.stop()))
})

const ROOT = rootOf(21)
/** More than windows and socket buffers take of a reader that does not read. */
const LIST = new Uint8Array(16 * 1024 * 1024).fill(3)

function limitsOf(overrides: { perAddress?: number; total?: number }): NetworkLimits {
  const scope = { ...NETWORK_LIMITS.privateAddress, pieceLists: overrides.perAddress ?? 100 }
  return {
    ...NETWORK_LIMITS,
    privateAddress: scope,
    privatePrefix: scope,
    total: { ...NETWORK_LIMITS.total, pieceLists: overrides.total ?? 4 }
  }
}

async function serving(limits: NetworkLimits) {
  const host = await hosts.create({ limits })
  host.listen(listenerFor(ROOT, { pieceList: () => LIST }))
  return host
}

/** A member that asks for the list and then does not read it. */
async function holdOne(address: string): Promise<Stream> {
  const node = await createStockNode('both')
  nodes.push(node)
  const connection = await node.dial(multiaddr(address))
  const stream = await connection.newStream(PIECE_LIST_PROTOCOL)
  const key = rootKeyOf(ROOT)
  const transcript = {
    protocol: PIECE_LIST_PROTOCOL,
    opener: node.peerId.toString(),
    answerer: connection.remotePeer.toString(),
    openerNonce: new Uint8Array(32)
  }
  const answered = Promise.withResolvers<void>()
  stream.addEventListener(
    'message',
    ({ data }) => {
      const answer = decodeHandshake(14, data.subarray().subarray(5))
      assert.equal(answer.type, 'answer')
      const proof = prove('confirm', key, { ...transcript, answererNonce: answer.type === 'answer' ? answer.nonce : undefined })
      setImmediate(() => {
        stream.pause()
        stream.send(encodeHandshake({ type: 'confirm', proof }))
        answered.resolve()
      })
    },
    { once: true }
  )
  const proof = prove('open', key, transcript)
  stream.send(encodeHandshake({ type: 'open', digest: key.digest, nonce: transcript.openerNonce, canBind: false, proof }))
  await answered.promise
  return stream
}

describe('piece lists', () => {
  it('are given soon although all places are held by readers that do not read: the longest held gives way', async () => {
    const host = await serving(limitsOf({}))
    const [address] = host.addresses()
    const held: Stream[] = []
    for (let i = 0; i < 4; i++) held.push(await holdOne(address as string))
    const honest = await hosts.create()
    const startMs = performance.now()
    let list: Uint8Array | undefined
    // Whether they read shows within two seconds.
    while (list === undefined) {
      list = await honest.fetchPieceList(host.peer, host.addresses(), ROOT, LIST.byteLength).catch(err => {
        assert.ok(err instanceof NoPeersError)
        return undefined
      })
    }
    assert.deepEqual(list, LIST)
    assert.ok(performance.now() - startMs < 4_000, `took ${performance.now() - startMs} ms`)
    await until(() => held.some(stream => stream.status !== 'open'), 'one of them was ended')
    assert.ok((host.refusals.get('piece-list') ?? 0) >= 1)
  })

  it('leave half of the places to readers that do not read, and no more', async () => {
    const host = await serving(limitsOf({}))
    const [address] = host.addresses()
    const held = await Promise.all(Array.from({ length: 4 }, () => holdOne(address as string)))
    const open = () => held.filter(stream => stream.status === 'open').length
    const startMs = performance.now()
    await until(() => open() <= 2, 'half of them were ended')
    assert.equal(open(), 2)
    assert.ok(performance.now() - startMs < 12_000)
  })

  it('are bounded for one address', async () => {
    const host = await serving(limitsOf({ perAddress: 2 }))
    const [address] = host.addresses()
    const held = [await holdOne(address as string), await holdOne(address as string)]
    const honest = await hosts.create()
    await until(() => held.every(stream => stream.readBufferLength > 0), 'both are being sent')
    await assert.rejects(honest.fetchPieceList(host.peer, host.addresses(), ROOT, LIST.byteLength), NoPeersError)
    assert.equal(host.refusals.get('piece-list'), 1)
  })

  it('are no longer held by a reader that read to the end', async () => {
    const host = await serving(limitsOf({ perAddress: 1, total: 1 }))
    const honest = await hosts.create()
    for (let i = 0; i < 3; i++) {
      const bytes: number[] = []
      const list = await honest.fetchPieceList(host.peer, host.addresses(), ROOT, LIST.byteLength, undefined, n => bytes.push(n))
      assert.equal(list.byteLength, LIST.byteLength)
      assert.ok(bytes.reduce((sum, n) => sum + n, 0) > LIST.byteLength)
    }
  })
})
