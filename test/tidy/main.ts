/**
 * `npm run tidy`: the house's numbers, and what is over a limit. `-- --all` lists everything that is
 * excepted; `-- --shrink` takes out of exceptions.json what is no longer needed. Exit code 1 when something
 * is new.
 */

import { faultsOf, measureAll, readExceptions, shrink, staleOf, writeExceptions } from './measures.ts'
import { readSources } from './sources.ts'

const files = readSources()
const src = files.filter(({ name }) => name.startsWith('src/'))
const measures = measureAll(files)
const exceptions = readExceptions()
const count = (figures: object) => String(Object.keys(figures).length).padStart(6)

const lines = src.map(file => file.lines.length - 1).sort((a, b) => a - b)
console.log(`${String(src.length).padStart(6)} files in src, ${lines[Math.floor(lines.length / 2)]} lines in the median`)
for (const { title, figures } of Object.values(measures)) {
  console.log(`${count(figures)} ${title}`)
  if (process.argv.includes('--all'))
    for (const [name, figure] of Object.entries(figures)) console.log(`         ${name}: ${figure}`)
}
const faults = Object.entries(measures).flatMap(([key, measure]) => faultsOf(measure, exceptions[key]))
const stale = Object.entries(measures).flatMap(([key, measure]) => staleOf(measure, exceptions[key]))
for (const fault of faults) console.log(`new: ${fault}`)
if (process.argv.includes('--shrink')) writeExceptions(shrink(measures, exceptions))
else for (const line of stale) console.log(`can go (npm run tidy -- --shrink): ${line}`)
process.exitCode = faults.length > 0 ? 1 : 0
