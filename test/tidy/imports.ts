/**
 * Who may import whom, what pure folders may not touch, and circles of imports.
 */

import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { ROOT, type SourceFile, targetOf } from './sources.ts'

/**
 * Folder of src: what it may import besides itself and `errors`. The table of ARCHITECTURE.md is the only
 * one.
 */
export type ImportTable = ReadonlyMap<string, readonly string[]>

/** Folders that run anywhere and twice the same: no I/O, clock, ambient randomness, timers or output. */
const PURE = new Set(['errors', 'util', 'content', 'wire', 'engine', 'sim'])
/** Of the daemon, what a front may import. */
const SEEN_BY_FRONTS = /^src\/daemon\/(content-service|access\/caller)\.ts$/
/** Packages that are pure themselves. */
const PURE_PACKAGES = /^(multiformats\/|@noble\/hashes\/)/
const AMBIENT =
  /\b(?:Date\.now|new Date\(\)|Math\.random|setTimeout|setInterval|setImmediate|queueMicrotask|console|process|performance|crypto|globalThis|fetch|Buffer|require)\b(?!\s*[:?])/

export function readImportTable(): ImportTable {
  const text = readFileSync(join(ROOT, 'ARCHITECTURE.md'), 'utf8')
  const table = new Map<string, string[]>()
  for (const [, folder, allowed] of text.matchAll(/^\| `src\/([\w-]+)(?:\.ts)?` \|[^|]*\| ([^|]*) \|$/gm)) {
    const names = (allowed as string).split(',').map(name => name.trim())
    table.set(
      folder as string,
      names.filter(name => name !== '-')
    )
  }
  return table
}

export function importFaults(file: SourceFile, table: ImportTable): string[] {
  const { folder: own } = file
  if (own === undefined) return []
  const allowed = table.get(own)
  if (allowed === undefined) return [`${file.name} is in no folder of ARCHITECTURE.md's table`]
  const faults: string[] = []
  for (const { specifier } of file.imports) {
    const target = targetOf(file, specifier)
    const fault = target === undefined ? packageFault(own, specifier) : folderFault(file, target, allowed)
    if (fault !== undefined) faults.push(`${file.name} imports ${specifier}, but ${fault}`)
  }
  return faults
}

function packageFault(own: string, specifier: string): string | undefined {
  if (PURE.has(own) && !PURE_PACKAGES.test(specifier)) return `${own} is pure`
  return own !== 'network' && specifier.includes('libp2p') ? 'libp2p lives in network' : undefined
}

function folderFault(file: SourceFile, target: string, allowed: readonly string[]): string | undefined {
  const [, folder = '', front] = /^src\/([\w-]+)(?:\.tsx?)?(?:\/([\w-]+))?/.exec(target) ?? []
  if (folder === 'errors') return undefined
  if (folder === 'daemon' && file.folder === 'fronts' && !SEEN_BY_FRONTS.test(target)) {
    return 'a front sees the content service and the caller only'
  }
  if (folder !== file.folder) return allowed.includes(folder) ? undefined : `${file.folder} may not import ${folder}`
  if (folder !== 'fronts' || file.name.startsWith(`src/fronts/${front}/`)) return undefined
  return 'a front imports no other front'
}

export function purityFaults({ name, folder, code }: SourceFile): string[] {
  if (folder === undefined || !PURE.has(folder)) return []
  const found = AMBIENT.exec(code)
  return found === null ? [] : [`${name} uses ${found[0]}, but ${folder} is pure`]
}

/**
 * Groups of files that import each other in a circle, each group once, with or without imports of types
 * alone.
 */
export function importCircles(files: readonly SourceFile[], withTypes: boolean): string[][] {
  const edges = new Map<string, string[]>()
  for (const file of files) {
    const imports = file.imports.filter(({ isType }) => withTypes || !isType)
    edges.set(
      file.name,
      imports.map(({ specifier }) => targetOf(file, specifier)).filter(target => target !== undefined)
    )
  }
  const reach = new Map([...edges.keys()].map(name => [name, reachableFrom(name, edges)]))
  const seen = new Set<string>()
  const circles: string[][] = []
  for (const [name, reached] of reach) {
    if (seen.has(name) || !reached.has(name)) continue
    const circle = [...reached].filter(other => reach.get(other)?.has(name) === true).sort()
    for (const member of circle) seen.add(member)
    circles.push(circle)
  }
  return circles
}

function reachableFrom(name: string, edges: ReadonlyMap<string, readonly string[]>): Set<string> {
  const reached = new Set<string>()
  const open = [name]
  for (let next = open.pop(); next !== undefined; next = open.pop()) {
    for (const target of edges.get(next) ?? []) {
      if (reached.has(target)) continue
      reached.add(target)
      open.push(target)
    }
  }
  return reached
}
