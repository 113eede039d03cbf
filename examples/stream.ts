/**
 * Use bytes before the rest has arrived: `node examples/stream.ts <link> <start> <end>` writes that range to
 * standard output; its pieces are asked for first, and every byte is verified before it is given out. In a
 * project of your own, import from 'swarmfile'.
 */

import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createNode } from '../src/index.ts'

const [link, start, end] = process.argv.slice(2)
if (link === undefined || start === undefined || end === undefined) throw new Error('usage: stream.ts <link> <start> <end>')

const folder = await mkdtemp(join(tmpdir(), 'swarm-stream-'))
const node = await createNode({ stateDir: join(folder, 'state') })
try {
  const transfer = await node.get(link, { output: `${folder}/` })
  for await (const bytes of transfer.read({ start: Number(start), end: Number(end) })) process.stdout.write(bytes)
} finally {
  await node.stop()
  await rm(folder, { recursive: true, force: true })
}
