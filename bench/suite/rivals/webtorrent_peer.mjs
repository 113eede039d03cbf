// One WebTorrent peer: webtorrent_peer.mjs seed|get <module> <torrent> <folder> <port> <port of a peer>
// Discovery is off, the peer is given. Prints serving, first, complete; a leecher ends when it is complete.
import { pathToFileURL } from 'node:url'

const [mode, module, torrent, folder, port, peer] = process.argv.slice(2)
const { default: WebTorrent } = await import(pathToFileURL(module).href)
const client = new WebTorrent({
  torrentPort: Number(port),
  dht: false,
  lsd: false,
  tracker: false,
  natUpnp: false,
  natPmp: false,
  utp: false
})
client.on('error', err => {
  console.error(err)
  process.exit(1)
})
client.add(torrent, { path: folder, skipVerify: mode === 'seed' }, added => {
  if (mode === 'seed') {
    console.log('serving')
    return
  }
  added.on('verified', () => console.log('first'))
  added.on('done', () => {
    console.log('complete')
    process.exit(0)
  })
  added.addPeer(`127.0.0.1:${peer}`)
})
