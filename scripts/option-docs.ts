/**
 * Documents that are made from the table of options: `npm run options` writes them, a test compares.
 */

import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { configSchema, configTable, flagTable } from '../src/options/documents.ts'
import { OPTIONS } from '../src/options/table.ts'

const ROOT = join(import.meta.dirname, '..')
const BEGIN = '<!-- options: written by `npm run options` -->'
const END = '<!-- end of options -->'

/** Paths, and what should be in them. */
export function optionDocuments(): { path: string; text: string }[] {
  return [
    { path: 'docs/CLI.md', text: replaceTable('docs/CLI.md', flagTable(OPTIONS)) },
    { path: 'docs/API.md', text: replaceTable('docs/API.md', configTable(OPTIONS)) },
    { path: 'docs/config.schema.json', text: `${JSON.stringify(configSchema(OPTIONS), null, 2)}\n` }
  ]
}

function replaceTable(path: string, table: string): string {
  const text = readFileSync(join(ROOT, path), 'utf8')
  const [from, to] = [text.indexOf(BEGIN), text.indexOf(END)]
  if (from < 0 || to < from) throw new Error(`${path} has no place for the table of options`)
  return `${text.slice(0, from)}${BEGIN}\n\n${table}\n\n${text.slice(to)}`
}

if (import.meta.main) for (const { path, text } of optionDocuments()) writeFileSync(join(ROOT, path), text)
