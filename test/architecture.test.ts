/**
 * Holds the house together: which folder may import which, what pure folders may not touch, sizes, words,
 * what the package shows to the outside. The rules are in tidy/; `npm run tidy` prints their numbers.
 */

import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { importCircles, importFaults, purityFaults, readImportTable } from './tidy/imports.ts'
import { faultsOf, measureAll, readExceptions, shrink, staleOf } from './tidy/measures.ts'
import { ROOT, readSource, readSources } from './tidy/sources.ts'

const table = readImportTable()
const files = readSources()
const src = files.filter(({ name }) => name.startsWith('src/'))

test('every folder imports only what the table of ARCHITECTURE.md allows', () => {
  assert.ok(table.size > 10)
  assert.ok(src.some(({ name }) => name.endsWith('.tsx')))
  assert.deepEqual(
    src.flatMap(file => importFaults(file, table)),
    []
  )
})

test('pure folders touch no clock, randomness, timer, output or other ambient thing', () => {
  assert.deepEqual(src.flatMap(purityFaults), [])
})

test('no files of src import each other in a circle', () => {
  assert.deepEqual(importCircles(src, false), [])
})

test('sizes, complexity, dead exports, comments and words are within their limits, or listed', t => {
  const exceptions = readExceptions()
  const measures = Object.entries(measureAll(files))
  for (const line of measures.flatMap(([key, measure]) => staleOf(measure, exceptions[key]))) t.diagnostic(line)
  assert.deepEqual(
    measures.flatMap(([key, measure]) => faultsOf(measure, exceptions[key])),
    []
  )
})

test('only the public entry can be imported from outside', () => {
  const { exports, types } = JSON.parse(readFileSync(join(ROOT, 'package.json'), 'utf8'))
  assert.deepEqual(exports, {
    '.': { types: './dist/index.d.ts', default: './dist/index.js' },
    './package.json': './package.json'
  })
  assert.equal(types, './dist/index.d.ts')
})

test('the rules see a forbidden import and a forbidden global, in code but not in prose', () => {
  const faultsIn = (name: string, text: string) => {
    const file = readSource(`src/${name}`, text)
    return [...importFaults(file, table), ...purityFaults(file)].length
  }
  assert.equal(faultsIn('engine/a.ts', "import { x } from '../store/x.ts'"), 1)
  assert.equal(faultsIn('engine/a.ts', "import type { x } from '../store/x.ts'"), 1)
  assert.equal(faultsIn('wire/a.ts', "const x = await import('node:fs')"), 1)
  assert.equal(faultsIn('store/a.ts', "export { x } from '../network/x.ts'"), 1)
  assert.equal(faultsIn('node/a.ts', "import { createLibp2p } from 'libp2p'"), 1)
  assert.equal(faultsIn('api/dashboard/a.tsx', "import { x } from '../../cli/x.ts'"), 1)
  assert.equal(faultsIn('fronts/tus/a.ts', "import { x } from '../files/x.ts'"), 1)
  assert.equal(faultsIn('fronts/tus/a.ts', "import { x } from './x.ts'"), 0)
  assert.equal(faultsIn('fronts/tus/a.ts', "import { x } from '../../daemon/tasks/queue.ts'"), 1)
  assert.equal(faultsIn('fronts/tus/a.ts', "import { x } from '../../daemon/content-service.ts'"), 0)
  assert.equal(faultsIn('util/a.ts', 'export const now = () => Date.now()'), 1)
  assert.equal(faultsIn('content/a.ts', 'const bytes = Buffer.alloc(1)'), 1)
  assert.equal(faultsIn('engine/sub/a.ts', "import { x } from '../../util/x.ts' // Date.now()\nconst text = 'Math.random'"), 0)
  assert.equal(faultsIn('node/a.ts', 'setTimeout(() => Date.now(), 1)'), 0)
})

test('the rules see circles, dead exports, wide comments and banned words', () => {
  const a = readSource('src/node/a.ts', "import { b } from './b.ts'\nexport const a = 1")
  const b = readSource('src/node/b.ts', "import type { a } from './a.ts'\nexport class LaneManager {}\nexport const b = 1")
  const wide = readSource('src/node/wide.ts', `// ${'x'.repeat(110)}\nconst text = '${'x'.repeat(120)}'`)
  assert.deepEqual(importCircles([a, b], false), [])
  assert.deepEqual(importCircles([a, b], true), [['src/node/a.ts', 'src/node/b.ts']])
  assert.deepEqual(wide.wideComments, [1])
  const { deadExports, words, comments } = measureAll([a, b, wide])
  assert.deepEqual(deadExports?.figures, { 'src/node/b.ts LaneManager': 1 })
  assert.deepEqual(words?.figures, { 'src/node/b.ts LaneManager': 1 })
  assert.deepEqual(comments?.figures, { 'src/node/wide.ts': 1 })
})

test('what is excepted is a fault once it grows, and the list of exceptions never does', () => {
  const measure = { title: 'lines', figures: { a: 500, b: 410 } }
  assert.equal(faultsOf(measure, { a: 490, b: 410 }).length, 1)
  assert.equal(staleOf(measure, { a: 510, c: 1 }).length, 2)
  assert.deepEqual(shrink({ lines: measure }, { lines: { a: 510, c: 1 } }), { lines: { a: 500 } })
})
