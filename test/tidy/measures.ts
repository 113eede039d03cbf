/**
 * Sizes and words: how much of the project is over a limit, file by file. What is over one today stands in
 * exceptions.json, which only shrinks.
 */

import { execFileSync } from 'node:child_process'
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { importCircles } from './imports.ts'
import { MAX_COMMENT_COLUMNS, ROOT, readSources, type SourceFile, targetOf } from './sources.ts'

/** Name of a file, or of an export of a file: a number that is over the limit. */
export type Figures = Readonly<Record<string, number>>

export interface Measure {
  readonly title: string
  readonly figures: Figures
}

const MAX_FILE_LINES = 400
const MAX_FUNCTION_LINES = 70
const MAX_COMPLEXITY = 15
const EXCEPTIONS = join(import.meta.dirname, 'exceptions.json')

/**
 * Words that have another one in the table "Words" of ARCHITECTURE.md, or say nothing; as parts of names that
 * we declare.
 */
const BANNED =
  /(?:^|_)(?:lanes?|outlet|torrent|magnet|info_?hash|web_?seed|back_?to_?source|rendezvous|keepers?|manager|helpers?|utils?)(?:_|$)/

export function measureAll(files: readonly SourceFile[] = readSources()): Record<string, Measure> {
  const src = files.filter(({ name }) => name.startsWith('src/'))
  const functions = measureFunctions()
  return {
    fileLines: {
      title: `files over ${MAX_FILE_LINES} lines`,
      figures: over(files, MAX_FILE_LINES, file => file.lines.length - 1)
    },
    functionLines: { title: `functions over ${MAX_FUNCTION_LINES} lines (src)`, figures: functions.lines },
    complexity: { title: `functions of a complexity over ${MAX_COMPLEXITY} (src), by file`, figures: functions.complexity },
    circles: { title: 'circles of imports (src), those of types too', figures: circles(src) },
    deadExports: { title: 'exports that nothing imports (src)', figures: deadExports(src, files) },
    comments: {
      title: `files with comments wider than ${MAX_COMMENT_COLUMNS} columns`,
      figures: over(files, 0, file => file.wideComments.length)
    },
    words: { title: 'names with a banned word (src)', figures: bannedWords(src) },
    meanings: { title: 'exported types whose name has two meanings (src)', figures: twoMeanings(src) }
  }
}

function over(files: readonly SourceFile[], limit: number, figureOf: (file: SourceFile) => number): Figures {
  const all = files.map(file => [file.name, figureOf(file)] as const)
  return Object.fromEntries(all.filter(([, figure]) => figure > limit))
}

/**
 * Biome's parser finds the functions; a limit below ours, as it leaves out what we count: empty lines and
 * comments.
 */
function measureFunctions(): { lines: Figures; complexity: Figures } {
  const argv = [
    'lint',
    `--config-path=${join(import.meta.dirname, 'functions.json')}`,
    '--reporter=json',
    '--max-diagnostics=none'
  ]
  let output: string
  try {
    output = execFileSync(join(ROOT, 'node_modules/.bin/biome'), [...argv, 'src'], {
      cwd: ROOT,
      encoding: 'utf8',
      maxBuffer: 64 << 20,
      stdio: ['ignore', 'pipe', 'ignore']
    })
  } catch (err) {
    // It ends with 1 when it found something, which is what we are here for.
    output = (err as { stdout: string }).stdout
  }
  const { diagnostics } = JSON.parse(output) as {
    diagnostics: { category: string; location: { path: string; start: { line: number }; end: { line: number } } }[]
  }
  const lines: Record<string, number> = {}
  const complexity: Record<string, number> = {}
  for (const { category, location } of diagnostics) {
    const { path, start, end } = location
    const length = end.line - start.line + 1
    if (category.endsWith('noExcessiveCognitiveComplexity')) complexity[path] = (complexity[path] ?? 0) + 1
    else if (category.endsWith('noExcessiveLinesPerFunction') && length > MAX_FUNCTION_LINES) {
      lines[path] = Math.max(lines[path] ?? 0, length)
    }
  }
  return { lines, complexity }
}

