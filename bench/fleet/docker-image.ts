/**
 * Builds the image with the repository's Dockerfile: on the public base where that can be pulled, else on the
 * stand-in that examples/docker-swarm/base-image.sh makes once from Debian's packages and this very Node.
 */

import { spawn } from 'node:child_process'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { DockerApi } from './docker-api.ts'

const REPOSITORY = fileURLToPath(new URL('../..', import.meta.url))
const IMAGE = 'swarm:latest'
/** The default of the Dockerfile's BASE_IMAGE. */
const PUBLIC_BASE = 'node:24-bookworm-slim'
const STAND_IN = 'swarm-base:local'
const PULL_TIMEOUT_MS = 120_000

export interface BuildImageOptions {
  /** Undefined: the public base, or the stand-in. */
  readonly baseImage: string | undefined
  say(note: string): void
  readonly signal: AbortSignal
}

/** Resolves with the image's name. */
export async function buildImage({ baseImage, say, signal }: BuildImageOptions): Promise<string> {
  const base = baseImage ?? (await chooseBase(say, signal))
  say(`building ${IMAGE} on ${base}`)
  // The host's network: a registry mirror or name server on this machine is reached as npm here reaches it.
  await command(
    signal,
    'docker',
    'build',
    '--force-rm',
    '--network',
    'host',
    '--build-arg',
    `BASE_IMAGE=${base}`,
    '--tag',
    IMAGE,
    REPOSITORY
  )
  const { Size } = (await DockerApi.fromEnvironment().call('GET', `/images/${IMAGE}/json`)) as { Size: number }
  say(`built ${IMAGE}: ${Math.round(Size / 1e6)} MB`)
  return IMAGE
}

async function chooseBase(say: (note: string) => void, signal: AbortSignal): Promise<string> {
  for (const image of [PUBLIC_BASE, STAND_IN]) if (await exists(image)) return image
  try {
    const limit = AbortSignal.any([signal, AbortSignal.timeout(PULL_TIMEOUT_MS)])
    await command(limit, 'docker', 'pull', '--quiet', PUBLIC_BASE)
    return PUBLIC_BASE
  } catch {
    signal.throwIfAborted()
    say(`${PUBLIC_BASE} cannot be pulled: making a stand-in from Debian's packages`)
    await command(signal, join(REPOSITORY, 'examples/docker-swarm/base-image.sh'), STAND_IN, process.execPath)
    return STAND_IN
  }
}

async function exists(image: string): Promise<boolean> {
  return await DockerApi.fromEnvironment()
    .call('GET', `/images/${image}/json`)
    .then(
      () => true,
      () => false
    )
}

/** Runs a program to its end; throws with the end of what it printed. */
async function command(signal: AbortSignal, program: string, ...args: string[]): Promise<void> {
  let said = ''
  await new Promise<void>((resolve, reject) => {
    const child = spawn(program, args, { stdio: ['ignore', 'pipe', 'pipe'], signal })
    const keep = (chunk: Buffer): void => {
      said = (said + String(chunk)).slice(-4000)
    }
    child.stdout.on('data', keep)
    child.stderr.on('data', keep)
    child.on('error', reject)
    child.on('close', code =>
      code === 0 ? resolve() : reject(new Error(`${program} ${args.join(' ')} ended with ${code}:\n${said}`))
    )
  })
}
