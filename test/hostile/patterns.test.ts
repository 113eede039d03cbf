/**
 * No pattern in the sources takes longer than its input is long: a header or name of 16 KB made to be slow
 * costs no more than any other.
 *
 * Every regular expression of the folders that read what others wrote is taken from the source and run on
 * strings of the characters that it is about, repeated and broken off at the end.
 */

import assert from 'node:assert/strict'
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'

const SRC = join(import.meta.dirname, '..', '..', 'src')
/**
 * All but those that read nothing from outside: the engine, the simulator, and the command line of our own
 * user.
 */
const FOLDERS = ['api', 'content', 'daemon', 'fronts', 'http', 'network', 'node', 'options', 'origin', 'store', 'util', 'wire']
const LITERAL = /(?<=[=(,:?!&|[]\s*|return\s+)\/(?![/*])((?:\\.|\[(?:\\.|[^\]\\\n])*\]|[^/\\\n[])+)\/([dgimsuvy]*)(?=[.,;)\s\]])/g
const LENGTH = 16_000
/** A quadratic pattern takes some 300 ms. */
const MOST_MS = 60

function patternsOf(text: string): RegExp[] {
  return [...text.matchAll(LITERAL)].flatMap(([, source = '', flags = '']) => {
    try {
      return [new RegExp(source, flags.replace('g', ''))]
    } catch {
      return []
    }
  })
}

/** What is repeated, and what comes before and behind it. */
function hostileTexts({ source }: RegExp): string[] {
  const about = [...new Set(source.replace(/\\[dws]/g, '0a ').replace(/[\\^$()[\]{}|?*+]/g, ''))].slice(0, 12)
  const fillers = [...new Set([' ', '\t', '0', 'a', '-', ...about])]
  const pairs = fillers.flatMap(first => about.slice(0, 6).map(second => first + second))
  const heads = ['', ...(source.match(/[A-Za-z0-9=:" -]{2,}/g) ?? []).slice(0, 3), '0-', '<', '"']
  return [...fillers, ...pairs].flatMap(filler => heads.map(head => `${head}${filler.repeat(LENGTH / filler.length)}\u0000`))
}

function slowest(pattern: RegExp): { ms: number; text: string } {
  let worst = { ms: 0, text: '' }
  for (const text of hostileTexts(pattern)) {
    let ms = Number.POSITIVE_INFINITY
    // Twice when it was slow: the machine may have been busy with something else.
    for (let run = 0; run < 2 && ms > MOST_MS; run++) {
      const startedMs = performance.now()
      pattern.test(text)
      ms = Math.min(ms, performance.now() - startedMs)
    }
    if (ms > worst.ms) worst = { ms, text: `${JSON.stringify(text.slice(0, 20))}…` }
    if (ms > MOST_MS) break
  }
  return worst
}

test('a pattern that is quadratic is seen', () => {
  const [pattern] = patternsOf('const SPEC = /^[ \\t]*(\\d+)[ \\t]*-[ \\t]*(\\d*)[ \\t]*$/\n')
  assert.ok(slowest(pattern as RegExp).ms > MOST_MS)
})

test('no pattern that reads outside input is slower than linear', t => {
  const slow: string[] = []
  let count = 0
  for (const folder of FOLDERS) {
    for (const name of readdirSync(join(SRC, folder), { recursive: true, encoding: 'utf8' }).filter(each =>
      each.endsWith('.ts')
    )) {
      for (const pattern of patternsOf(readFileSync(join(SRC, folder, name), 'utf8'))) {
        count++
        const { ms, text } = slowest(pattern)
        if (ms > MOST_MS) slow.push(`${folder}/${name}: ${pattern} takes ${ms.toFixed(0)} ms for ${text}`)
      }
    }
  }
  t.diagnostic(`${count} patterns`)
  assert.ok(count > 60, `only ${count} were found`)
  assert.deepEqual(slow, [])
})
