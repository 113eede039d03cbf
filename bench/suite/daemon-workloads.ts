/**
 * Samples of what goes through a running daemon: a download that it is asked for, and a file that its gateway
 * hands to curl.
 */

import assert from 'node:assert/strict'
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { DaemonClient } from '../../src/api/client/client.ts'
import { readDaemonFile } from '../../src/daemon/daemon-file.ts'
import type { Running, Scope } from './measure.ts'
import { verify } from './payload.ts'
import type { Sample } from './results.ts'
import type { SampleContext } from './workloads.ts'

const GIB = 1024 ** 3

interface Daemon {
  client: DaemonClient
  url: string
  process: Running
  stateDir: string
}

async function startDaemon(scope: Scope, cli: readonly string[]): Promise<Daemon> {
  const stateDir = join(scope.folder, 'daemon')
  const own = [
    '--http',
    '127.0.0.1:0',
    '--no-mdns',
    '--listen',
    '/ip4/127.0.0.1/tcp/0',
    '--log-level',
    'silent',
    '--open',
    '--json'
  ]
  const folders = ['--complete-dir', join(stateDir, 'complete'), '--incomplete-dir', join(stateDir, 'incomplete')]
  const argv = [...cli, 'daemon', ...own, ...folders, '--state-dir', stateDir]
  const process = await scope.start({ argv }, line => (line.includes('"listening"') ? 'serving' : undefined))
  const found = await readDaemonFile(stateDir)
  assert.ok(found !== undefined, 'the daemon wrote where it is')
  return { client: new DaemonClient(found), url: found.url, process, stateDir }
}

/** From the request to a daemon, or from the start of the command that makes it, to verified and in place. */
export function throughDaemon(way: 'api' | 'command') {
  return async ({ scope, payload, contestant, cli }: SampleContext): Promise<Sample> => {
    const seeder = await contestant('swarm').seed(scope, payload)
    const { argv } = await seeder.getter(0, { watchPieces: false })
    const [manifest, peer] = [join(scope.folder, 'payload.swarm'), argv[argv.indexOf('--peer') + 1] as string]
    const daemon = await startDaemon(scope, cli)
    const output = join(scope.folder, 'out', 'content')
    const body = { manifest: JSON.parse(await readFile(manifest, 'utf8')) as Record<string, unknown>, peers: [peer], output }
    const byApi = async (): Promise<string> => {
      const task = await daemon.client.addTask(body)
      for await (const { state } of daemon.client.follow(task.id)) if (state === 'complete') break
      return task.id
    }
    // A daemon that runs has done this before: what Node compiles at the first use is no part of it.
    await daemon.client.deleteTask(await byApi(), true)
    let seconds: number
    if (way === 'api') {
      const startedMs = performance.now()
      await byApi()
      seconds = (performance.now() - startedMs) / 1000
    } else {
      const get = [...cli, 'get', manifest, '--peer', peer, '--output', output, '--state-dir', daemon.stateDir, '--json']
      seconds = (await scope.run({ argv: get }, { timeoutSeconds: 60 })).wallSeconds
    }
    await verify(payload, output)
    return { seconds }
  }
}

/** curl reads a complete file from our gateway, or from nginx, and throws it away: what the server can do. */
export async function gateway({ scope, payload, who, contestant, cli }: SampleContext): Promise<Sample> {
  let url: string
  let server: Running
  if (who === 'swarm') {
    const daemon = await startDaemon(scope, cli)
    const task = await daemon.client.addTask({ seed: payload.path })
    url = daemon.url + task.url
    server = daemon.process
  } else {
    const seeder = await contestant('curl').seed(scope, payload)
    url = (await seeder.getter(0, { watchPieces: false })).argv.at(-1) as string
    server = seeder.process
  }
  const before = await server.usage()
  const wanted = `${payload.bytes} bytes`
  // curl says what it got in a line that is checked, for the bytes themselves are gone.
  const words = ['--silent', '--fail', '--output', '/dev/null', '--write-out', '%{size_download} bytes\n']
  const { marks, wallSeconds, cpuSeconds } = await scope.run(
    { argv: ['curl', ...words, url] },
    { readLine: line => (line === wanted ? 'complete' : undefined), timeoutSeconds: 120, until: 'complete' }
  )
  const after = await server.usage()
  const seconds = marks.complete ?? wallSeconds
  return {
    seconds,
    bytesPerSecond: payload.bytes / seconds,
    cpuSecondsPerGib: (after.cpuSeconds - before.cpuSeconds + cpuSeconds) / (payload.bytes / GIB),
    seederPeakBytes: after.peakRssBytes
  }
}
