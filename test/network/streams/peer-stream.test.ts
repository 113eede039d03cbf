import assert from 'node:assert/strict'
import test from 'node:test'
import type { Connection } from '@libp2p/interface'
import { streamPair } from '@libp2p/utils'
import { Libp2pPeerStream } from '../../../src/network/streams/peer-stream.ts'
import { BufferPool } from '../../../src/util/buffer-pool.ts'

test('A peer stream on a stream that has ended already tells its end once, after its maker has it', async () => {
  const [stream] = await streamPair()
  stream.abort(new Error('the other side went away'))
  const ended: string[] = []
  const peerStream: Libp2pPeerStream = new Libp2pPeerStream({
    stream,
    connection: { remotePeer: 'somebody', remoteAddr: '/ip4/127.0.0.1/tcp/1' } as unknown as Connection,
    initiator: true,
    buffers: new BufferPool(0),
    log: () => {},
    onHandshake: () => assert.fail('no handshake can come'),
    onHello: () => assert.fail('no hello can come'),
    openPieceConnection: () => assert.fail('nobody asks for a piece connection'),
    onEnd: reason => {
      assert.equal(peerStream.isEnded, true)
      ended.push(reason)
    }
  })
  assert.deepEqual(ended, [])
  await new Promise(resolve => setImmediate(resolve))
  assert.deepEqual(ended, ['stream closed'])
})
