/**
 * One node of the fleet: its process, what it said, and what it used over all its restarts. Used by run.ts.
 */

import type { Client, NodeEvent } from './clients.ts'
import { type LabHost, type LabProcess, type ProcessSpec, type ProcessUsage, processUsage } from './lab.ts'
import type { NodeRole } from './result.ts'

/** Lines of stderr kept per node, for the report of a failure. */
const KEPT_LINES = 20

export class FleetNode {
  readonly host: LabHost
  readonly role: NodeRole | 'seeder' | 'hub' | 'corrupter'
  spec: ProcessSpec | undefined
  running: LabProcess | undefined
  readonly ready = Promise.withResolvers<NodeEvent>()
  beganMs = 0
  completeMs: number | undefined
  bytesDone = 0
  pieces = new Set<number>()
  bytesFrom: Readonly<Record<string, number>> | undefined
  bytesWasted: number | undefined
  /** CPU time until the signal. */
  loadCpuSeconds = 0
  restarts = 0
  killed = false
  exitCode: number | null | undefined
  error: string | undefined
  readonly said: string[] = []
  #past: ProcessUsage = { cpuSeconds: 0, peakRssBytes: 0 }
  #now: ProcessUsage = { cpuSeconds: 0, peakRssBytes: 0 }

  constructor(host: LabHost, role: FleetNode['role']) {
    this.host = host
    this.role = role
    // A node that ends before it is ready rejects. Only a caller that waits for it has to see that.
    this.ready.promise.catch(() => {})
  }

  get usage(): ProcessUsage {
    return {
      cpuSeconds: this.#past.cpuSeconds + this.#now.cpuSeconds,
      peakRssBytes: Math.max(this.#past.peakRssBytes, this.#now.peakRssBytes)
    }
  }

  async measure(): Promise<void> {
    const usage = this.running === undefined ? undefined : await processUsage(this.running.pid)
    if (usage !== undefined && usage.cpuSeconds >= this.#now.cpuSeconds) this.#now = usage
  }

  async start(client: Client): Promise<void> {
    if (this.spec === undefined) throw new Error(`${this.host.name} has nothing to run`)
    this.#past = this.usage
    this.#now = { cpuSeconds: 0, peakRssBytes: 0 }
    this.killed = false
    this.exitCode = undefined
    const started = await this.host.start(this.spec, (line, stream) => this.#hear(client, line, stream))
    this.running = started
    void started.exited.then(({ code, signal }) => {
      if (this.running === started) this.running = undefined
      this.exitCode = code
      this.ready.reject(new Error(`${this.host.name} ended (${code ?? signal}): ${this.said.join(' | ')}`))
    })
  }

  async kill(signal: 'SIGTERM' | 'SIGKILL'): Promise<void> {
    const { running } = this
    if (running === undefined) return
    await this.measure()
    this.killed = true
    await running.kill(signal)
    await running.exited
  }

  #hear(client: Client, line: string, stream: 'stdout' | 'stderr'): void {
    let event: NodeEvent | undefined
    try {
      if (stream === 'stdout') event = client.interpret(line)
    } catch {
      // A line cut off by kill -9; kept below as anything else that is said.
    }
    if (event === undefined) {
      if (stream === 'stderr' && line.trim() !== '') this.said.push(line)
      if (this.said.length > KEPT_LINES) this.said.shift()
      return
    }
    switch (event.type) {
      case 'ready':
        this.ready.resolve(event)
        break
      case 'progress':
        this.bytesDone = Math.max(this.bytesDone, event.bytesDone)
        break
      case 'piece':
        this.pieces.add(event.piece)
        break
      case 'complete':
        this.completeMs ??= performance.now()
        this.bytesFrom = event.bytesFrom
        this.bytesWasted = event.bytesWasted
        break
      case 'error':
        this.error = event.message
        this.said.push(event.message)
        break
    }
  }
}
