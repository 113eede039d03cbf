/**
 * `node test/hostile/peers/main.ts <behaviour> --manifest <file> --peer <multiaddr>…`: hostile peers as a
 * process of their own, until it is killed. Prints JSON lines: `listening` with addresses, then `linked` when
 * each of them has a neighbour. `--count` peers live in it, each with its own identity.
 */

import { parseArgs } from 'node:util'
import { readManifest } from '../../../src/node/manifests.ts'
import { BEHAVIOURS, type BehaviourName } from './behaviours.ts'
import { HostilePeer } from './hostile-peer.ts'

const { positionals, values } = parseArgs({
  allowPositionals: true,
  options: {
    manifest: { type: 'string' },
    peer: { type: 'string', multiple: true, default: [] },
    listen: { type: 'string', default: '/ip4/127.0.0.1/tcp/0' },
    count: { type: 'string', default: '1' },
    content: { type: 'string' },
    label: { type: 'string', multiple: true, default: [] }
  }
})
const [name = ''] = positionals
if (!Object.hasOwn(BEHAVIOURS, name))
  throw new RangeError(`no behaviour ${name}; there are ${Object.keys(BEHAVIOURS).join(', ')}`)
if (values.manifest === undefined) throw new RangeError('--manifest is missing')
const manifest = await readManifest(values.manifest)
const labels = Object.fromEntries(values.label.map(label => label.split('=') as [string, string]))

const linked: Promise<void>[] = []
const addresses: string[] = []
for (let index = 0; index < Number(values.count); index++) {
  const { promise, resolve } = Promise.withResolvers<void>()
  const init = { manifest, listen: values.listen, addresses: values.peer, labels, contentPath: values.content, onLinked: resolve }
  addresses.push(...(await HostilePeer.start(init, BEHAVIOURS[name as BehaviourName])).addresses)
  linked.push(promise)
}
console.log(JSON.stringify({ event: 'listening', addresses }))
await Promise.all(linked)
console.log(JSON.stringify({ event: 'linked', addresses }))
