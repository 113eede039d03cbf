/**
 * Takes back a DHT announcement, over a `/swarm/withdraw/1.0.0` stream: 32 bytes, the SHA-256 digest of the
 * DHT key, no answer.
 *
 * Kademlia as specified knows no removal: a peer that left stays listed until its record expires, and
 * everybody who looks dials it. So a node that leaves cleanly tells those whom it had told. The receiver
 * removes the record of the sender alone (the connection proves who that is), so nobody can withdraw for
 * another. Best effort: a lost withdrawal costs what a crash costs. Called by the host.
 */

import type { Connection, Stream } from '@libp2p/interface'
import { pipe } from 'it-pipe'
import { ProtocolError } from '../../errors.ts'

export const WITHDRAW_PROTOCOL = '/swarm/withdraw/1.0.0'
/** A withdrawal that takes longer is given up, at both ends. */
export const WITHDRAW_TIMEOUT_MS = 2_000
const DIGEST_BYTES = 32

export async function sendWithdrawal(connection: Connection, digest: Uint8Array, signal: AbortSignal): Promise<void> {
  const stream = await connection.newStream(WITHDRAW_PROTOCOL, { signal })
  try {
    stream.send(digest)
    await stream.close({ signal })
  } catch (err) {
    stream.abort(err as Error)
    throw err
  }
}

/**
 * The digest that the other side sent. Throws `ProtocolError` for more or fewer bytes, or when they do not
 * come in time.
 */
export async function readWithdrawal(stream: Stream): Promise<Uint8Array> {
  const late = setTimeout(() => stream.abort(new ProtocolError('no withdrawal in time')), WITHDRAW_TIMEOUT_MS)
  try {
    const digest = await pipe(stream, async source => {
      const bytes = new Uint8Array(DIGEST_BYTES)
      let length = 0
      for await (const chunk of source) {
        if (length + chunk.byteLength > DIGEST_BYTES) throw new ProtocolError('withdrawal is too long')
        bytes.set(chunk.subarray(), length)
        length += chunk.byteLength
      }
      if (length < DIGEST_BYTES) throw new ProtocolError('truncated withdrawal')
      return bytes
    })
    await stream.close()
    return digest
  } catch (err) {
    stream.abort(err as Error)
    throw err
  } finally {
    clearTimeout(late)
  }
}
