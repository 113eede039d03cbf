/**
 * Runs one experiment with one client in a lab: starts the nodes, gives the signal, performs the scenario's
 * steps, watches every node until all that should be are complete, verifies every file, and says what was
 * measured (result.ts).
 */

import { readFile, writeFile } from 'node:fs/promises'
import { availableParallelism } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { Random } from '../../src/util/random.ts'
import { type Client, type ClientContext, type NodeEvent, PAYLOAD_NAME, START_NAME } from './clients.ts'
import { type Action, boundSeconds, type Experiment, oneServerSeconds, type Trigger } from './experiment.ts'
import { FleetNode } from './fleet-node.ts'
import type { Lab, LinkCaps } from './lab.ts'
import { writePayload } from './payload.ts'
import { type RunResult, resultOf } from './result.ts'

/** How often the steps are considered and the links' counters are read. */
const TICK_MS = 250
/** Seconds that a node may take to load, and a run beyond its patience, on a loaded machine. */
const SLOW_MACHINE_S = 120
/**
 * The signal is given when the nodes use less than this of a core each (idle with 30 neighbours they use half
 * of it), or after so long.
 */
const SETTLED_CORES = 0.02
const MAX_SETTLE_S = 60
/** Room of a small disk, as a fraction of the file. */
const SMALL_DISK = 0.6

export interface RunOptions {
  readonly signal: AbortSignal
  /** Called at every tick with what a person would like to see. */
  readonly onTick?: (view: LiveView) => void
  readonly onNote?: (note: string) => void
}

export interface LiveView {
  readonly seconds: number
  readonly nodes: readonly { readonly name: string; readonly fraction: number; readonly up: boolean }[]
}

/**
 * Throws what keeps the experiment from running at all; everything that goes wrong within it is in the
 * result.
 */
export async function runExperiment(lab: Lab, client: Client, experiment: Experiment, options: RunOptions): Promise<RunResult> {
  return await new Run(lab, client, experiment, options).run()
}

class Run {
  readonly #lab: Lab
  readonly #client: Client
  readonly #experiment: Experiment
  readonly #options: RunOptions
  readonly #random: Random
  readonly #log: string[] = []
  readonly #progress: { seconds: number; bytesDone: number; sent: number[] }[] = []
  readonly #boundS: number
  #seeder!: FleetNode
  #hub!: FleetNode
  #leechers: FleetNode[] = []
  #corrupters: FleetNode[] = []
  #beganMs = 0
  #step = 0
  #stepMs = 0
  #cutOff = new Set<FleetNode>()
  #traffic = { sent: 0, seederSent: 0 }

  constructor(lab: Lab, client: Client, experiment: Experiment, options: RunOptions) {
    this.#lab = lab
    this.#client = client
    this.#experiment = experiment
    this.#options = options
    this.#random = new Random(experiment.seed)
    this.#boundS = boundSeconds(experiment)
  }

