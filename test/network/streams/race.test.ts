import assert from 'node:assert/strict'
import { afterEach, describe, it } from 'node:test'
import { NoPeersError } from '../../../src/errors.ts'
import type { Host } from '../../../src/network/types.ts'
import { Hosts, listenerFor, RecordedPeerStream, rootOf, until } from '../support.ts'

const hosts = new Hosts()
afterEach(() => hosts.stop())

const ROOT = rootOf(4)

/**
 * Adopts peer streams as a node does: what `onPeerStream` gave and what `connect` resolves with are one set.
 */
function member(host: Host) {
  const listener = listenerFor(ROOT)
  host.listen(listener)
  const live = new Set<object>()
  const adopted = new Set<object>()
  const adopt = (recorded: RecordedPeerStream) => {
    live.add(recorded.peerStream)
    if (recorded.closed.all.length > 0) live.delete(recorded.peerStream)
  }
  listener.onPeerStream = peerStream => {
    adopted.add(peerStream)
    adopt(new RecordedPeerStream(peerStream, { onClose: () => live.delete(peerStream) }))
  }
  return {
    host,
    live,
    async connect(other: Host) {
      const peerStream = await host.connect(other.peer, other.addresses(), listener)
      if (adopted.has(peerStream)) return peerStream
      adopted.add(peerStream)
      adopt(new RecordedPeerStream(peerStream, { onClose: () => live.delete(peerStream) }))
      return peerStream
    }
  }
}

describe('two peers that open peer streams to each other at the same moment', () => {
  it('end with exactly one peer stream, the same at both ends, every time', async () => {
    const a = member(await hosts.create())
    const b = member(await hosts.create())
    for (let round = 0; round < 20; round++) {
      const [left, right] = await Promise.all([a.connect(b.host), b.connect(a.host)])
      assert.notEqual(left.initiator, right.initiator, 'both ends are of one stream')
      await until(() => a.live.size === 1 && b.live.size === 1, 'one peer stream at each end')
      assert.ok(a.live.has(left) && b.live.has(right))
      left.close('next round')
      await until(() => a.live.size === 0 && b.live.size === 0, 'none left')
    }
  })

  it('share one attempt among callers, and give the standing peer stream to later ones', async () => {
    const a = member(await hosts.create())
    const b = member(await hosts.create())
    const [first, second] = await Promise.all([a.connect(b.host), a.connect(b.host)])
    assert.equal(first, second)
    assert.equal(await a.connect(b.host), first)
    await until(() => b.live.size === 1, 'one peer stream at the other end')
    const [theirs] = b.live
    assert.equal(await b.connect(a.host), theirs)
  })
})

describe('a banned peer', () => {
  it('loses its peer stream, is not dialled and not let in until the ban ends', async () => {
    const a = member(await hosts.create())
    const b = member(await hosts.create())
    const left = await a.connect(b.host)
    a.host.ban(b.host.peer, 60_000)
    await until(() => a.live.size === 0 && b.live.size === 0, 'the link ended')
    assert.ok(!a.live.has(left))
    await assert.rejects(a.connect(b.host), NoPeersError)
    await assert.rejects(b.connect(a.host))
    a.host.ban(b.host.peer, -1)
    await a.connect(b.host)
  })
})

describe('a peer that came back while its old peer stream still stood', () => {
  it('replaces the old link', async () => {
    const stateDir = await import('node:fs/promises').then(fs => fs.mkdtemp('/tmp/swarm-test-'))
    const a = member(await hosts.create())
    const before = await hosts.create({ stateDir })
    const old = member(before)
    await old.connect(a.host)
    await until(() => a.live.size === 1, 'linked')
    const [stale] = a.live
    // The same identity again, while the first process still holds its end.
    const again = member(await hosts.create({ stateDir }))
    assert.equal(again.host.peer, before.peer)
    await again.connect(a.host)
    await until(() => a.live.size === 1 && stale !== undefined && !a.live.has(stale), 'the new one replaced it')
    await import('node:fs/promises').then(fs => fs.rm(stateDir, { recursive: true }))
  })
})
