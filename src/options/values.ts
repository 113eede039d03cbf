/**
 * Values of a table's options from flags, environment and configuration file, and defaults.
 *
 * Invariant: flag over environment over file over default; each value is checked, wherever it comes from.
 */

import { readFileSync } from 'node:fs'
import { InvalidOptionsError } from '../errors.ts'
import { environmentName, labelsOf, parseValue, splitText } from './kinds.ts'
import type { OptionSpec, Taker } from './spec.ts'
import { OPTIONS } from './table.ts'

export interface OptionSources {
  /** Texts under the options' names. */
  flags?: Readonly<Record<string, unknown>>
  env?: Readonly<Record<string, string | undefined>>
  /** Path of the configuration file; must exist. */
  config?: string | undefined
}

/** What a configuration file may hold, which is what the environment may hold. */
export function configurable(table: readonly OptionSpec[]): OptionSpec[] {
  return table.filter(({ takers, outsideFile }) => takers.includes('daemon') && outsideFile !== true)
}

/** Throws `InvalidOptionsError`. */
export function resolveValues(
  { flags = {}, env = {}, config }: OptionSources,
  table: readonly OptionSpec[] = OPTIONS
): Map<string, unknown> {
  const specs = configurable(table)
  const file = config === undefined ? {} : readConfig(config, specs)
  const values = new Map<string, unknown>()
  for (const spec of specs) {
    const variable = environmentName(spec.name)
    const fromEnv = env[variable] === '' ? undefined : env[variable]
    const [raw, where] = [
      [flags[spec.name], `--${spec.name}`] as const,
      [fromEnv === undefined || spec.repeats === undefined ? fromEnv : splitText(spec, fromEnv, true), variable] as const,
      [file[spec.name], `${config}: ${spec.name}`] as const
    ].find(([given]) => given !== undefined) ?? [spec.default, spec.name]
    if (raw !== undefined) values.set(spec.name, parseValue(spec, raw, where))
  }
  return values
}

function readConfig(path: string, specs: readonly OptionSpec[]): Record<string, unknown> {
  let json: unknown
  try {
    json = JSON.parse(readFileSync(path, 'utf8'))
  } catch (err) {
    throw new InvalidOptionsError(`the configuration file cannot be read: ${(err as Error).message}`, { path }, err)
  }
  if (typeof json !== 'object' || json === null || Array.isArray(json))
    throw new InvalidOptionsError(`${path}: not an object`, { path })
  for (const name of Object.keys(json)) {
    // Where an editor looks for the schema.
    if (name === '$schema' || specs.some(spec => spec.name === name)) continue
    throw new InvalidOptionsError(`${path}: there is no option "${name}"`, { path, field: name })
  }
  return json as Record<string, unknown>
}

/** What options say of the node: fields of `NodeOptions`. What is not given has no field. */
export function nodeFields(taker: Taker, read: (name: string) => unknown, table: readonly OptionSpec[] = OPTIONS): object {
  const fields: Record<string, unknown> = {}
  for (const { name, kind, field, takers } of table) {
    const value = field === undefined || !takers.includes(taker) ? undefined : read(name)
    if (field === undefined || value === undefined) continue
    if (kind !== 'switch') fields[field] = kind === 'label' ? labelsOf(value as string[]) : value
    else if (value === true) fields[field] = !name.startsWith('no-')
  }
  return fields
}
