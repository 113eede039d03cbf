/**
 * Many idle neighbours in one process: nodes that hold the content and stay connected to the node under test.
 *
 *   crowd.ts <manifest> <content> <address> <count> <folder>     prints `joined` once all are connected
 */

import { join } from 'node:path'
import { readManifest } from '../../src/node/manifests.ts'
import { createNode } from '../../src/node/node.ts'

const [manifest, content, address, count, folder] = process.argv.slice(2) as [string, string, string, string, string]
const wanted = await readManifest(manifest)
const joined: Promise<void>[] = []
for (let index = 0; index < Number(count); index++) {
  const node = await createNode({
    stateDir: join(folder, `crowd-${index}`),
    listen: ['/ip4/127.0.0.1/tcp/0'],
    mdns: false,
    // Only the connection to the node under test: what the others do among themselves would take the core
    // that it is measured on.
    maxNeighbours: 1
  })
  // The output is there already, so the node is complete and only serves.
  const transfer = await node.get(wanted, { output: content, peers: [address] })
  joined.push(
    new Promise(resolve => {
      if (transfer.snapshot().neighbours > 0) resolve()
      transfer.on('peer', ({ event }) => event === 'joined' && resolve())
    })
  )
}
await Promise.all(joined)
console.log('joined')