  async run(): Promise<RunResult> {
    const { sizeBytes, pieceBytes, seed, cold, scenario } = this.#experiment
    const payload = join(this.#lab.shared, PAYLOAD_NAME)
    const digest = await writePayload(payload, sizeBytes, seed)
    await this.#addHosts()
    const context: ClientContext = {
      lab: this.#lab,
      payload,
      pieceBytes,
      seeder: this.#seeder.host,
      hub: this.#hub.host,
      cold,
      pieceEvents: scenario.steps.some(step => step.when.type === 'swarmHoldsCopy')
    }
    const loadSeconds = await this.#startAll(context)
    const machineBefore = await machineBusySeconds()
    const sentBefore = await this.#sentBytes()
    await Promise.all(this.#everyone().map(node => node.measure()))
    for (const node of this.#everyone()) node.loadCpuSeconds = cold ? 0 : node.usage.cpuSeconds
    this.#beganMs = cold ? this.#beganMs : performance.now()
    for (const node of this.#present()) node.beganMs = this.#beganMs
    if (!cold) await writeFile(join(this.#lab.shared, START_NAME), '')
    const timedOut = await this.#watch(sentBefore)
    const machine = (await machineBusySeconds()) - machineBefore
    const wallS = (performance.now() - this.#beganMs) / 1000
    await Promise.all(this.#everyone().map(node => node.measure()))
    await Promise.all(this.#everyone().map(node => node.kill('SIGTERM')))
    return await resultOf({
      client: this.#client.name,
      lab: this.#lab.kind,
      experiment: this.#experiment,
      hub: this.#hub,
      seeder: this.#seeder,
      leechers: this.#leechers,
      corrupters: this.#corrupters,
      beganMs: this.#beganMs,
      digest,
      log: this.#log,
      progress: this.#progress,
      traffic: this.#traffic,
      loadSeconds,
      cpuUse: machine / wallS,
      wallSeconds: wallS,
      timedOut
    })
  }

  async #addHosts(): Promise<void> {
    const { leechers, uplinkBitsPerSecond, symmetric, scenario, sizeBytes, congestionControl } = this.#experiment
    const downlink = symmetric ? uplinkBitsPerSecond : undefined
    const caps: LinkCaps = { uplink: uplinkBitsPerSecond, downlink, congestionControl }
    this.#hub = new FleetNode(await this.#lab.addHost('hub', caps), 'hub')
    this.#seeder = new FleetNode(await this.#lab.addHost('seeder', caps), 'seeder')
    const total = leechers + scenario.lateJoiners
    for (let index = 0; index < total; index++) {
      const role = index >= leechers ? 'late' : index < scenario.smallDisks ? 'small-disk' : 'leecher'
      const name = `n${String(index + 1).padStart(String(total).length, '0')}`
      const disk = role === 'small-disk' ? Math.round(sizeBytes * SMALL_DISK) : undefined
      this.#leechers.push(new FleetNode(await this.#lab.addHost(name, caps, disk), role))
    }
    for (let index = 0; index < scenario.corrupters; index++) {
      this.#corrupters.push(new FleetNode(await this.#lab.addHost(`bad${index + 1}`, caps), 'corrupter'))
    }
  }

  /**
   * Starts everything but the late joiners; resolves, when all wait for the signal, with the seconds that
   * loading the leechers took.
   */
  async #startAll(context: ClientContext): Promise<number | undefined> {
    const client = this.#client
    let hub: NodeEvent | undefined
    if (client.hub !== undefined) {
      this.#hub.spec = await client.hub(context)
      await this.#hub.start(client)
      hub = await this.#loaded(this.#hub)
    }
    this.#seeder.spec = await client.seeder(context, hub)
    await this.#seeder.start(client)
    await this.#loaded(this.#seeder)
    await client.prepare?.(context)
    for (const corrupter of this.#corrupters) {
      if (client.corrupter === undefined) throw new Error(`${client.name} has no corrupting peer here`)
      corrupter.spec = client.corrupter(context, corrupter.host, hub)
      await corrupter.start(client)
      await this.#loaded(corrupter)
    }
    const beganMs = performance.now()
    this.#beganMs = beganMs
    for (const leecher of this.#leechers) {
      leecher.spec = client.leecher(context, leecher.host, hub)
      if (leecher.role !== 'late') await leecher.start(client)
    }
    if (this.#experiment.cold) return undefined
    await Promise.all(this.#present().map(node => this.#loaded(node)))
    const loadSeconds = (performance.now() - beganMs) / 1000
    await this.#settle()
    return loadSeconds
  }

  /**
   * Loaded nodes still join the DHT; on two cores that takes a while for many, and is no part of what a warm
   * start measures.
   */
  async #settle(): Promise<void> {
    const cpuSeconds = async (): Promise<number> => {
      await Promise.all(this.#everyone().map(node => node.measure()))
      return this.#everyone().reduce((sum, node) => sum + node.usage.cpuSeconds, 0)
    }
    const beganMs = performance.now()
    for (let before = await cpuSeconds(); performance.now() - beganMs < MAX_SETTLE_S * 1000; ) {
      await sleep(1000, undefined, { signal: this.#options.signal })
      const now = await cpuSeconds()
      if (now - before < SETTLED_CORES * this.#everyone().length) return
      before = now
    }
  }

  async #loaded(node: FleetNode): Promise<NodeEvent> {
    const late = sleep(SLOW_MACHINE_S * 1000, undefined, { signal: this.#options.signal, ref: false }).then((): NodeEvent => {
      throw new Error(`${node.host.name} is not ready after ${SLOW_MACHINE_S} s: ${node.said.join(' | ')}`)
    })
    return await Promise.race([node.ready.promise, late])
  }

  /** Watches and performs the scenario until all are complete; true when patience ended first. */
  async #watch(sentBefore: { sent: number; seederSent: number }): Promise<boolean> {
    const { patience, scenario } = this.#experiment
    const reference = this.#client.name === 'http' ? oneServerSeconds(this.#experiment) : this.#boundS
    const deadlineMs = this.#beganMs + (reference * patience + SLOW_MACHINE_S) * 1000
    this.#stepMs = this.#beganMs
    let allCompleteSeen = false
    for (;;) {
      this.#options.signal.throwIfAborted()
      const nowMs = performance.now()
      const step = scenario.steps[this.#step]
      if (step !== undefined && this.#isDue(step.when, nowMs)) {
        await this.#perform(step.action)
        this.#step++
        this.#stepMs = performance.now()
      }
      await this.#helpSmallDisks()
      const done = this.#present().every(node => node.completeMs !== undefined)
      if (done && !allCompleteSeen) {
        allCompleteSeen = true
        const sent = await this.#sentBytes()
        this.#traffic = { sent: sent.sent - sentBefore.sent, seederSent: sent.seederSent - sentBefore.seederSent }
      }
      await this.#show(nowMs)
      if (done && this.#step === scenario.steps.length && this.#leechers.every(node => node.completeMs !== undefined))
        return false
      if (nowMs > deadlineMs || this.#isHopeless()) return true
      await sleep(TICK_MS, undefined, { signal: this.#options.signal })
    }
  }

  /** Whether every node that is not complete has ended by itself, so that waiting helps nobody. */
  #isHopeless(): boolean {
    const incomplete = this.#present().filter(node => node.completeMs === undefined)
    return (
      incomplete.length > 0 && incomplete.every(node => node.exitCode !== undefined && !node.killed && node.role !== 'small-disk')
    )
  }

  #isDue(when: Trigger, nowMs: number): boolean {
    switch (when.type) {
      case 'swarmHoldsCopy': {
        const held = new Set<number>()
        for (const node of this.#leechers) if (node.running !== undefined) for (const piece of node.pieces) held.add(piece)
        return held.size === Math.ceil(this.#experiment.sizeBytes / this.#experiment.pieceBytes)
      }
      case 'meanDone':
        return this.#bytesDone() >= when.fraction * this.#experiment.leechers * this.#experiment.sizeBytes
      case 'afterPrevious':
        return nowMs - this.#stepMs >= when.boundTimes * this.#boundS * 1000
      case 'othersComplete':
        return this.#present().every(node => node.completeMs !== undefined || this.#cutOff.has(node))
    }
  }

  async #perform(action: Action): Promise<void> {
    switch (action.type) {
      case 'killSeeder':
        await this.#seeder.kill('SIGKILL')
        this.#note('killed the seeder')
        return
      case 'killLeechers': {
        const victims = this.#pick(action.fraction)
        await Promise.all(victims.map(node => node.kill('SIGKILL')))
        this.#note(`killed ${names(victims)}`)
        return
      }
      case 'restartKilled': {
        const victims = this.#leechers.filter(node => node.killed)
        for (const node of victims) {
          node.restarts++
          await node.start(this.#client)
        }
        this.#note(`started ${names(victims)} again`)
        return
      }
      case 'partition': {
        const far = this.#pick(action.fraction)
        await this.#lab.partition(far.map(node => node.host))
        this.#cutOff = new Set(far)
        this.#note(`cut ${names(far)} off`)
        return
      }
      case 'heal':
        await this.#lab.heal()
        this.#cutOff.clear()
        this.#note('healed the partition')
        return
      case 'startLateJoiner':
        for (const node of this.#leechers.filter(({ role }) => role === 'late')) {
          await node.start(this.#client)
          // The start signal stands already; the clock starts when the node is loaded, as for everyone else.
          await this.#loaded(node)
          node.beganMs = performance.now()
          this.#note(`${node.host.name} joined`)
        }
        return
    }
  }

  /** A node whose disk was full has ended and said so: gives it room and starts it again. */
  async #helpSmallDisks(): Promise<void> {
    for (const node of this.#leechers) {
      if (node.role !== 'small-disk' || node.running !== undefined || node.exitCode === undefined || node.restarts > 0) continue
      this.#note(`${node.host.name} ended with exit code ${node.exitCode}: ${node.error ?? node.said.at(-1) ?? ''}`)
      await this.#lab.growDisk(node.host, this.#experiment.sizeBytes * 2 + (16 << 20))
      node.restarts++
      await node.start(this.#client)
      this.#note(`gave ${node.host.name} room and started it again`)
    }
  }

  #pick(fraction: number): FleetNode[] {
    const candidates = this.#present().filter(node => node.running !== undefined)
    const wanted = Math.max(1, Math.round(candidates.length * fraction))
    const picked: FleetNode[] = []
    while (picked.length < wanted) picked.push(...candidates.splice(this.#random.nextInt(candidates.length), 1))
    return picked
  }

  #present(): FleetNode[] {
    return this.#leechers.filter(node => node.role !== 'late')
  }

  #everyone(): FleetNode[] {
    return [this.#hub, this.#seeder, ...this.#leechers, ...this.#corrupters]
  }

  #bytesDone(): number {
    const { sizeBytes } = this.#experiment
    return this.#leechers.reduce((sum, node) => sum + (node.completeMs === undefined ? node.bytesDone : sizeBytes), 0)
  }

  async #sentBytes(): Promise<{ sent: number; seederSent: number }> {
    const all = await Promise.all([this.#seeder, ...this.#leechers].map(node => node.host.traffic()))
    return { sent: all.reduce((sum, traffic) => sum + traffic.sent, 0), seederSent: all[0]?.sent ?? 0 }
  }

  #note(text: string): void {
    const line = `${((performance.now() - this.#beganMs) / 1000).toFixed(1)} s  ${text}`
    this.#log.push(line)
    this.#options.onNote?.(line)
  }

  async #show(nowMs: number): Promise<void> {
    const { sizeBytes } = this.#experiment
    for (const node of this.#everyone()) await node.measure()
    const seconds = (nowMs - this.#beganMs) / 1000
    const sent = await Promise.all([this.#seeder, ...this.#leechers].map(node => node.host.sentSoFar()))
    this.#progress.push({ seconds, bytesDone: this.#bytesDone(), sent })
    this.#options.onTick?.({
      seconds,
      nodes: this.#leechers.map(node => ({
        name: node.host.name,
        fraction: node.completeMs === undefined ? node.bytesDone / sizeBytes : 1,
        up: node.running !== undefined
      }))
    })
  }
}

function names(nodes: readonly FleetNode[]): string {
  return nodes.map(node => node.host.name).join(', ')
}

/**
 * Seconds that this machine's cores were busy since it started, all cores and all processes, divided by the
 * cores.
 */
async function machineBusySeconds(): Promise<number> {
  const [user = 0, nice = 0, system = 0, , , irq = 0, softirq = 0] =
    (await readFile('/proc/stat', 'utf8')).split('\n', 1)[0]?.trim().split(/\s+/).slice(1).map(Number) ?? []
  return (user + nice + system + irq + softirq) / 100 / availableParallelism()
}
