/**
 * Bundles the command line into a few files, in place of the compiler's hundreds: a `get` starts in half the time and with a third less memory
 * (docs/PERFORMANCE.md), because Node resolves, reads and checks each module of libp2p by itself otherwise.
 *
 * What only the daemon needs, and what is native, stays a package of its own; everything that a command imports late stays a file of
 * its own. Run by `npm run build` after the compiler; the library (dist/index.js) stays as the compiler wrote it.
 */

import { rm } from 'node:fs/promises'
import { fileURLToPath } from 'node:url'
import { build } from 'esbuild'

const source = fileURLToPath(new URL('../src/', import.meta.url))
const target = fileURLToPath(new URL('../dist/', import.meta.url))

/** Loaded from node_modules at run time. */
const EXTERNAL = [
  '@napi-rs/*',
  'blake3-jit',
  '@fastify/*',
  '@tus/*',
  'fastify',
  'pino',
  'prom-client',
  'typebox',
  'typebox/*',
  'undici'
]

await rm(`${target}cli`, { recursive: true, force: true })
await rm(`${target}chunks`, { recursive: true, force: true })
await build({
  // The thread that hashes is started by its file's name; without it hashing goes on with one core, three times slower.
  entryPoints: [`${source}cli/main.ts`, `${source}store/hash-worker.ts`],
  outbase: source,
  outdir: target,
  // As deep below the package as the sources are: paths relative to a module's own place stay right.
  chunkNames: 'chunks/[name]-[hash]',
  bundle: true,
  splitting: true,
  minifySyntax: true,
  format: 'esm',
  platform: 'node',
  target: 'node22',
  external: EXTERNAL,
  // CommonJS modules within the bundle ask for Node's own by `require`.
  banner: { js: "import { createRequire as requireFrom } from 'node:module'; const require = requireFrom(import.meta.url);" },
  logLevel: 'warning'
})
