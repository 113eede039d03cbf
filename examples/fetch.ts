/**
 * Fetch a content with progress and a way out: `node examples/fetch.ts <link or manifest> <output>`.
 * Run it again after Ctrl-C: what was verified is kept. In a project of your own, import from 'swarmfile'.
 */

import { createNode, StalledError, SwarmError } from '../src/index.ts'

const [source, output] = process.argv.slice(2)
if (source === undefined || output === undefined) throw new Error('usage: fetch.ts <link or manifest> <output>')

const stop = new AbortController()
process.once('SIGINT', () => stop.abort())

const node = await createNode()
try {
  const transfer = await node.get(source, { output, signal: stop.signal, timeoutMs: 60_000 })
  stop.signal.addEventListener('abort', () => transfer.close())
  transfer.on('progress', ({ bytesDone, bytesTotal, waitingFor }) => {
    console.error(`${bytesDone} of ${bytesTotal} bytes${waitingFor === undefined ? '' : `, waiting: ${waitingFor}`}`)
  })
  await transfer.completed
  const { bytesDownloaded, peers } = transfer.snapshot()
  console.log(`${transfer.path}: ${bytesDownloaded} bytes from ${peers.filter(peer => peer.bytesDownloaded > 0).length} peer(s)`)
  await transfer.linger({ idleMs: 5_000, maxMs: 60_000 }) // others may still need what we have
} catch (err) {
  if (err instanceof StalledError) console.error('peers are there but send nothing; try again later')
  else if (err instanceof SwarmError) console.error(`${err.code}: ${err.message}`)
  else throw err
  process.exitCode = 1
} finally {
  await node.stop()
}
