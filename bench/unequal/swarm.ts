/**
 * One swarm of unequals on loopback: a seeder, neighbours that are slow or hostile and are there first, and honest leechers whose time is
 * taken from a common signal to the verified file. Every member is a process; nodes are the built command line.
 */

import { createCipheriv } from 'node:crypto'
import { once } from 'node:events'
import { createReadStream } from 'node:fs'
import { mkdir, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import type { BehaviourName } from '../../test/hostile/peers/behaviours.ts'
import { startOrigin } from '../../test/node/origin-server.ts'
import { type Actor, Stage } from './processes.ts'

const HOSTILE_PEER = fileURLToPath(new URL('../../test/hostile/peers/main.ts', import.meta.url))
const CONTENT_NAME = 'big.bin'
const SMALL_NAME = 'small.txt'
const OWN = ['--json', '--no-mdns', '--no-daemon', '--listen', '/ip4/127.0.0.1/tcp/0']

export interface SlowNeighbour {
  readonly kind: 'leecher'
  /** Arguments of its `get`. */
  readonly args: readonly string[]
}

export interface HostileNeighbour {
  readonly kind: 'hostile'
  readonly behaviour: BehaviourName
  readonly count: number
  readonly labels?: readonly string[]
}

export type Neighbour = SlowNeighbour | HostileNeighbour

export interface Setting {
  /** A folder also holds a small file, for those who want only that. */
  readonly content: 'file' | 'folder'
  readonly bytes: number
  /** Arguments of the seeder; undefined: there is none, and whoever has it all is the origin. */
  readonly seeder: readonly string[] | undefined
  /** Arguments of each honest leecher's `get`. */
  readonly leechers: readonly (readonly string[])[]
  readonly neighbours: readonly Neighbour[]
  /** With an HTTP origin of this rate, which the honest leechers know. */
  readonly originBytesPerSecond?: number
}

export interface Outcome {
  /** Of each honest leecher, from the signal to the verified file; undefined when it did not get there in time. */
  readonly seconds: readonly (number | undefined)[]
  /** Why one did not, in words. */
  readonly fault: string | undefined
}

/** Runs the setting once. `cli`: the argv that runs the program. */
export async function runOnce(setting: Setting, cli: readonly string[], patienceSeconds: number): Promise<Outcome> {
  await using stage = await Stage.open()
  const content = await writeContent(stage.folder, setting)
  const manifest = join(stage.folder, 'content.swarm')
  const seeder = await startSeeder(stage, setting, cli, content, manifest)
  await using origin =
    setting.originBytesPerSecond === undefined
      ? undefined
      : await startOrigin(await readFile(content), { bytesPerSecond: setting.originBytesPerSecond })
  const known = [...seeder]
  for (const [index, neighbour] of setting.neighbours.entries()) {
    known.push(...(await startNeighbour(stage, neighbour, index, { cli, manifest, content, known: seeder })))
  }
  const startFile = join(stage.folder, 'start')
  // Known from the start, so that they do their harm from the first piece on; 20 MB take less than their discovery.
  const peers = known.flatMap(address => ['--peer', address])
  const leechers = setting.leechers.map((args, index) => {
    const output = join(stage.folder, `copy-${index}`)
    const origins = origin === undefined ? [] : ['--origin', origin.url]
    const argv = ['get', manifest, ...OWN, ...peers, ...origins, '--seed', '--output', output, ...args]
    return {
      output,
      actor: stage.start(`leecher ${index + 1}`, [...cli, ...argv, ...stateOf(stage, `leecher-${index}`)], {
        SWARM_START_FILE: startFile
      })
    }
  })
  await Promise.all(leechers.map(({ actor }) => actor.need('waiting')))
  await writeFile(startFile, '')
  const results = await Promise.all(leechers.map(({ actor }) => finish(actor, patienceSeconds)))
  const faults = results.flatMap(({ fault }) => fault ?? [])
  for (const [index, { seconds }] of results.entries()) {
    const output = leechers[index]?.output ?? ''
    if (seconds !== undefined && !(await isEqual(content, output, setting))) faults.push(`leecher ${index + 1} has other bytes`)
  }
  return { seconds: results.map(({ seconds }) => seconds), fault: faults.length === 0 ? undefined : faults.join('; ') }
}

/** Seconds until the leecher is complete, by its own clock from the signal on. */
async function finish(actor: Actor, patienceSeconds: number): Promise<{ seconds?: number; fault?: string }> {
  const complete = await actor.event('complete', patienceSeconds * 1000)
  if (complete !== undefined) return { seconds: Number(complete.elapsedMs) / 1000 }
  const progress = actor.events.findLast(({ event, phase }) => event === 'progress' && phase === 'downloading')
  const error = actor.events.find(({ event }) => event === 'error')
  const done = `${(Number(progress?.bytesDone ?? 0) / 1e6).toFixed(1)} MB`
  if (error !== undefined) return { fault: `${actor.name}: exit ${error.exitCode} with ${done}` }
  return { fault: `${actor.name}: ${done} after ${patienceSeconds} s, waiting for ${progress?.waitingFor ?? 'nothing'}` }
}

async function startSeeder(
  stage: Stage,
  setting: Setting,
  cli: readonly string[],
  content: string,
  manifest: string
): Promise<string[]> {
  const target = ['--output', manifest, ...stateOf(stage, 'seeder')]
  if (setting.seeder === undefined) {
    const creator = stage.start('creator', [...cli, 'create', content, '--json', ...target])
    await creator.need('created')
    return []
  }
  const seeder = stage.start('seeder', [...cli, 'seed', content, ...OWN, ...target, ...setting.seeder])
  const { addresses } = await seeder.need('seeding')
  return (addresses as string[]).slice(0, 1)
}

/** Starts it and waits until it is a neighbour. Resolves with addresses at which it can be reached, where it tells. */
async function startNeighbour(
  stage: Stage,
  neighbour: Neighbour,
  index: number,
  { cli, manifest, content, known }: { cli: readonly string[]; manifest: string; content: string; known: readonly string[] }
): Promise<string[]> {
  const peers = known.flatMap(address => ['--peer', address])
  if (neighbour.kind === 'leecher') {
    const output = join(stage.folder, `slow-${index}`)
    const argv = ['get', manifest, ...OWN, ...peers, '--output', output, ...neighbour.args, ...stateOf(stage, `slow-${index}`)]
    const slow = stage.start(`slow ${index + 1}`, [...cli, ...argv])
    await slow.need('progress', ({ phase, bytesDone }) => phase === 'seeding' || Number(bytesDone) > 0)
    const seeding = slow.events.find(({ event }) => event === 'seeding')
    return (seeding?.addresses as string[] | undefined) ?? []
  }
  const { behaviour, count, labels = [] } = neighbour
  const more = ['--count', `${count}`, '--content', content, ...labels.flatMap(label => ['--label', label])]
  const hostile = stage.start(behaviour, [process.execPath, HOSTILE_PEER, behaviour, '--manifest', manifest, ...peers, ...more])
  const { addresses } = await hostile.need(known.length === 0 ? 'listening' : 'linked')
  return addresses as string[]
}

function stateOf(stage: Stage, name: string): string[] {
  return ['--state-dir', join(stage.folder, `state-${name}`)]
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
  const theirs = createReadStream(join(copy, ...inner))
  const ours = await readFile(join(original, ...inner))
  let at = 0
  theirs.on('data', chunk => {
    if (ours.subarray(at, at + chunk.length).equals(chunk as Buffer)) at += chunk.length
  })
  await once(theirs, 'end')
  return at === ours.byteLength
}
