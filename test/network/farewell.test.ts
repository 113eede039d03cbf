/** What a host says to a peer that it sends away at once. */

import assert from 'node:assert/strict'
import { afterEach, describe, it } from 'node:test'
import type { Message } from '../../src/wire/messages.ts'
import { Hosts, listenerFor, RecordedPeerStream, rootOf } from './support.ts'

const hosts = new Hosts()
afterEach(() => hosts.stop())

const ROOT = rootOf(5)
const TOLD: Message = { type: 'peers', peers: [{ peer: 'somebody', addresses: ['/ip4/192.0.2.1/tcp/1'] }] }

describe('a peer that is sent away with its first answer', () => {
  it('hears what was said before the goodbye, then the reason', async () => {
    const [a, b] = await Promise.all([hosts.create(), hosts.create()])
    b.listen(
      listenerFor(ROOT, {
        onPeerStream: peerStream => {
          peerStream.send(TOLD)
          peerStream.close('no room')
        }
      })
    )
    const left = new RecordedPeerStream(await a.connect(b.peer, b.addresses(), listenerFor(ROOT)))
    assert.deepEqual(await left.closed.until(1, 'end'), ['no room'])
    assert.deepEqual(left.messages.all, [TOLD])
  })

  it('does not hear a long queue', async () => {
    const [a, b] = await Promise.all([hosts.create(), hosts.create()])
    b.listen(
      listenerFor(ROOT, {
        onPeerStream: peerStream => {
          for (let i = 0; i < 400; i++) peerStream.send({ type: 'bitfield', bits: new Uint8Array(1000) })
          peerStream.close('no room')
        }
      })
    )
    const left = new RecordedPeerStream(await a.connect(b.peer, b.addresses(), listenerFor(ROOT)))
    assert.deepEqual(await left.closed.until(1, 'end'), ['no room'])
    assert.deepEqual(left.messages.all, [])
  })
})
