/**
 * The project's own TypeScript as the tidy rules see it: names, imports and exports, comments, code without
 * prose.
 */

import { readdirSync, readFileSync } from 'node:fs'
import { dirname, join, normalize } from 'node:path'

export const ROOT = join(import.meta.dirname, '..', '..')

export interface Import {
  readonly specifier: string
  /** Erased before the program runs. */
  readonly isType: boolean
  /** Of what the other file exports; '*' is everything. */
  readonly names: readonly string[]
}

export interface SourceFile {
  /** Relative to the repository, with slashes. */
  readonly name: string
  /** The folder of src that it lies in, or its own name there without the extension; undefined elsewhere. */
  readonly folder: string | undefined
  readonly lines: readonly string[]
  readonly imports: readonly Import[]
  readonly exports: readonly string[]
  /** Without comments and the contents of strings. */
  readonly code: string
  /** Numbers of lines that hold a comment and are wider than {@link MAX_COMMENT_COLUMNS}, from 1. */
  readonly wideComments: readonly number[]
}

export const MAX_COMMENT_COLUMNS = 110

/**
 * Comments, strings and regular expressions, so that prose and messages are not taken for code. A template's
 * `${}` goes with it.
 */
const COMMENT_OR_STRING =
  /\/\*[\s\S]*?\*\/|\/\/[^\n]*|'(?:\\.|[^'\\\n])*'|"(?:\\.|[^"\\\n])*"|`(?:\\.|[^`\\])*`|(?<=[(,=:[!&|?{};]\s*)\/(?![*/])(?:\\.|\[(?:\\.|[^\]\\\n])*\]|[^/\\\n[])+\/[a-z]*/g
const IMPORT = /\b(import|export)(\s+type)?\s+(?:([\w$*{][^'"();=]*?)\s+from\s*)?(['"])([^'"\n]+)\4/g
const DYNAMIC_IMPORT = /\bimport\s*\(\s*(['"])([^'"\n]+)\1/g
const EXPORT =
  /^export\s+(?:declare\s+)?(?:default\s+)?(?:abstract\s+)?(?:async\s+)?(?:function\*?|class|const|let|interface|type|enum)\s+([\w$]+)/gm
const EXPORT_LIST = /^export\s+(?:type\s+)?\{([^}]*)\}/gm

function isComment(match: string): boolean {
  return match.startsWith('/*') || match.startsWith('//')
}

/** `{ a as b, type c }` as the names on the side of the file that exports them. */
function namesIn(list: string, side: 'exported' | 'imported'): string[] {
  return list
    .split(',')
    .map(part => part.trim().replace(/^type\s+/, ''))
    .filter(part => part !== '')
    .map(part => {
      const [first, last = first] = part.split(/\s+as\s+/) as [string, string?]
      return side === 'imported' ? first : last
    })
}

function namesOf(clause: string | undefined): string[] {
  if (clause === undefined || clause.includes('*')) return ['*']
  const list = /\{([^}]*)\}/.exec(clause)
  const named = list === null ? [] : namesIn(list[1] as string, 'imported')
  const isDefault = /^[\w$]/.test(clause.trim())
  return isDefault ? ['default', ...named] : named
}

function isTypeOnly(clause: string | undefined, typeKeyword: string | undefined): boolean {
  if (typeKeyword !== undefined) return true
  const list = clause === undefined ? null : /^\{([^}]*)\}$/.exec(clause.trim())
  if (list === null) return false
  const parts = (list[1] as string).split(',').filter(part => part.trim() !== '')
  return parts.every(part => part.trim().startsWith('type '))
}

function wideComments(text: string, lines: readonly string[]): number[] {
  const wide: number[] = []
  for (const { 0: match, index } of text.matchAll(COMMENT_OR_STRING)) {
    if (!isComment(match)) continue
    const first = text.slice(0, index).split('\n').length
    match.split('\n').forEach((_, offset) => {
      if ((lines[first + offset - 1] as string).length > MAX_COMMENT_COLUMNS) wide.push(first + offset)
    })
  }
  return wide
}

export function readSource(name: string, text: string): SourceFile {
  const lines = text.split('\n')
  const withoutComments = text.replace(COMMENT_OR_STRING, match => (isComment(match) ? ' ' : match))
  const imports: Import[] = []
  for (const [, , typeKeyword, clause, , specifier] of withoutComments.matchAll(IMPORT)) {
    imports.push({ specifier: specifier as string, isType: isTypeOnly(clause, typeKeyword), names: namesOf(clause) })
  }
  for (const match of withoutComments.matchAll(DYNAMIC_IMPORT)) {
    imports.push({ specifier: match[2] as string, isType: false, names: ['*'] })
  }
  const exports = [...withoutComments.matchAll(EXPORT)].map(match => match[1] as string)
  for (const match of withoutComments.matchAll(EXPORT_LIST)) exports.push(...namesIn(match[1] as string, 'exported'))
  const inSrc = /^src\/([^/]+)/.exec(name)
  return {
    name,
    folder: inSrc === null ? undefined : (inSrc[1] as string).replace(/\.tsx?$/, ''),
    lines,
    imports,
    exports,
    code: withoutComments.replace(COMMENT_OR_STRING, "''"),
    wideComments: wideComments(text, lines)
  }
}

/** The file of the repository that a relative import leads to; undefined for packages and builtins. */
export function targetOf(file: SourceFile, specifier: string): string | undefined {
  return specifier.startsWith('.') ? normalize(join(dirname(file.name), specifier)) : undefined
}

export function readSources(): SourceFile[] {
  return ['src', 'test', 'bench', 'examples', 'scripts'].flatMap(folder =>
    readdirSync(join(ROOT, folder), { recursive: true, encoding: 'utf8' })
      .filter(path => /\.tsx?$/.test(path) && !path.includes('node_modules'))
      .map(path => readSource(`${folder}/${path}`, readFileSync(join(ROOT, folder, path), 'utf8')))
  )
}
