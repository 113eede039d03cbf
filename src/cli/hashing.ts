/**
 * Progress of a job that reads bytes: hashing before seeding, checking against a manifest. Callers: create,
 * seed, get, verify.
 */

import { formatBytes, formatDuration, formatRate } from '../util/sizes.ts'
import { bar, type Ui } from './ui.ts'

/**
 * A handler of "done bytes of total" that shows rate and time left under `label`; `phase` is its name in
 * JSON.
 */
export function byteProgress(ui: Ui, phase: string, label: string): (done: number, total: number) => void {
  const startedMs = performance.now()
  return (done, total) => {
    const elapsedMs = Math.max(1, performance.now() - startedMs)
    const rate = (done / elapsedMs) * 1000
    const etaMs = done > 0 ? ((total - done) / rate) * 1000 : undefined
    ui.progress(
      () => [
        `${label}  ${bar(total === 0 ? 1 : done / total)} ${percent(done, total)}  ${formatBytes(done)} of ${formatBytes(total)}  ${formatRate(rate)}${etaMs === undefined ? '' : `  ETA ${formatDuration(etaMs)}`}`
      ],
      () => ({
        phase,
        bytesDone: done,
        bytesTotal: total,
        bytesPerSecond: Math.round(rate),
        etaMs: etaMs === undefined ? null : Math.round(etaMs)
      }),
      done === total
    )
  }
}

/** `'45 %'`; rounded down, so that 100 % means all of it. */
export function percent(done: number, total: number): string {
  return `${total === 0 ? 100 : Math.floor((done / total) * 100)} %`
}
