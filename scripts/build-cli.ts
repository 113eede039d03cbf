/**
 * Bundles the command line into few files instead of the compiler's hundreds: a `get` starts in half the
 * time and with a third less memory (docs/PERFORMANCE.md), because Node resolves, reads and checks each
 * module of libp2p by itself otherwise.
 *
 * What only the daemon needs, and what is native, stays a package of its own; what a command imports late is
 * still run late. Run by `npm run build` after the compiler; the library (dist/index.js) stays as the
 * compiler wrote it.
 */

import { createHash } from 'node:crypto'
import { appendFile, readFile, rm } from 'node:fs/promises'
import { fileURLToPath } from 'node:url'
import { type BuildOptions, build, type PluginBuild } from 'esbuild'

const source = fileURLToPath(new URL('../src/', import.meta.url))
const target = fileURLToPath(new URL('../dist/', import.meta.url))

/** Loaded from node_modules at run time. */
const EXTERNAL = ['@napi-rs/*', 'blake3-jit', '@fastify/*', '@tus/*', 'fastify', 'pino', 'prom-client', 'typebox', 'typebox/*']

await rm(`${target}cli`, { recursive: true, force: true })
const common: BuildOptions = {
  bundle: true,
  minifySyntax: true,
  platform: 'node',
  target: 'node22',
  logLevel: 'warning'
}
await build({
  ...common,
  // Threads are started by their file's name; without them hashing and folders of small files go on, several
  // times slower.
  entryPoints: [`${source}cli/main.ts`, `${source}store/hash-worker.ts`, `${source}store/file-worker.ts`],
  outbase: source,
  outdir: target,
  format: 'esm',
  external: [...EXTERNAL, './program.ts'],
  // CommonJS modules within the bundle ask for Node's own by `require`.
  banner: { js: "import { createRequire as requireFrom } from 'node:module'; const require = requireFrom(import.meta.url);" }
})
// One file, whose code V8 can keep as a whole (src/cli/code-cache.ts), and as deep below the package as the
// sources are: paths relative to a module's own place stay right. What draws plots is half of it all and
// seldom wanted.
for (const name of ['program', 'simulate-plot']) {
  await build({
    ...common,
    entryPoints: [`${source}cli/${name}.ts`],
    outfile: `${target}cli/${name}.cjs`,
    format: 'cjs',
    external: EXTERNAL,
    plugins: name === 'program' ? [{ name: 'plots-apart', setup: plotsApart }] : [],
    // What is imported late from outside is required: a script that V8 has kept can import nothing.
    supported: { 'dynamic-import': false },
    // The loader of the bundle hands it in.
    define: { 'import.meta.url': 'importMetaUrl' }
  })
}

// What V8 keeps belongs to exactly this text: sizes may be equal, and npm gives all files one date.
const program = `${target}cli/program.cjs`
const hash = createHash('sha256').update(await readFile(program))
await appendFile(program, `//${hash.digest('hex')}`)

function plotsApart({ onResolve }: PluginBuild): void {
  onResolve({ filter: /\/simulate-plot\.ts$/ }, () => ({ path: './simulate-plot.cjs', external: true }))
}
