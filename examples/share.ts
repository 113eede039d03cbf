/**
 * Share a file or folder from a program: `node examples/share.ts <path>` prints a link and serves until
 * Ctrl-C. In a project of your own, import from 'swarmfile'.
 */

import { once } from 'node:events'
import { createNode } from '../src/index.ts'

const [path] = process.argv.slice(2)
if (path === undefined) throw new Error('usage: share.ts <path>')

const node = await createNode()
const transfer = await node.seed(path, { onHashed: (done, total) => process.stderr.write(`\rhashed ${done} of ${total} bytes`) })
console.log(transfer.link())

transfer.on('peer', ({ peer, event }) => console.error(`\n${peer} ${event}`))
await Promise.race([once(process, 'SIGINT'), once(process, 'SIGTERM')])
await node.stop() // withdraws the announcements
