/**
 * A lab of containers: one network, one container per host, each with its own address, capped on its veth
 * from the outside (no container gets rights for that). Every thing that is made carries a label with the
 * rig's process, by which `sweep` finds what a rig that no longer lives has left, and a watchdog process
 * sweeps at once when the rig is killed.
 */

import { type ChildProcess, spawn } from 'node:child_process'
import { chmod, chown, mkdir, mkdtemp, readdir, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { basename, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { DockerApi } from './docker-api.ts'
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

const LABEL = 'swarm.rig'
const FOLDER_PREFIX = 'swarm-rig-'
const SHARED_INSIDE = '/shared'
const HOST_INSIDE = '/data'
const REPOSITORY = fileURLToPath(new URL('../..', import.meta.url))
const REPOSITORY_INSIDE = '/repository'
/** The image's unprivileged user; the Dockerfile says so. */
const IMAGE_UID = 1000

export class DockerLab implements Lab {
  readonly kind = 'docker'
  readonly shared: string
  readonly sharedInside = SHARED_INSIDE
  readonly swarm = []
  readonly #api: DockerApi
  readonly #image: string
  readonly #owner: string
  readonly #folder: string
  readonly #hosts: DockerHost[] = []
  readonly #watchdog: ChildProcess
  #closed = false

  private constructor(api: DockerApi, image: string, owner: string, folder: string, watchdog: ChildProcess) {
    this.#api = api
    this.#image = image
    this.#owner = owner
    this.#folder = folder
    this.#watchdog = watchdog
    this.shared = join(folder, 'shared')
  }

  static async open(image: string): Promise<DockerLab> {
    const api = DockerApi.fromEnvironment()
    await sweep()
    const owner = await ownerOf(process.pid)
    if (owner === undefined) throw new Error('cannot read /proc: containers can be capped on Linux only')
    const folder = await mkdtemp(join(tmpdir(), `${FOLDER_PREFIX}${owner}-`))
    await chmod(folder, 0o755)
    const watchdog = startWatchdog()
    const lab = new DockerLab(api, image, owner, folder, watchdog)
    try {
      await mkdir(lab.shared)
      await api.call('POST', '/networks/create', { Name: lab.#network, CheckDuplicate: true, Labels: { [LABEL]: owner } })
    } catch (err) {
      await lab.close()
      throw err
    }
    return lab
  }

  get #network(): string {
    return `swarm-rig-${this.#owner}`
  }

  async addHost(name: string, caps: LinkCaps, diskBytes?: number): Promise<LabHost> {
    const folder = join(this.#folder, 'hosts', name)
    await mkdir(folder, { recursive: true })
    if (diskBytes !== undefined) await run('mount', '-t', 'tmpfs', '-o', `size=${diskBytes}`, 'swarm-rig-disk', folder)
    await chown(folder, IMAGE_UID, IMAGE_UID)
    const host = new DockerHost(this.#api, name, folder, caps, {
      Image: this.#image,
      WorkingDir: HOST_INSIDE,
      Labels: { [LABEL]: this.#owner },
      // The image's health check is for people's containers; here it would only burn the two cores that are
      // measured.
      Healthcheck: { Test: ['NONE'] },
      HostConfig: {
        NetworkMode: this.#network,
        Binds: [`${this.shared}:${SHARED_INSIDE}:ro`, `${folder}:${HOST_INSIDE}`]
      }
    })
    this.#hosts.push(host)
    return host
  }

  async growDisk(host: LabHost, diskBytes: number): Promise<void> {
    await run('mount', '-o', `remount,size=${diskBytes}`, host.folder)
  }

  async partition(hosts: readonly LabHost[]): Promise<void> {
    await run('ip', 'link', 'add', this.#farBridge, 'type', 'bridge')
    await run('ip', 'link', 'set', this.#farBridge, 'up')
    for (const host of hosts) await run('ip', 'link', 'set', (host as DockerHost).outerDevice, 'master', this.#farBridge)
  }

  async heal(): Promise<void> {
    const networks = (await this.#api.call('GET', `/networks/${this.#network}`)) as { Id: string }
    const bridge = `br-${networks.Id.slice(0, 12)}`
    for (const host of this.#hosts) {
      if (host.outerDevice !== '') await run('ip', 'link', 'set', host.outerDevice, 'master', bridge)
    }
    await run('ip', 'link', 'delete', this.#farBridge)
  }

  async close(): Promise<void> {
    if (this.#closed) return
    this.#closed = true
    await remove(this.#api, this.#owner)
    this.#watchdog.stdin?.end('done\n')
  }

  get #farBridge(): string {
    return farBridge(this.#owner)
  }
}

class DockerHost implements LabHost {
  readonly name: string
  readonly folder: string
  /** The host's end of the container's veth; empty before the first start. */
  outerDevice = ''
  readonly #api: DockerApi
  readonly #caps: LinkCaps
  readonly #config: Readonly<Record<string, unknown>>
  #address = ''
  #pid = 0
  #traffic = { sent: 0, received: 0 }

  constructor(api: DockerApi, name: string, folder: string, caps: LinkCaps, config: Readonly<Record<string, unknown>>) {
    this.#api = api
    this.name = name
    this.folder = folder
    this.#caps = caps
    this.#config = config
  }

  address(): string {
    return this.#address
  }

  inside(path: string): string {
    return join(HOST_INSIDE, path)
  }

  async start(spec: ProcessSpec, onLine: LineHandler): Promise<LabProcess> {
    const created = (await this.#api.call('POST', '/containers/create', {
      ...this.#config,
      ...(spec.script === undefined ? {} : this.#withScript(spec.script)),
      Hostname: this.name,
      Cmd: spec.argv,
      Env: Object.entries(spec.env ?? {}).map(([name, value]) => `${name}=${value}`)
    })) as { Id: string }
    const id = created.Id
    await this.#api.call('POST', `/containers/${id}/start`)
    const lines = { stdout: lineSplitter(line => onLine(line, 'stdout')), stderr: lineSplitter(line => onLine(line, 'stderr')) }
    await this.#api.follow(id, (chunk, stream) => lines[stream](chunk))
    const exited = this.#api.call('POST', `/containers/${id}/wait`).then(
      result => ({ code: (result as { StatusCode: number }).StatusCode, signal: null }),
      () => ({ code: null, signal: 'SIGKILL' })
    )
    const inspected = (await this.#api.call('GET', `/containers/${id}/json`)) as {
      State: { Pid: number }
      NetworkSettings: { Networks: Record<string, { IPAddress: string }> }
    }
    this.#pid = inspected.State.Pid
    this.#address = Object.values(inspected.NetworkSettings.Networks)[0]?.IPAddress ?? ''
    // A container that has ended already has no link to shape; its exit says why.
    if (this.#pid !== 0) await this.#shape()
    return {
      pid: this.#pid,
      exited,
      kill: async signal => {
        await this.#api.call('POST', `/containers/${id}/kill?signal=${signal}`).catch(() => {})
      }
    }
  }

  /** The image holds the product alone: the rig's own programs come from this checkout. */
  #withScript(script: string): object {
    const hostConfig = this.#config.HostConfig as { Binds: string[] }
    return {
      Entrypoint: ['node', `${REPOSITORY_INSIDE}/bench/fleet/${script}`],
      HostConfig: { ...hostConfig, Binds: [...hostConfig.Binds, `${REPOSITORY}:${REPOSITORY_INSIDE}:ro`] }
    }
  }

  async traffic(): Promise<{ sent: number; received: number }> {
    try {
      const inner = await run('nsenter', `--net=/proc/${this.#pid}/ns/net`, 'tc', '-s', '-j', 'qdisc', 'show', 'dev', 'eth0')
      this.#traffic = { sent: parseHtbBytes(inner) ?? 0, received: await deviceCounter(this.outerDevice, 'tx_bytes') }
    } catch {
      // The container is gone, and its link and counters with it: what was last read stands.
    }
    return this.#traffic
  }

  async sentSoFar(): Promise<number> {
    return await deviceCounter(this.outerDevice, 'rx_bytes')
  }

  async #shape(): Promise<void> {
    const enter = ['nsenter', `--net=/proc/${this.#pid}/ns/net`] as const
    // `eth0@if17`: 17 is the index of the other end, here outside.
    const link = JSON.parse(await run(...enter, 'ip', '-j', 'link', 'show', 'dev', 'eth0')) as { link_index?: number }[]
    const outer = JSON.parse(await run('ip', '-j', 'link', 'show')) as { ifindex: number; ifname: string }[]
    this.outerDevice = outer.find(device => device.ifindex === link[0]?.link_index)?.ifname ?? ''
    if (this.outerDevice === '') throw new Error(`cannot find the link of container ${this.name}`)
    if (this.#caps.congestionControl !== undefined) {
      const routes = await run(...enter, 'ip', '-j', 'route', 'show', 'dev', 'eth0')
      for (const command of congestionCommands(routes, 'eth0', this.#caps.congestionControl))
        await run(...enter, 'ip', ...command)
    }
    if (this.#caps.uplink !== undefined) {
      for (const command of shapeCommands('eth0', this.#caps.uplink)) await run(...enter, ...command)
    }
    if (this.#caps.downlink !== undefined) {
      for (const command of shapeCommands(this.outerDevice, this.#caps.downlink)) await run(...command)
    }
  }
}

/**
 * A process by number and start time, so that a reused number is not taken for it; undefined when it has
 * ended.
 */
async function ownerOf(pid: number): Promise<string | undefined> {
  try {
    const stat = await readFile(`/proc/${pid}/stat`, 'utf8')
    const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ')
    return fields[0] === 'Z' ? undefined : `${pid}-${fields[19]}`
  } catch {
    return undefined
  }
}

function farBridge(owner: string): string {
  return `far${owner.split('-')[0]}`
}

/**
 * Removes what rigs that no longer live have left: containers, networks, mounts, folders. Safe beside a
 * running rig.
 */
export async function sweep(): Promise<void> {
  const api = DockerApi.fromEnvironment()
  const owners = new Set<string>()
  const filter = encodeURIComponent(JSON.stringify({ label: [LABEL] }))
  const containers = (await api.call('GET', `/containers/json?all=1&filters=${filter}`)) as { Labels: Record<string, string> }[]
  const networks = (await api.call('GET', `/networks?filters=${filter}`)) as { Labels: Record<string, string> }[]
  for (const { Labels } of [...containers, ...networks]) if (Labels[LABEL] !== undefined) owners.add(Labels[LABEL])
  for (const name of await readdir(tmpdir())) {
    const match = /^swarm-rig-(\d+-\d+)-/.exec(name)
    if (match?.[1] !== undefined) owners.add(match[1])
  }
  for (const owner of owners) {
    if ((await ownerOf(Number(owner.split('-')[0]))) !== owner) await remove(api, owner)
  }
}

async function remove(api: DockerApi, owner: string): Promise<void> {
  const filter = encodeURIComponent(JSON.stringify({ label: [`${LABEL}=${owner}`] }))
  const containers = (await api.call('GET', `/containers/json?all=1&filters=${filter}`)) as { Id: string }[]
  await Promise.all(containers.map(({ Id }) => api.call('DELETE', `/containers/${Id}?force=1&v=1`).catch(() => {})))
  const networks = (await api.call('GET', `/networks?filters=${filter}`)) as { Id: string }[]
  for (const { Id } of networks) await api.call('DELETE', `/networks/${Id}`)
  // The far bridge exists only when the rig ended between partition and heal.
  await run('ip', 'link', 'delete', farBridge(owner)).catch(() => {})
  for (const name of await readdir(tmpdir())) {
    if (!basename(name).startsWith(`${FOLDER_PREFIX}${owner}-`)) continue
    const folder = join(tmpdir(), name)
    const mounts = (await readFile('/proc/mounts', 'utf8')).split('\n').map(line => line.split(' ')[1] ?? '')
    for (const mount of mounts) if (mount.startsWith(`${folder}/`)) await run('umount', '--lazy', mount)
    await rm(folder, { recursive: true, force: true })
  }
}

/** A process of its own that sweeps when this one ends without having said that it is done. */
function startWatchdog(): ChildProcess {
  const watchdog = spawn(process.execPath, [fileURLToPath(new URL('docker-watchdog.ts', import.meta.url))], {
    detached: true,
    stdio: ['pipe', 'ignore', 'ignore']
  })
  watchdog.unref()
  watchdog.stdin?.on('error', () => {})
  return watchdog
}
