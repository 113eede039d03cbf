import { Random } from '../../src/util/random.ts'
import { testHost } from '../compliance/host.ts'
import { MemoryNetwork } from '../memory/memory-host.ts'
import { VirtualTime } from '../memory/virtual-time.ts'
import { Hosts } from './support.ts'

const hosts = new Hosts()
testHost('libp2p', { create: () => hosts.create(), settle: promise => promise, stop: () => hosts.stop() })

const time = new VirtualTime()
const network = new MemoryNetwork({ time, random: new Random('hosts'), latencyMs: 10, jitter: 0.2, uplink: 1000 })
let count = 0
testHost('memory', {
  create: async () => network.createHost(`peer-${count++}`),
  settle: promise => time.until(promise),
  stop: async () => {}
})
