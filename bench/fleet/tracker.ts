/**
 * A BitTorrent tracker for the baselines, as small as one can be (BEP 3, compact answers of BEP 23):
 * remembers who announced and tells everybody everybody. `node tracker.ts <port>`; prints
 * `{"event":"listening"}` when it does.
 */

import { createServer } from 'node:http'

/** Swarms of the rig have one torrent, so no info hash is looked at. Six bytes per peer: address and port. */
const peers = new Map<string, Buffer>()

const server = createServer((request, response) => {
  const query = new URL(request.url ?? '/', 'http://tracker').searchParams
  const address = (request.socket.remoteAddress ?? '').replace('::ffff:', '')
  const entry = Buffer.from([...address.split('.').map(Number), 0, 0])
  entry.writeUInt16BE(Number(query.get('port')) || 0, 4)
  const key = entry.toString('hex')
  if (query.get('event') === 'stopped') peers.delete(key)
  else peers.set(key, entry)
  const others = Buffer.concat([...peers].filter(([other]) => other !== key).map(([, bytes]) => bytes))
  response.end(
    Buffer.concat([Buffer.from(`d8:intervali10e12:min intervali5e5:peers${others.length}:`), others, Buffer.from('e')])
  )
})
server.listen(Number(process.argv[2]), () => console.log('{"event":"listening"}'))
