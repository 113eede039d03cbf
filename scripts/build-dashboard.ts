/**
 * Bundles the dashboard into dist/api/dashboard, where the daemon looks for it (from the package and from a
 * checkout alike). Run by `npm run build:dashboard`, and by `npm run build` after the compiler.
 */

import { copyFile, mkdir, rm } from 'node:fs/promises'
import { fileURLToPath } from 'node:url'
import { build } from 'esbuild'

const source = fileURLToPath(new URL('../src/api/dashboard/', import.meta.url))
const target = fileURLToPath(new URL('../dist/api/dashboard/', import.meta.url))

await rm(target, { recursive: true, force: true })
await mkdir(target, { recursive: true })
await build({
  entryPoints: [`${source}main.tsx`, `${source}main.css`],
  outdir: target,
  bundle: true,
  minify: true,
  format: 'esm',
  target: 'es2022',
  jsx: 'automatic',
  jsxImportSource: 'preact',
  logLevel: 'warning'
})
for (const file of ['index.html', 'icon.svg']) await copyFile(source + file, target + file)
