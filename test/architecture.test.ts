/**
 * Holds the house together: which folder may import which, what pure folders may not touch, what the package shows to the
 * outside.
 */

import assert from 'node:assert/strict'
import { readdirSync, readFileSync } from 'node:fs'
import { dirname, join, relative, sep } from 'node:path'
import { test } from 'node:test'
import { fileURLToPath } from 'node:url'

const ROOT = join(import.meta.dirname, '..')
const SRC = join(ROOT, 'src')

/** Folder: what it may import besides itself and `errors`. */
const MAY_IMPORT: Readonly<Record<string, readonly string[]>> = {
  errors: [],
  util: [],
  content: ['util'],
  wire: ['content', 'util'],
  engine: ['wire', 'content', 'util'],
  sim: ['engine', 'wire', 'content', 'util'],
  store: ['content', 'util'],
  network: ['wire', 'content', 'util'],
  node: ['engine', 'store', 'network', 'wire', 'content', 'util'],
  daemon: ['node', 'content', 'util'],
  http: ['daemon', 'node', 'util'],
  api: ['http', 'daemon', 'node', 'content', 'util'],
  fronts: ['http', 'daemon', 'content', 'util'],
  'start-daemon': ['api', 'fronts', 'http', 'daemon', 'node', 'content', 'util'],
  cli: ['start-daemon', 'api', 'daemon', 'node', 'sim', 'content', 'util'],
  index: ['node', 'content', 'util']
}

/** Of the daemon, what a front may import. */
const SEEN_BY_FRONTS = /^daemon\/(content-service|access\/caller)\.ts$/

/** Folders that run anywhere and twice the same: no I/O, clock, ambient randomness, timers or output. */
const PURE = new Set(['errors', 'util', 'content', 'wire', 'engine', 'sim'])
/** Packages that are pure themselves. */
const PURE_PACKAGES = /^(multiformats\/|@noble\/hashes\/)/
const AMBIENT =
  /\b(?:Date\.now|new Date\(\)|Math\.random|setTimeout|setInterval|setImmediate|queueMicrotask|console|process|performance|crypto|globalThis|fetch|Buffer|require)\b(?!\s*[:?])/

interface SourceFile {
  /** Relative to src, with slashes. */
  name: string
  folder: string
  imports: string[]
  /** Without comments and the contents of strings. */
  code: string
}

/** Comments and strings, so that prose and messages are not taken for code. A template's `${}` goes with it. */
const COMMENT_OR_STRING = /\/\*[\s\S]*?\*\/|\/\/[^\n]*|'(?:\\.|[^'\\\n])*'|"(?:\\.|[^"\\\n])*"|`(?:\\.|[^`\\])*`/g

function stripComments(text: string): string {
  return text.replace(COMMENT_OR_STRING, match => (match.startsWith('/*') || match.startsWith('//') ? ' ' : match))
}

