/** The docker engine of this machine: the one that runs, or one that we start and end. */

import { spawn } from 'node:child_process'
import { setTimeout as sleep } from 'node:timers/promises'
import { DockerApi } from './docker-api.ts'
import { run } from './lab.ts'

const START_TIMEOUT_MS = 30_000

export interface DockerEngine {
  /** Ends the engine if it was started here. */
  stop(): Promise<void>
}

/** Why containers with capped links cannot be had here, or undefined when they can. */
export async function engineFault(): Promise<string | undefined> {
  if (process.platform !== 'linux') return 'links can be capped on Linux only'
  if (process.getuid?.() !== 0) return 'capping the links of containers needs root'
  if (await DockerApi.fromEnvironment().isUp()) return undefined
  return await run('dockerd', '--version').then(
    () => undefined,
    () => 'no docker engine runs here and none is installed (Debian: docker.io, iptables)'
  )
}

export async function startEngine(signal: AbortSignal): Promise<DockerEngine> {
  const api = DockerApi.fromEnvironment()
  if (await api.isUp()) return { stop: async () => {} }
  // A session of its own, so that Ctrl-C does not end the engine before its containers are removed; and the
  // shell beside it ends it when this process is gone without having done so, after a while in which the
  // watchdog removes the containers.
  const watch = 'dockerd >"$1" 2>&1 & engine=$!; read -r _ || sleep 15; kill "$engine"; wait "$engine"'
  const engine = spawn('/bin/sh', ['-c', watch, 'sh', '/var/log/swarm-rig-dockerd.log'], {
    detached: true,
    stdio: ['pipe', 'ignore', 'ignore']
  })
  engine.stdin.on('error', () => {})
  const ended = new Promise<void>(resolve => engine.once('close', () => resolve()))
  const stop = async (): Promise<void> => {
    engine.stdin.end('\n')
    await ended
    // The engine leaves its default bridge behind.
    await run('ip', 'link', 'delete', 'docker0').catch(() => {})
  }
  for (const giveUpMs = performance.now() + START_TIMEOUT_MS; performance.now() < giveUpMs; ) {
    if (await api.isUp()) return { stop }
    if (signal.aborted) break
    await sleep(200)
  }
  await stop()
  signal.throwIfAborted()
  throw new Error('dockerd does not come up; see /var/log/swarm-rig-dockerd.log')
}
