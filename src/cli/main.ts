#!/usr/bin/env node
/**
 * The `swarm` command: checks the Node version, turns on caches of compiled code, and hands over to the
 * bundle, or to the sources in a checkout. Imports nothing before the check, so that an old Node gets one
 * clear line instead of a syntax error.
 */

export {}

// The first with node:sqlite.
const OLDEST_MAJOR = 22
const OLDEST_MINOR = 13
/** V8's flags are no interface: an unknown one writes an error line. */
const NEWEST_TRIED_MAJOR = 24

const [major = 0, minor = 0] = process.versions.node.split('.').map(Number)
if (major < OLDEST_MAJOR || (major === OLDEST_MAJOR && minor < OLDEST_MINOR)) {
  process.stderr.write(
    `swarm: Node ${OLDEST_MAJOR}.${OLDEST_MINOR} or newer is needed, this is ${process.versions.node} (${process.execPath}); install a newer one or put it first in PATH\n`
  )
  process.exit(2)
}

// For what stays a package of its own; the bundle has its own cache.
const { enableCompileCache } = await import('node:module')
enableCompileCache()
// V8 lets the space for new objects grow to 64 MiB and seldom shrinks it: a seeder idle with 50 neighbours
// came to hold 290 MB, of which 25 were in use. As small as it is now it costs nothing measurable; from the
// very start it would (a get of 1 MiB takes 8 % longer).
const { setFlagsFromString } = await import('node:v8')
if (major <= NEWEST_TRIED_MAJOR) setTimeout(() => setFlagsFromString('--semi-space-growth-factor=1'), 300).unref()
const [command = ''] = process.argv.slice(2)
const bundle = import.meta.url.endsWith('.ts') ? undefined : await loadBundle(/^[a-z]{2,10}$/.test(command) ? command : 'help')
const { run } = bundle?.exports ?? (await import('./program.ts'))
const code = await run(process.argv.slice(2))
if (code === 0 && bundle !== undefined) {
  // V8 takes code only from a process with the same flags, and this one begins with its default.
  if (major <= NEWEST_TRIED_MAJOR) setFlagsFromString('--semi-space-growth-factor=2')
  bundle.keepCode()
}
// Everything is stopped and written; timers that libp2p leaves behind would hold the process for another
// second.
for (const stream of [process.stdout, process.stderr]) await new Promise(resolve => stream.write('', resolve))
process.exit(code)

async function loadBundle(name: string) {
  const { runBundle } = await import('./code-cache.ts')
  const { fileURLToPath } = await import('node:url')
  return runBundle<typeof import('./program.ts')>(fileURLToPath(new URL('./program.cjs', import.meta.url)), name)
}