function readSource(name: string, text: string): SourceFile {
  const withoutComments = stripComments(text)
  const imports = [...withoutComments.matchAll(/(?:\bfrom\s*|\bimport\s*\(?\s*)(['"])([^'"\n]+)\1/g)].map(
    match => match[2] as string
  )
  return {
    name,
    folder: (name.split('/')[0] as string).replace(/\.ts$/, ''),
    imports,
    code: withoutComments.replace(COMMENT_OR_STRING, "''")
  }
}

/** The file that a relative import leads to, relative to src. */
function resolveName(file: SourceFile, specifier: string): string {
  return relative(SRC, join(SRC, dirname(file.name), specifier))
    .split(sep)
    .join('/')
}

/** The folder of src that a relative import leads to, or undefined for packages and builtins. */
function targetFolder(file: SourceFile, specifier: string): string | undefined {
  if (!specifier.startsWith('.')) return undefined
  return (resolveName(file, specifier).split('/')[0] as string).replace(/\.ts$/, '')
}

function frontOf(name: string): string | undefined {
  return name.split('/')[1]
}

function importFaults(file: SourceFile): string[] {
  const allowed = MAY_IMPORT[file.folder]
  if (allowed === undefined) return [`${file.name} is in no known folder`]
  const faults: string[] = []
  for (const specifier of file.imports) {
    const folder = targetFolder(file, specifier)
    if (folder !== undefined && folder !== file.folder && folder !== 'errors' && !allowed.includes(folder)) {
      faults.push(`${file.name} imports ${specifier}, but ${file.folder} may not import ${folder}`)
    }
    if (folder === 'daemon' && file.folder === 'fronts' && !SEEN_BY_FRONTS.test(resolveName(file, specifier))) {
      faults.push(`${file.name} imports ${specifier}, but a front sees the content service and the caller only`)
    }
    if (folder === 'fronts' && file.folder === 'fronts' && frontOf(resolveName(file, specifier)) !== frontOf(file.name)) {
      faults.push(`${file.name} imports ${specifier}, but a front may not import another`)
    }
    if (folder === undefined && PURE.has(file.folder) && !PURE_PACKAGES.test(specifier)) {
      faults.push(`${file.name} imports ${specifier}, but ${file.folder} is pure`)
    }
    if (folder === undefined && file.folder !== 'network' && /libp2p/.test(specifier)) {
      faults.push(`${file.name} imports ${specifier}, but libp2p lives in network`)
    }
  }
  return faults
}

function purityFaults(file: SourceFile): string[] {
  if (!PURE.has(file.folder)) return []
  const found = AMBIENT.exec(file.code)
  return found === null ? [] : [`${file.name} uses ${found[0]}, but ${file.folder} is pure`]
}

const files = readdirSync(SRC, { recursive: true, withFileTypes: true })
  .filter(entry => entry.isFile() && entry.name.endsWith('.ts'))
  .map(entry => {
    const path = join(entry.parentPath, entry.name)
    return readSource(relative(SRC, path).split(sep).join('/'), readFileSync(path, 'utf8'))
  })

test('every folder imports only what the table allows', () => {
  assert.ok(files.length > 10)
  assert.deepEqual(files.flatMap(importFaults), [])
})

test('pure folders touch no clock, randomness, timer, output or other ambient thing', () => {
  assert.deepEqual(files.flatMap(purityFaults), [])
})

test('only the public entry can be imported from outside', () => {
  const { exports, types } = JSON.parse(readFileSync(fileURLToPath(new URL('../package.json', import.meta.url)), 'utf8'))
  assert.deepEqual(exports, {
    '.': { types: './dist/index.d.ts', import: './dist/index.js' },
    './package.json': './package.json'
  })
  assert.equal(types, './dist/index.d.ts')
})

test('the rules see a forbidden import and a forbidden global, in code but not in prose', () => {
  const faultsOf = (name: string, text: string) => {
    const file = readSource(name, text)
    return [...importFaults(file), ...purityFaults(file)].length
  }
  assert.equal(faultsOf('engine/a.ts', "import { x } from '../store/x.ts'"), 1)
  assert.equal(faultsOf('engine/a.ts', "import type { x } from '../store/x.ts'"), 1)
  assert.equal(faultsOf('wire/a.ts', "const x = await import('node:fs')"), 1)
  assert.equal(faultsOf('store/a.ts', "export { x } from '../network/x.ts'"), 1)
  assert.equal(faultsOf('node/a.ts', "import { createLibp2p } from 'libp2p'"), 1)
  assert.equal(faultsOf('fronts/tus/a.ts', "import { x } from '../files/x.ts'"), 1)
  assert.equal(faultsOf('fronts/tus/a.ts', "import { x } from './x.ts'"), 0)
  assert.equal(faultsOf('fronts/tus/a.ts', "import { x } from '../../daemon/tasks/queue.ts'"), 1)
  assert.equal(faultsOf('fronts/tus/a.ts', "import { x } from '../../daemon/content-service.ts'"), 0)
  assert.equal(faultsOf('util/a.ts', 'export const now = () => Date.now()'), 1)
  assert.equal(faultsOf('content/a.ts', 'const bytes = Buffer.alloc(1)'), 1)
  assert.equal(faultsOf('engine/sub/a.ts', "import { x } from '../../util/x.ts' // Date.now()\nconst text = 'Math.random'"), 0)
  assert.equal(faultsOf('node/a.ts', 'setTimeout(() => Date.now(), 1)'), 0)
})
