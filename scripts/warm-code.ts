/**
 * Lays the code that V8 compiled for `swarm seed` and `swarm get` beside the bundle, so that the first run on
 * a machine starts as fast as later ones: in a container every run is the first. It serves the Node that
 * built it on the same kind of processor; others compile (src/cli/code-cache.ts).
 *
 * Shares a small file between two processes on loopback. Run by `npm run build` behind build-cli.ts; a
 * failure costs the gain and nothing else.
 */

import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { chmod, copyFile, mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'

const cli = fileURLToPath(new URL('../dist/cli/', import.meta.url))
const COMMANDS = ['seed', 'get']
const TIMEOUT_MS = 30_000

const folder = await mkdtemp(join(tmpdir(), 'swarm-warm-'))
try {
  await warm()
} catch (err) {
  console.error(`no code kept beside the bundle: ${(err as Error).message}`)
} finally {
  await rm(folder, { recursive: true, force: true })
}

async function warm(): Promise<void> {
  const content = join(folder, 'content')
  const manifest = join(folder, 'content.swarm')
  await writeFile(content, Buffer.alloc(2 ** 20, 'swarm'))
  const seeder = start('seed', content, '--output', manifest)
  await seeder.said('seeding')
  const getter = start('get', manifest, '--output', join(folder, 'copy'), '--no-linger')
  await getter.ended
  seeder.stop()
  await seeder.ended
  await mkdir(join(cli, 'code'), { recursive: true })
  for (const name of COMMANDS) {
    const built = join(cli, 'code', `${name}.code`)
    await copyFile(join(folder, 'swarm', `${name}.code`), built)
    // An image is built by root and run by others.
    await chmod(built, 0o644)
  }
}

function start(command: string, ...args: string[]) {
  const own = ['--json', '--no-mdns', '--listen', '/ip4/127.0.0.1/tcp/0', '--state-dir', join(folder, command)]
  const child = spawn(process.execPath, [join(cli, 'main.js'), command, ...args, ...own], {
    env: { ...process.env, XDG_CACHE_HOME: folder },
    stdio: ['ignore', 'pipe', 'ignore'],
    timeout: TIMEOUT_MS
  })
  const lines = createInterface({ input: child.stdout })
  const ended = once(child, 'close').then(([code]) => {
    if (code !== 0) throw new Error(`swarm ${command} ended with ${code}`)
  })
  const said = async (event: string): Promise<void> => {
    for await (const line of lines) if (line.includes(`"event":"${event}"`)) return
    throw new Error(`swarm ${command} never said ${event}`)
  }
  ended.catch(() => {})
  return { said, ended, stop: () => child.kill('SIGTERM') }
}
