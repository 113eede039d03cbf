/**
 * One swarm of unequals: a seeder, neighbours that are slow or hostile and are there first, and honest
 * leechers whose time is taken from a signal to the verified file. Every member is a process; nodes are the
 * built command line.
 */

import { createCipheriv } from 'node:crypto'
import { createReadStream } from 'node:fs'
import { mkdir, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import type { BehaviourName } from '../../test/hostile/peers/behaviours.ts'
import { startOrigin } from '../../test/origin/origin-server.ts'
import type { Ground, Link, OpenGround } from './grounds.ts'
import { type Actor, Stage } from './processes.ts'

const HOSTILE_PEER = fileURLToPath(new URL('../../test/hostile/peers/main.ts', import.meta.url))
const CONTENT_NAME = 'big.bin'
const SMALL_NAME = 'small.txt'

/** An honest `get`. */
export interface Leecher {
  readonly args: readonly string[]
  readonly link?: Link
  /** After the common signal. @default 0 */
  readonly joinsAfterSeconds?: number
  /** Stopped (SIGSTOP) so long after it joined, for so long. */
  readonly pause?: { readonly afterSeconds: number; readonly seconds: number }
  /** False: it is there, and nobody waits for it. @default true */
  readonly isTimed?: boolean
}

/** There, and busy, before the leechers begin. */
export type Neighbour =
  | { readonly kind: 'leecher'; readonly args: readonly string[] }
  | {
      readonly kind: 'hostile'
      readonly behaviour: BehaviourName
      readonly count: number
      readonly labels?: readonly string[]
    }

export interface Setting {
  /** A folder also holds a small file, for those who want only that. */
  readonly content: 'file' | 'folder'
  readonly bytes: number
  /** Arguments of the seeder; undefined: there is none, and the origin alone has everything. */
  readonly seeder: readonly string[] | undefined
  readonly leechers: readonly Leecher[]
  readonly neighbours: readonly Neighbour[]
  /** With an HTTP origin of this rate, which the leechers know. */
  readonly originBytesPerSecond?: number
}

export interface Outcome {
  /**
   * Of each leecher, from its signal to the verified file; undefined: it did not get there in time, or is not
   * timed.
   */
  readonly seconds: readonly (number | undefined)[]
  /** Why a timed one did not, in words. */
  readonly faults: readonly string[]
}

export interface RunOptions {
  readonly openGround: OpenGround
  /** The argv that runs the program. */
  readonly cli: readonly string[]
  /** A leecher that takes longer counts as hung. */
  readonly patienceSeconds: number
}

/** Runs the setting once. */
export async function runOnce(setting: Setting, options: RunOptions): Promise<Outcome> {
  await using ground = await options.openGround()
  // Ended first: processes stand on the ground.
  await using stage = await Stage.open()
  return await new Run(ground, stage, setting, options).run()
}

class Run {
  readonly #ground: Ground
  readonly #stage: Stage
  readonly #setting: Setting
  readonly #options: RunOptions
  readonly #manifest: string
  /** Arguments that name the members that every leecher knows from the start. */
  readonly #known: string[] = []
  #content = ''

  constructor(ground: Ground, stage: Stage, setting: Setting, options: RunOptions) {
    this.#ground = ground
    this.#stage = stage
    this.#setting = setting
    this.#options = options
    this.#manifest = join(stage.folder, 'content.swarm')
  }

  async run(): Promise<Outcome> {
    const { leechers, neighbours, originBytesPerSecond } = this.#setting
    this.#content = await writeContent(this.#stage.folder, this.#setting)
    await this.#startSeeder()
    const addresses: string[] = []
    for (const [index, neighbour] of neighbours.entries()) addresses.push(...(await this.#startNeighbour(neighbour, index)))
    // Known from the start, so that they do their harm from the first piece on; 20 MB take less than their
    // discovery.
    this.#know(addresses)
    await using origin =
      originBytesPerSecond === undefined
        ? undefined
        : await startOrigin(await readFile(this.#content), { bytesPerSecond: originBytesPerSecond })
    const origins = origin === undefined ? [] : ['--origin', origin.url]
    const actors = await Promise.all(leechers.map((leecher, index) => this.#startLeecher(leecher, index, origins)))
    await Promise.all(actors.map(actor => actor.need('waiting')))
    const results = await Promise.all(
      leechers.map(async (leecher, index) => {
        const timed = this.#time(leecher, index, actors[index] as Actor)
        return leecher.isTimed === false ? {} : await timed
      })
    )
    return { seconds: results.map(({ seconds }) => seconds), faults: results.flatMap(({ fault }) => fault ?? []) }
  }

  async #startSeeder(): Promise<void> {
    const { cli } = this.#options
    const { seeder } = this.#setting
    const target = ['--json', '--output', this.#manifest, ...this.#stateOf('seeder')]
    if (seeder === undefined) {
      await this.#stage.start('creator', [...cli, 'create', this.#content, ...target]).need('created')
      return
    }
    const actor = await this.#startNode('seeder', ['seed', this.#content, ...target, ...seeder])
    const { addresses } = await actor.need('seeding')
    this.#know((addresses as string[]).slice(0, 1))
  }

  /**
   * Starts it and waits until it is a neighbour of the seeder. Resolves with addresses at which it can be
   * reached, where it tells.
   */
  async #startNeighbour(neighbour: Neighbour, index: number): Promise<string[]> {
    const name = `s${index + 1}`
    if (neighbour.kind === 'leecher') {
      const slow = await this.#startGet(name, neighbour.args)
      await slow.need('progress', ({ phase, bytesDone }) => phase === 'seeding' || Number(bytesDone) > 0)
      const seeding = slow.events.find(({ event }) => event === 'seeding')
      return (seeding?.addresses as string[] | undefined) ?? []
    }
    const { behaviour, count, labels = [] } = neighbour
    const { prefix, listen } = await this.#ground.place(name, undefined)
    const more = ['--count', `${count}`, '--content', this.#content, ...labels.flatMap(label => ['--label', label])]
    const own = [behaviour, '--listen', listen, '--manifest', this.#manifest]
    const hostile = this.#stage.start(behaviour, [...prefix, process.execPath, HOSTILE_PEER, ...own, ...this.#known, ...more])
    const { addresses } = await hostile.need(this.#known.length === 0 ? 'listening' : 'linked')
    return addresses as string[]
  }

  async #startLeecher({ args, link }: Leecher, index: number, origins: readonly string[]): Promise<Actor> {
    const env = { SWARM_START_FILE: this.#startFile(index) }
    return await this.#startGet(`n${index + 1}`, ['--seed', ...origins, ...args], link, env)
  }

  async #startGet(name: string, args: readonly string[], link?: Link, env?: Record<string, string>): Promise<Actor> {
    const output = ['--output', join(this.#stage.folder, name)]
    const argv = ['get', this.#manifest, '--json', ...this.#known, ...output, ...args, ...this.#stateOf(name)]
    return await this.#startNode(name, argv, link, env)
  }

  async #startNode(name: string, argv: readonly string[], link?: Link, env?: Record<string, string>): Promise<Actor> {
    const { prefix, listen } = await this.#ground.place(name, link)
    const own = ['--no-mdns', '--no-daemon', '--listen', listen]
    return this.#stage.start(name, [...prefix, ...this.#options.cli, ...argv, ...own], env)
  }

  /** Gives the leecher its signal, pauses it, and waits for its end. */
  async #time(leecher: Leecher, index: number, actor: Actor): Promise<{ seconds?: number; fault?: string }> {
    const { joinsAfterSeconds = 0, pause } = leecher
    await sleep(joinsAfterSeconds * 1000)
    await writeFile(this.#startFile(index), '')
    if (pause !== undefined) void pauseFor(actor, pause)
    const { patienceSeconds } = this.#options
    const complete = await actor.event('complete', patienceSeconds * 1000)
    if (complete === undefined) return { fault: whyNotComplete(actor, patienceSeconds) }
    const copy = join(this.#stage.folder, actor.name)
    const seconds = Number(complete.elapsedMs) / 1000
    return (await isEqual(this.#content, copy, this.#setting)) ? { seconds } : { seconds, fault: `${actor.name} has other bytes` }
  }

  #startFile(index: number): string {
    return join(this.#stage.folder, `start-${index}`)
  }

  #stateOf(name: string): string[] {
    return ['--state-dir', join(this.#stage.folder, `state-${name}`)]
  }

  #know(addresses: readonly string[]): void {
    this.#known.push(...addresses.flatMap(address => ['--peer', address]))
  }
}

async function pauseFor(actor: Actor, { afterSeconds, seconds }: NonNullable<Leecher['pause']>): Promise<void> {
  await sleep(afterSeconds * 1000, undefined, { ref: false })
  actor.signal('SIGSTOP')
  await sleep(seconds * 1000, undefined, { ref: false })
  actor.signal('SIGCONT')
}

function whyNotComplete({ name, events }: Actor, patienceSeconds: number): string {
  const progress = events.findLast(({ event, phase }) => event === 'progress' && phase === 'downloading')
  const error = events.find(({ event }) => event === 'error')
  const done = `${(Number(progress?.bytesDone ?? 0) / 1e6).toFixed(1)} MB`
  if (error !== undefined) return `${name}: exit ${error.exitCode} with ${done}`
  return `${name}: ${done} after ${patienceSeconds} s, waiting for ${progress?.waitingFor ?? 'nothing'}`
}

/** Bytes that look random and are the same in every run. */
async function writeContent(folder: string, { content, bytes }: Setting): Promise<string> {
  const cipher = createCipheriv('aes-128-ctr', new Uint8Array(16).fill(7), new Uint8Array(16))
  const data = cipher.update(new Uint8Array(bytes))
  const path = join(folder, 'content')
  if (content === 'file') {
    await writeFile(path, data)
    return path
  }
  await mkdir(path)
  await writeFile(join(path, CONTENT_NAME), data)
  await writeFile(join(path, SMALL_NAME), 'small\n')
  return path
}

async function isEqual(original: string, copy: string, { content }: Setting): Promise<boolean> {
  const inner = content === 'folder' ? [CONTENT_NAME] : []
  const ours = await readFile(join(original, ...inner))
  let at = 0
  for await (const chunk of createReadStream(join(copy, ...inner)) as AsyncIterable<Buffer>) {
    if (!ours.subarray(at, at + chunk.byteLength).equals(chunk)) return false
    at += chunk.byteLength
  }
  return at === ours.byteLength
}
