/**
 * Rates of the last minutes: down and up as two lines, one scale.
 */

import { formatRate } from '../../util/sizes.ts'
import { HISTORY_SECONDS, type RateSample } from './state.ts'

const WIDTH = 600
const HEIGHT = 110

export function RateChart({ samples }: { samples: readonly RateSample[] }) {
  const peak = samples.reduce((most, { down, up }) => Math.max(most, down, up), 0)
  const top = niceCeiling(peak)
  const last = samples.at(-1) ?? { down: 0, up: 0 }
  const line = (pick: (sample: RateSample) => number): string =>
    samples
      .map((sample, index) => {
        const x = WIDTH - ((samples.length - 1 - index) / (HISTORY_SECONDS - 1)) * WIDTH
        const y = HEIGHT - 2 - (pick(sample) / top) * (HEIGHT - 6)
        return `${x.toFixed(1)},${y.toFixed(1)}`
      })
      .join(' ')
  return (
    <section class="panel chart" aria-label="Rates">
      <header>
        <span class="now-down">↓ {formatRate(last.down)}</span>
        <span class="now-up">↑ {formatRate(last.up)}</span>
        <span class="scale">
          {HISTORY_SECONDS / 60} minutes · top {formatRate(top)}
        </span>
      </header>
      <svg
        viewBox={`0 0 ${WIDTH} ${HEIGHT}`}
        preserveAspectRatio="none"
        role="img"
        aria-label={`Down ${formatRate(last.down)}, up ${formatRate(last.up)}, at most ${formatRate(peak)} in the last minutes`}
      >
        <line x1="0" x2={WIDTH} y1={HEIGHT - 2} y2={HEIGHT - 2} class="axis" />
        <line x1="0" x2={WIDTH} y1={HEIGHT / 2} y2={HEIGHT / 2} class="axis faint" />
        <polyline points={line(({ down }) => down)} class="down" />
        <polyline points={line(({ up }) => up)} class="up" />
      </svg>
    </section>
  )
}

/** 1, 2 or 5 times a power of ten at or above; at least 1 kB/s. */
function niceCeiling(value: number): number {
  const power = 10 ** Math.floor(Math.log10(Math.max(value, 1000)))
  const step = [1, 2, 5, 10].find(factor => factor * power >= value) ?? 10
  return step * power
}
