/**
 * `npm run bench:sim -- --only=unequal`: what honest peers take beside slow and hostile ones, over what they
 * take alone. Figures are those of the worst honest peer; of several seeds the worst, and the one in the
 * middle.
 */

import { type Comparison, compareBeside } from '../src/sim/beside.ts'
import { resolveSimulationOptions } from '../src/sim/options.ts'
import { commandOf } from '../src/sim/run.ts'
import { type UnequalWorld, unequalWorlds } from '../src/sim/unequal.ts'

const MIB = 1024 ** 2
/** After so many times as long as alone, a peer counts as one that never completes. */
const PATIENCE = 60

interface Size {
  readonly bytes: number
  readonly seeds: readonly string[]
}

const SIZES: readonly Size[] = [
  { bytes: 20 * MIB, seeds: ['1', '2', '3', '4', '5'] },
  { bytes: 200 * MIB, seeds: ['1'] }
]

/** The tables; each row is also written to standard error as soon as it is known. */
export function unequalReport(): string {
  const lines: string[] = []
  for (const { bytes, seeds } of SIZES) {
    lines.push(`## Beside unequals, ${bytes / MIB} MiB, ${seeds.length === 1 ? 'one seed' : `${seeds.length} seeds`}`, '')
    lines.push('Times of the honest peer that suffers most. `never`: not within sixty times what it takes alone.', '')
    lines.push(
      '| | alone | beside, worst | beside / alone, middle | worst | allowed | |',
      '| --- | --- | --- | --- | --- | --- | --- |'
    )
    let failed = 0
    const worlds = unequalWorlds(bytes)
    for (const world of worlds) {
      const { row, isWithin } = measure(world, seeds)
      if (!isWithin) failed++
      lines.push(row)
      process.stderr.write(`${row}\n`)
    }
    lines.push('', `${worlds.length - failed} of ${worlds.length} within what is allowed.`, '')
  }
  return lines.join('\n')
}

function measure({ title, options }: UnequalWorld, seeds: readonly string[]): { row: string; isWithin: boolean } {
  const runs = seeds.map(seed => ({ seed, comparison: compareBeside({ ...options, seed }, PATIENCE) }))
  runs.sort((a, b) => a.comparison.worst.ratio - b.comparison.worst.ratio)
  const { seed, comparison } = runs.at(-1) as { seed: string; comparison: Comparison }
  const middle = (runs[runs.length >> 1] as { comparison: Comparison }).comparison.worst.ratio
  const { worst, allowedRatio } = comparison
  const isWithin = worst.ratio <= allowedRatio
  if (!isWithin) process.stderr.write(`  ${commandOf(resolveSimulationOptions({ ...options, seed }))}\n`)
  const seconds = (ms: number): string => (Number.isFinite(ms) ? `${(ms / 1000).toFixed(2)} s` : 'never')
  const times = (ratio: number): string => (Number.isFinite(ratio) ? ratio.toFixed(2) : 'never')
  const cells = [title, seconds(worst.aloneMs), seconds(worst.besideMs), times(middle), times(worst.ratio), allowedRatio]
  return { row: `| ${cells.join(' | ')} | ${isWithin ? 'ok' : '**too slow**'} |`, isWithin }
}
