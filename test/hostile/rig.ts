/**
 * A victim, attackers and an honest download, each as real as it gets: the first two are processes of their
 * own. What attackers use as their address is another one of this machine's loopback than the honest node's.
 */

import { type ChildProcess, fork, type Serializable } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createNode } from '../../src/index.ts'
import type { Usage } from './victim.ts'

/** Where attackers connect from. */
export const ATTACKER_ADDRESS = '127.0.0.66'

export class Rig {
  readonly folder: string
  /** Of the victim. */
  readonly address: string
  readonly root: string
  readonly #victim: ChildProcess
  readonly #attackers: ChildProcess[] = []
  #downloads = 0

  private constructor(folder: string, victim: ChildProcess, address: string, root: string) {
    this.folder = folder
    this.#victim = victim
    this.address = address
    this.root = root
  }

  static async start(contentBytes: number): Promise<Rig> {
    const folder = await mkdtemp(join(tmpdir(), 'swarm-hostile-'))
    const path = join(folder, 'content.bin')
    await writeFile(path, randomBytes(contentBytes))
    const victim = fork(join(import.meta.dirname, 'victim.ts'), [path, join(folder, 'victim')])
    const { addresses, root } = (await answerOf(victim)) as { addresses: string[]; root: string }
    return new Rig(folder, victim, addresses[0] as string, root)
  }

  get link(): string {
    return `swarm:${this.root}?peer=${encodeURIComponent(this.address)}`
  }

  /** What the victim has used since it was asked last. */
  async usage(): Promise<Usage> {
    const answer = answerOf(this.#victim)
    this.#victim.send('usage')
    return (await answer) as unknown as Usage
  }

  /** Starts an attack of attackers.ts; resolves when it is under way. */
  async attack(name: string, flags: Record<string, string | number> = {}): Promise<ChildProcess> {
    const args = Object.entries({ target: this.address, root: this.root, ...flags }).flatMap(([key, value]) => [
      `--${key}`,
      `${value}`
    ])
    const attacker = fork(join(import.meta.dirname, 'attackers.ts'), [name, ...args])
    this.#attackers.push(attacker)
    await answerOf(attacker)
    return attacker
  }

  /**
   * Downloads the content as an honest node of its own; how long it took, from the first dial, in
   * milliseconds.
   */
  async download(): Promise<number> {
    const name = `honest-${this.#downloads++}`
    const node = await createNode({
      listen: ['/ip4/127.0.0.1/tcp/0'],
      mdns: false,
      dht: false,
      stateDir: join(this.folder, `${name}-state`)
    })
    try {
      const startMs = performance.now()
      const transfer = await node.get(this.link, { output: join(this.folder, name) })
      await transfer.completed
      return performance.now() - startMs
    } finally {
      await node.stop()
    }
  }

  async stop(): Promise<void> {
    for (const child of [...this.#attackers, this.#victim]) {
      if (child.exitCode !== null || child.signalCode !== null) continue
      const gone = once(child, 'exit')
      child.kill('SIGKILL')
      await gone
    }
    await rm(this.folder, { recursive: true, force: true })
  }
}

/** The next message of a process; rejects when it ends before. */
async function answerOf(child: ChildProcess): Promise<Serializable> {
  const ended = once(child, 'exit').then(([code, signal]) => {
    throw new Error(`process ended: ${code ?? signal}`)
  })
  const [message] = await Promise.race([once(child, 'message'), ended])
  return message
}
