/**
 * The least that Node itself can do for this job, as a yardstick that is there on every machine: one TLS
 * connection, pieces hashed with BLAKE3 as they arrive and written in place, flushed at the end. No peers, no
 * requests, no resume.
 *
 *   tls-copy.ts seed <file> <port>     prints `serving`
 *   tls-copy.ts get <file> <port>      prints `complete`
 */

import { open } from 'node:fs/promises'
import { connect, createServer, type TlsOptions } from 'node:tls'
import { blake3 } from '@napi-rs/blake-hash'

const PIECE_BYTES = 256 * 1024
const [mode, path, port] = process.argv.slice(2) as [string, string, string]
// A shared key instead of certificates: the same cipher on the bytes, nothing to generate.
const psk = Buffer.alloc(32, 7)
const security: TlsOptions = { ciphers: 'PSK-AES256-GCM-SHA384', maxVersion: 'TLSv1.2' }

if (mode === 'seed') {
  const server = createServer({ ...security, pskCallback: () => psk, pskIdentityHint: 'bench' }, async socket => {
    socket.on('error', () => {})
    await using file = await open(path)
    const { size } = await file.stat()
    const pieces: Promise<Buffer>[] = []
    const read = async (position: number): Promise<Buffer> => {
      const data = Buffer.allocUnsafeSlow(Math.min(PIECE_BYTES, size - position))
      await file.read(data, 0, data.byteLength, position)
      return data
    }
    let position = 0
    while (position < size || pieces.length > 0) {
      while (position < size && pieces.length < 4) {
        pieces.push(read(position))
        position += PIECE_BYTES
      }
      const data = await (pieces.shift() as Promise<Buffer>)
      if (!socket.write(data)) await new Promise(resolve => socket.once('drain', resolve))
    }
    socket.end()
  })
  server.listen(Number(port), '127.0.0.1', () => console.log('serving'))
} else {
  const file = await open(path, 'w')
  const socket = connect({
    ...security,
    host: '127.0.0.1',
    port: Number(port),
    checkServerIdentity: () => undefined,
    pskCallback: () => ({ psk, identity: 'bench' })
  })
  let piece = Buffer.allocUnsafeSlow(PIECE_BYTES)
  let filled = 0
  let position = 0
  const writing = new Set<Promise<unknown>>()
  const keep = (data: Buffer): void => {
    blake3(data)
    const written = file.write(data, 0, data.byteLength, position).finally(() => writing.delete(written))
    writing.add(written)
    position += data.byteLength
  }
  for await (const chunk of socket as AsyncIterable<Buffer>) {
    for (let offset = 0; offset < chunk.byteLength; ) {
      const taken = chunk.copy(piece, filled, offset)
      offset += taken
      filled += taken
      if (filled < PIECE_BYTES) continue
      keep(piece)
      piece = Buffer.allocUnsafeSlow(PIECE_BYTES)
      filled = 0
    }
    if (writing.size > 8) await Promise.race(writing)
  }
  if (filled > 0) keep(piece.subarray(0, filled))
  await Promise.all(writing)
  await file.datasync()
  await file.close()
  console.log('complete')
  socket.destroy()
}
