/**
 * The kinds of values: one parser each, for the command line, the environment, the configuration file and
 * programs, and the words for what is allowed.
 *
 * Invariant: a value outside its kind or range never gets in; the error names where it came from, the value,
 * what is allowed and so what to do. Loads next to nothing, because every command imports it.
 */

import { isPieceLength, MAX_PIECE_LENGTH, MIN_PIECE_LENGTH } from '../content/geometry.ts'
import { InvalidOptionsError } from '../errors.ts'
import { formatBinaryBytes, parseDuration, parseRate, parseSize } from '../util/sizes.ts'
import { parseRule } from './limit-rule.ts'
import type { OptionKind, OptionSpec } from './spec.ts'
import { OPTIONS } from './table.ts'

interface Kind {
  /** What is allowed, to stand behind 'give'. */
  readonly allowed: (spec: OptionSpec) => string
  readonly parse: (text: string, spec: OptionSpec) => unknown
  /** JSON's number is as good as its text. */
  readonly isNumber?: true
}

function quantity(what: string, example: string, parse: (text: string) => number | undefined): Kind {
  const edge = (text: string | undefined, otherwise: number): number =>
    text === undefined ? otherwise : (parse(text) ?? otherwise)
  return {
    allowed: spec => [what, rangeOf(spec)].join(' ').trim() + example,
    parse: (text, { min, max }) => {
      const value = parse(text)
      if (value === undefined || value < edge(min, 0) || value > edge(max, Number.POSITIVE_INFINITY)) return undefined
      return value
    },
    isNumber: true
  }
}

function matching(pattern: RegExp, allowed: string): Kind {
  return { allowed: () => allowed, parse: text => (pattern.test(text) ? text : undefined) }
}

const LABEL = /^[a-z][a-z0-9_.-]*=.+$/i
const PIECE_LENGTHS = `${formatBinaryBytes(MIN_PIECE_LENGTH)} to ${formatBinaryBytes(MAX_PIECE_LENGTH)}`

const KINDS: Readonly<Record<OptionKind, Kind>> = {
  switch: {
    allowed: () => 'true or false',
    parse: text => (/^(1|true|yes)$/i.test(text) ? true : /^(0|false|no)$/i.test(text) ? false : undefined)
  },
  text: matching(/./s, 'a text'),
  choice: {
    allowed: ({ choices = [] }) => `one of ${choices.join(', ')}`,
    parse: (text, { choices = [] }) => (choices.includes(text) ? text : undefined)
  },
  count: quantity('a whole number', '', text => (/^\d{1,9}$/.test(text) ? Number(text) : undefined)),
  share: quantity('a number', '', text => (/^\d+(\.\d+)?$/.test(text) ? Number(text) : undefined)),
  size: quantity('a size', ', such as 64MiB or 50GB', parseSize),
  rate: quantity('a rate', ', such as 20mbit or 5MB', parseRate),
  duration: quantity('a duration', ', such as 30s, 5m or 2h; a bare number is seconds', parseDuration),
  pieceLength: {
    allowed: () => `a power of two from ${PIECE_LENGTHS}, such as 256KiB`,
    parse: text => [parseSize(text)].find(isPieceLength),
    isNumber: true
  },
  address: matching(/^\/[a-z0-9-]+\/\S+$/, 'an address such as /ip4/10.0.0.7/tcp/4001'),
  peerAddress: matching(
    /^\/[a-z0-9-]+\/\S+\/p2p\/[A-Za-z0-9]+$/,
    "an address that ends in /p2p/<peer id>, as 'swarm seed' prints them"
  ),
  url: {
    allowed: () => 'an http(s) URL',
    parse: text => (/^https?:$/.test(URL.parse(text)?.protocol ?? '') ? text : undefined)
  },
  label: matching(LABEL, 'key=value such as zone=eu-1, where the key begins with a letter and has letters, digits, _ . - only'),
  mode: matching(/^0?[0-7]{3}$/, 'a mode in octal, such as 600 or 660'),
  rule: {
    allowed: () => "a rule such as '22:00-06:00 download-limit=50MB max-downloads=10'",
    parse: text => parseRule(text, (name, value) => parseOne(specOf(name), value))
  }
}

/** 'from 1 to 1000', 'of 1s or more', or nothing. */
export function rangeOf({ min, max }: OptionSpec): string {
  return min === undefined ? '' : max === undefined ? `of ${min} or more` : `from ${min} to ${max}`
}

/** What may be given for it, in words that follow 'give'. */
export function allowedOf(spec: OptionSpec): string {
  return kindOf(spec).allowed(spec)
}

export function kindOf({ kind }: OptionSpec): Kind {
  return KINDS[kind]
}

/** The option of that name that the daemon takes, which is what a node takes, too. */
export function specOf(name: string): OptionSpec {
  const spec = OPTIONS.find(each => each.name === name && each.takers.includes('daemon'))
  if (spec === undefined) throw new Error(`no option ${name}`)
  return spec
}

export function defaultOf<T>(name: string): T {
  const spec = specOf(name)
  return parseOne(spec, spec.default ?? '') as T
}

/** The value, or undefined where the text is none. */
export function parseOne(spec: OptionSpec, text: string): unknown {
  return text === '' ? undefined : kindOf(spec).parse(text, spec)
}

/** One text of an option that repeats, taken apart. */
export function splitText({ kind, repeats }: OptionSpec, text: string, isEnvironment: boolean): string[] {
  if (repeats === 'words' || (repeats === 'folders' && isEnvironment)) return text.split(/[\s,]+/).filter(part => part !== '')
  return kind === 'rule' && isEnvironment ? text.split(',') : [text]
}

/** From text, or from JSON. Throws `InvalidOptionsError` naming `where`, the value and what is allowed. */
export function parseValue(spec: OptionSpec, raw: unknown, where: string): unknown {
  if (spec.repeats === undefined) return parseItem(spec, raw, where)
  return (Array.isArray(raw) ? raw : [raw])
    .filter(item => item !== '')
    .flatMap(item => (typeof item === 'string' ? splitText(spec, item, false) : [item]))
    .map(item => parseItem(spec, item, where))
}

function parseItem(spec: OptionSpec, raw: unknown, where: string): unknown {
  const isPlain =
    typeof raw === 'string' || (typeof raw === 'number' && kindOf(spec).isNumber) || (spec.kind === 'switch' && raw !== null)
  const value = isPlain ? parseOne(spec, String(raw)) : undefined
  if (value !== undefined) return value
  const shown = spec.isSecret === true ? 'what is there' : JSON.stringify(raw)
  throw new InvalidOptionsError(`${where}: ${shown} cannot be used; give ${allowedOf(spec)}`, { field: where })
}

/** `['zone=a']` as `{ zone: 'a' }`. */
export function labelsOf(labels: readonly string[]): Record<string, string> {
  return Object.fromEntries(labels.map(label => [label.slice(0, label.indexOf('=')), label.slice(label.indexOf('=') + 1)]))
}

/** `upload-limit` is `SWARM_UPLOAD_LIMIT`. */
export function environmentName(option: string): string {
  return `SWARM_${option.toUpperCase().replaceAll('-', '_')}`
}
