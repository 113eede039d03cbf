/**
 * What is written down of the table: Markdown tables and the schema of the configuration file.
 */

import { kindOf, rangeOf } from './kinds.ts'
import type { OptionSpec, Taker } from './spec.ts'
import { EVERY } from './table/takers.ts'
import { configurable } from './values.ts'

/** What an option takes, in words for a table. */
function valueWords({ kind, value, choices, repeats, ...rest }: OptionSpec): string {
  if (kind === 'switch') return 'switch'
  const range = rangeOf({ kind, ...rest })
  return `${choices?.join(', ') ?? value}${range === '' ? '' : `, ${range}`}${repeats === undefined ? '' : ', repeatable'}`
}

function row(cells: readonly string[]): string {
  return `| ${cells.map(cell => cell.replaceAll('|', '\\|').replaceAll('<', '&lt;')).join(' | ')} |`
}

function tableOf(head: readonly string[], rows: readonly string[][]): string {
  return [row(head), row(head.map(() => '---')), ...rows.map(row)].join('\n')
}

function standardOf(spec: OptionSpec): string {
  return spec.defaultText ?? spec.default ?? ''
}

/** Commands by their first word; the daemon has a table of its own. */
function commandsOf(takers: readonly Taker[]): string[] {
  return [...new Set(takers.filter(taker => taker !== 'daemon').map(taker => taker.split(' ')[0] as string))]
}

/** Flags of every command but the daemon. */
export function flagTable(table: readonly OptionSpec[]): string {
  const rows = table
    .filter(({ isSecret, takers }) => isSecret !== true && takers.some(taker => taker !== 'daemon'))
    .map(spec => {
      const commands = commandsOf(spec.takers)
      const texts = Object.entries(spec.texts ?? {}).filter(([taker]) => taker !== 'daemon')
      return [
        `${spec.short === undefined ? '' : `\`-${spec.short}\`, `}\`--${spec.name}\``,
        commands.length === commandsOf(EVERY).length ? 'all' : commands.join(', '),
        valueWords(spec),
        standardOf(spec),
        [spec.text, ...texts.map(([taker, text]) => `${taker}: ${text}`)].join('; ')
      ]
    })
  return tableOf(['option', 'commands', 'value', 'default', 'what it does'], rows)
}

/** What the daemon's flags, environment and file may hold. */
export function configTable(table: readonly OptionSpec[]): string {
  const rows = configurable(table).map(spec => [
    `\`${spec.name}\``,
    valueWords(spec),
    standardOf(spec),
    spec.texts?.daemon ?? spec.text
  ])
  return tableOf(['option', 'value', 'default', 'what it does'], rows)
}

/** JSON schema of the configuration file. */
export function configSchema(table: readonly OptionSpec[]): object {
  return {
    $schema: 'https://json-schema.org/draft/2020-12/schema',
    title: 'Configuration of swarm daemon',
    type: 'object',
    additionalProperties: false,
    properties: {
      $schema: { type: 'string' },
      ...Object.fromEntries(configurable(table).map(spec => [spec.name, valueSchema(spec)]))
    }
  }
}

function valueSchema(spec: OptionSpec): object {
  const { repeats, default: standard, defaultText, texts, text } = spec
  const item = itemSchema(spec)
  return {
    description: texts?.daemon ?? text,
    ...(standard === undefined || defaultText !== undefined ? {} : { default: standard }),
    ...(repeats === undefined ? item : { anyOf: [item, { type: 'array', items: item }] })
  }
}

/** Ranges are those of numbers; that a text is one of the kind, the daemon itself checks. */
function itemSchema(spec: OptionSpec): object {
  const { kind, choices, min, max } = spec
  if (kind === 'switch') return { type: 'boolean' }
  if (choices !== undefined) return { enum: choices }
  if (!kindOf(spec).isNumber) return { type: 'string', minLength: 1 }
  if (kind !== 'count') return { type: ['string', 'number'], minimum: 0, minLength: 1 }
  const range = { ...(min === undefined ? {} : { minimum: Number(min) }), ...(max === undefined ? {} : { maximum: Number(max) }) }
  return { type: ['integer', 'string'], ...range, pattern: '^\\d{1,9}$' }
}
