/**
 * Options on the command line: flags made from the table of options, and what commands read of them.
 *
 * Invariant: a value that cannot be used ends in a usage error that names the flag, before anything starts.
 * Callers: commands.ts and the commands.
 */

import { type Command, InvalidArgumentError, Option } from 'commander'
import type { NodeOptions } from '../node/types.ts'
import { allowedOf, environmentName, parseOne, rangeOf, splitText } from '../options/kinds.ts'
import type { OptionSpec, Taker } from '../options/spec.ts'
import { OPTIONS } from '../options/table.ts'
import { configurable, nodeFields } from '../options/values.ts'

/** What every command takes. */
export interface CommonFlags {
  json?: boolean
  quiet?: boolean
  verbose?: boolean
  stateDir?: string
}

/** Flags that shape the node of `seed` and `get`. */
export interface NodeFlags extends CommonFlags {
  listen?: string[]
  announce?: string[]
  bootstrap?: string[]
  mdns: boolean
  dht: boolean
  encryption?: 'tls' | 'noise'
  uploadLimit?: number
  downloadLimit?: number
  maxNeighbours?: number
  policy?: 'cooperative' | 'contributors'
  label?: string[]
}

/** Adds every option that the command takes. */
export function withOptions(command: Command, taker: Taker, table: readonly OptionSpec[] = OPTIONS): Command {
  for (const spec of table) if (spec.takers.includes(taker)) command.addOption(makeOption(spec, taker))
  return command.helpOption('-h, --help', 'show this')
}

function makeOption(spec: OptionSpec, taker: Taker): Option {
  const { name, short, value, kind, group } = spec
  const flags = `${short === undefined ? '' : `-${short}, `}--${name}${value === undefined ? '' : ` <${value}>`}`
  const made = new Option(flags, describe(spec, taker))
  if (group !== undefined) made.helpGroup(`${group}:`)
  if (spec.isSecret === true) return made.argParser(refuseSecret).hideHelp()
  // Environment and file of the daemon are read together, as texts; here they are only checked.
  const isText = taker === 'daemon' && configurable([spec]).length > 0
  if (!isText && spec.noEnvironment !== true) made.env(environmentName(name))
  if (spec.isMandatory === true) made.makeOptionMandatory()
  return kind === 'switch' ? made : made.argParser((text, previous) => parseFlag(spec, text, previous, isText))
}

function parseFlag(spec: OptionSpec, text: string, previous: unknown, isText: boolean): unknown {
  const texts = spec.repeats === undefined ? [text] : splitText(spec, text, false)
  const values = texts.map(each => {
    const value = parseOne(spec, each)
    if (value === undefined) throw new InvalidArgumentError(`Give ${allowedOf(spec)}.`)
    return isText ? each : value
  })
  return spec.repeats === undefined ? values[0] : [...((previous as unknown[] | undefined) ?? []), ...values]
}

function describe(spec: OptionSpec, taker: Taker): string {
  const { text, texts, choices, repeats, default: standard } = spec
  const facts = [
    choices?.join(', ') ?? '',
    rangeOf(spec).replace(/^(from|of) /, ''),
    standard === undefined ? '' : `default: ${standard}`
  ].filter(fact => fact !== '')
  return `${texts?.[taker] ?? text}${facts.length > 0 ? ` (${facts.join('; ')})` : ''}${repeats === undefined ? '' : ' *'}`
}

function refuseSecret(): never {
  throw new InvalidArgumentError('Every user of this machine sees command lines: give --token-file, or SWARM_TOKEN.')
}

/**
 * Commander takes a variable as given whenever it exists; this removes the empty ones, and those of switches
 * that say no: `0`, `false`, `no`. The daemon reads its own, where a no overrules the file.
 */
export function dropUnset(env: NodeJS.ProcessEnv, isDaemon: boolean): void {
  for (const spec of OPTIONS) {
    if (isDaemon && configurable([spec]).length > 0) continue
    const variable = environmentName(spec.name)
    const isNo = spec.kind === 'switch' && /^(0|false|no)$/i.test(env[variable] ?? '')
    if (env[variable] === '' || isNo) delete env[variable]
  }
}

/**
 * What commander read of an option: camel case, and `no-x` as `x: false`. Undefined when it was not given.
 */
export function flagValue(flags: object, name: string): unknown {
  const isNegative = name.startsWith('no-')
  const key = (isNegative ? name.slice(3) : name).replace(/-(\w)/g, (_, letter: string) => letter.toUpperCase())
  const value = (flags as Readonly<Record<string, unknown>>)[key]
  return isNegative ? (value === false ? true : undefined) : value
}

/** Leaves out what is undefined: an absent option means its default. */
export function defined<T extends object>(fields: T): { [K in keyof T]?: Exclude<T[K], undefined> } {
  return Object.fromEntries(Object.entries(fields).filter(([, value]) => value !== undefined)) as {
    [K in keyof T]?: Exclude<T[K], undefined>
  }
}

export function nodeOptionsOf(flags: NodeFlags): Partial<NodeOptions> {
  return nodeFields('get', name => flagValue(flags, name))
}