function circles(src: readonly SourceFile[]): Figures {
  return Object.fromEntries(importCircles(src, true).map(circle => [circle.join(' '), circle.length]))
}

/** The public API, and what is started or bundled by name. */
const ENTRIES = new Set(['src/index.ts', 'src/cli/main.ts', 'src/api/dashboard/main.tsx'])

function deadExports(src: readonly SourceFile[], files: readonly SourceFile[]): Figures {
  const used = new Set<string>()
  for (const file of files) {
    for (const { specifier, names } of file.imports) {
      const target = targetOf(file, specifier)
      for (const name of names) used.add(`${target} ${name}`)
    }
  }
  const dead = src
    .filter(({ name }) => !ENTRIES.has(name) && !used.has(`${name} *`))
    .flatMap(({ name, exports }) => exports.map(exported => `${name} ${exported}`))
    .filter(key => !used.has(key))
  return Object.fromEntries(dead.map(key => [key, 1]))
}

const DECLARED = /\b(?:function|class|const|let|interface|type|enum)\s+([\w$]+)/g

function bannedWords(src: readonly SourceFile[]): Figures {
  const found = src.flatMap(({ name, code }) =>
    [...code.matchAll(DECLARED)]
      .map(match => match[1] as string)
      .filter(declared => BANNED.test(declared.replace(/([a-z\d])([A-Z])/g, '$1_$2').toLowerCase()))
      .map(declared => `${name} ${declared}`)
  )
  return Object.fromEntries(found.map(key => [key, 1]))
}

const EXPORTED_TYPE = /^export\s+(?:abstract\s+)?(?:class|interface|type|enum)\s+([\w$]+)/gm

function twoMeanings(src: readonly SourceFile[]): Figures {
  const places = new Map<string, number>()
  for (const { code } of src) {
    for (const [, name] of code.matchAll(EXPORTED_TYPE)) places.set(name as string, (places.get(name as string) ?? 0) + 1)
  }
  return Object.fromEntries([...places].filter(([, count]) => count > 1))
}

export type Exceptions = Record<string, Record<string, number>>

export function readExceptions(): Exceptions {
  return JSON.parse(readFileSync(EXCEPTIONS, 'utf8')) as Exceptions
}

export function writeExceptions(exceptions: Exceptions): void {
  writeFileSync(EXCEPTIONS, `${JSON.stringify(exceptions, null, 2)}\n`)
}

/** What is over its limit and over what is excepted, as sentences. */
export function faultsOf({ title, figures }: Measure, excepted: Figures = {}): string[] {
  return Object.entries(figures)
    .filter(([name, figure]) => figure > (excepted[name] ?? 0))
    .map(([name, figure]) => `${title}: ${name} (${figure}, excepted: ${excepted[name] ?? 'none'})`)
}

/** Entries that are higher than what they except. */
export function staleOf({ title, figures }: Measure, excepted: Figures = {}): string[] {
  return Object.entries(excepted)
    .filter(([name, figure]) => figure > (figures[name] ?? 0))
    .map(([name, figure]) => `${title}: ${name} is excepted up to ${figure} and at ${figures[name] ?? 'none'}`)
}

/** The exceptions that are still needed, never more than before. */
export function shrink(measures: Readonly<Record<string, Measure>>, exceptions: Exceptions): Exceptions {
  const shrunk: Exceptions = {}
  for (const [key, { figures }] of Object.entries(measures)) {
    const kept = Object.entries(exceptions[key] ?? {}).map(
      ([name, figure]) => [name, Math.min(figure, figures[name] ?? 0)] as const
    )
    shrunk[key] = Object.fromEntries(kept.filter(([, figure]) => figure > 0))
  }
  return shrunk
}
