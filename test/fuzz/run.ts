/**
 * `npm run fuzz [-- --seed N] [-- --cases N]`: a million cases, with the peak of memory and the seed to
 * repeat it.
 */

import { parseArgs } from 'node:util'
import { fuzz } from './fuzzer.ts'

const { values } = parseArgs({ options: { seed: { type: 'string' }, cases: { type: 'string', default: '1000000' } } })
const seed = values.seed === undefined ? Math.floor(Math.random() * 2 ** 32) : Number(values.seed)
const most = Number(values.cases)

/** More than the parsers of small inputs can ever need together with the runtime. */
const MAX_RSS_BYTES = 512 * 1024 * 1024

console.log(`seed ${seed}`)
const startMs = performance.now()
const report = fuzz(seed, cases => cases >= most)
console.table(
  Object.fromEntries(
    Object.keys(report.accepted).map(name => [name, { accepted: report.accepted[name], refused: report.refused[name] }])
  )
)
const rssBytes = process.resourceUsage().maxRSS * 1024
console.log(
  `${report.cases} cases in ${((performance.now() - startMs) / 1000).toFixed(1)} s, peak memory ${Math.round(rssBytes / 2 ** 20)} MiB`
)
if (rssBytes > MAX_RSS_BYTES) {
  console.error(`more memory than ${MAX_RSS_BYTES / 2 ** 20} MiB`)
  process.exitCode = 1
}
