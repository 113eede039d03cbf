/**
 * A lab of network namespaces: one bridge, one namespace and veth pair per host. Runs inside sandbox.ts,
 * whose private mounts hold the hosts' folders in memory (so that a slow disk is no property of a link) and
 * whose end is the clean-up.
 */

import { spawn } from 'node:child_process'
import { mkdir } from 'node:fs/promises'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import {
  congestionCommands,
  deviceCounter,
  type Lab,
  type LabHost,
  type LabProcess,
  type LineHandler,
  type LinkCaps,
  lineSplitter,
  type ProcessSpec,
  parseHtbBytes,
  run,
  shapeCommands
} from './lab.ts'

const WORK = '/run/swarm-rig'
const BRIDGE = 'hub'
/** Hosts that are cut off hang on this bridge instead. */
const FAR_BRIDGE = 'far'
const INNER_DEVICE = 'eth0'

export class NetnsLab implements Lab {
  readonly kind = 'netns'
  readonly shared = join(WORK, 'shared')
  readonly sharedInside = join(WORK, 'shared')
  readonly swarm: readonly string[]
  readonly #hosts: NetnsHost[] = []
  #closed = false

  private constructor(swarm: readonly string[]) {
    this.swarm = swarm
  }

  /** `swarm`: argv that runs the program. Call it only inside the sandbox. */
  static async open(swarm: readonly string[]): Promise<NetnsLab> {
    await run('mount', '-t', 'tmpfs', 'swarm-rig', '/run')
    await run('mount', '-t', 'sysfs', 'sysfs', '/sys')
    const lab = new NetnsLab(swarm)
    await mkdir(lab.shared, { recursive: true })
    await run('ip', 'link', 'set', 'lo', 'up')
    for (const bridge of [BRIDGE, FAR_BRIDGE]) {
      await run('ip', 'link', 'add', bridge, 'type', 'bridge')
      await run('ip', 'link', 'set', bridge, 'up')
    }
    return lab
  }

  async addHost(name: string, caps: LinkCaps, diskBytes?: number): Promise<LabHost> {
    const index = this.#hosts.length + 1
    const host = new NetnsHost(name, `10.77.${Math.floor(index / 250)}.${(index % 250) + 1}`, diskBytes !== undefined)
    this.#hosts.push(host)
    await mkdir(host.folder, { recursive: true })
    if (diskBytes !== undefined) await run('mount', '-t', 'tmpfs', '-o', `size=${diskBytes}`, 'swarm-rig-disk', host.folder)
    await run('ip', 'netns', 'add', name)
    await run('ip', 'link', 'add', host.outerDevice, 'type', 'veth', 'peer', 'name', INNER_DEVICE, 'netns', name)
    await run('ip', 'link', 'set', host.outerDevice, 'master', BRIDGE, 'up')
    await run('ip', '-n', name, 'link', 'set', 'lo', 'up')
    await run('ip', '-n', name, 'link', 'set', INNER_DEVICE, 'up')
    await run('ip', '-n', name, 'addr', 'add', `${host.address()}/16`, 'dev', INNER_DEVICE)
    if (caps.congestionControl !== undefined) {
      const routes = await run('ip', '-n', name, '-j', 'route', 'show', 'dev', INNER_DEVICE)
      for (const command of congestionCommands(routes, INNER_DEVICE, caps.congestionControl))
        await run('ip', '-n', name, ...command)
    }
    if (caps.uplink !== undefined) {
      for (const [program, ...args] of shapeCommands(INNER_DEVICE, caps.uplink)) await run(program, '-n', name, ...args)
    }
    if (caps.downlink !== undefined) {
      for (const command of shapeCommands(host.outerDevice, caps.downlink)) await run(...command)
    }
    return host
  }

  async growDisk(host: LabHost, diskBytes: number): Promise<void> {
    await run('mount', '-o', `remount,size=${diskBytes}`, host.folder)
  }

  async partition(hosts: readonly LabHost[]): Promise<void> {
    for (const host of hosts) await run('ip', 'link', 'set', (host as NetnsHost).outerDevice, 'master', FAR_BRIDGE)
  }

  async heal(): Promise<void> {
    for (const host of this.#hosts) await run('ip', 'link', 'set', host.outerDevice, 'master', BRIDGE)
  }

  /** Also makes room for the next lab in the same sandbox. */
  async close(): Promise<void> {
    if (this.#closed) return
    this.#closed = true
    await Promise.all(this.#hosts.map(host => host.stop()))
    for (const host of this.#hosts) {
      // By itself: with its namespace it goes later than the command ends, and the next lab has one of the
      // same name.
      await run('ip', 'link', 'delete', host.outerDevice)
      await run('ip', 'netns', 'delete', host.name)
      if (host.hasDisk) await run('umount', '--lazy', host.folder)
    }
    for (const bridge of [BRIDGE, FAR_BRIDGE]) await run('ip', 'link', 'delete', bridge)
    await run('umount', '--lazy', '/sys')
    await run('umount', '--lazy', '/run')
  }
}

class NetnsHost implements LabHost {
  readonly name: string
  readonly folder: string
  readonly outerDevice: string
  readonly hasDisk: boolean
  readonly #address: string
  readonly #running = new Set<LabProcess>()

  constructor(name: string, address: string, hasDisk: boolean) {
    this.hasDisk = hasDisk
    this.name = name
    this.folder = join(WORK, 'hosts', name)
    this.outerDevice = `v-${name}`
    this.#address = address
  }

  address(): string {
    return this.#address
  }

  inside(path: string): string {
    return join(this.folder, path)
  }

  async start(spec: ProcessSpec, onLine: LineHandler): Promise<LabProcess> {
    // nsenter becomes the program (exec), so the pid is the program's own.
    const program = spec.script === undefined ? [] : [process.execPath, fileURLToPath(new URL(spec.script, import.meta.url))]
    const child = spawn('nsenter', [`--net=/run/netns/${this.name}`, '--', ...program, ...spec.argv], {
      cwd: this.folder,
      env: { PATH: process.env.PATH, HOME: this.folder, ...spec.env },
      stdio: ['ignore', 'pipe', 'pipe']
    })
    child.stdout.on(
      'data',
      lineSplitter(line => onLine(line, 'stdout'))
    )
    child.stderr.on(
      'data',
      lineSplitter(line => onLine(line, 'stderr'))
    )
    await new Promise<void>((resolve, reject) => {
      child.once('spawn', resolve)
      child.once('error', reject)
    })
    const exited = new Promise<{ code: number | null; signal: string | null }>(resolve => {
      child.once('close', (code, signal) => resolve({ code, signal }))
    })
    const started: LabProcess = {
      pid: child.pid ?? 0,
      exited,
      kill: async signal => {
        child.kill(signal)
      }
    }
    this.#running.add(started)
    void exited.then(() => this.#running.delete(started))
    return started
  }

  async traffic(): Promise<{ sent: number; received: number }> {
    const shaped = parseHtbBytes(await run('tc', '-n', this.name, '-s', '-j', 'qdisc', 'show', 'dev', INNER_DEVICE))
    return { sent: shaped ?? (await this.sentSoFar()), received: await deviceCounter(this.outerDevice, 'tx_bytes') }
  }

  async sentSoFar(): Promise<number> {
    return await deviceCounter(this.outerDevice, 'rx_bytes')
  }

  async stop(): Promise<void> {
    await Promise.all(
      [...this.#running].map(async running => {
        await running.kill('SIGKILL')
        await running.exited
      })
    )
  }
}
