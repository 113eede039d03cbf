/**
 * A node as a process of its own that seeds one file, for tests that attack it: `fork` it with the file and a
 * state folder. Tells its link when it listens; tells what it has used when it is asked.
 */

import { monitorEventLoopDelay } from 'node:perf_hooks'
import { createNode } from '../../src/index.ts'

/** What the process has used since it was asked last; RSS is of the moment. */
export interface Usage {
  cpuMs: number
  rssBytes: number
  /** Longest that the event loop stood still. */
  stallMs: number
  refusals: Record<string, number>
}

const [path = '', stateDir = ''] = process.argv.slice(2)
const node = await createNode({ listen: ['/ip4/0.0.0.0/tcp/0'], mdns: false, stateDir })
const seed = await node.seed(path)
const delay = monitorEventLoopDelay({ resolution: 5 })
delay.enable()
let cpu = process.cpuUsage()

process.on('message', () => {
  const { user, system } = process.cpuUsage(cpu)
  cpu = process.cpuUsage()
  const usage: Usage = {
    cpuMs: (user + system) / 1000,
    rssBytes: process.memoryUsage.rss(),
    stallMs: delay.max / 1e6,
    refusals: Object.fromEntries(node.refusals())
  }
  delay.reset()
  process.send?.(usage)
})
const addresses = node.addresses().filter(address => address.startsWith('/ip4/127.0.0.1/'))
process.send?.({ addresses, root: seed.manifest.root })
