/** What the daemon hashes before it can seed it. */

import { formatBytes } from '../../util/sizes.ts'
import type { Hashing } from '../schema/tasks.ts'
import { ProgressBar } from './progress-bar.tsx'

export function HashingList({ hashing }: { hashing: readonly Hashing[] }) {
  if (hashing.length === 0) return null
  return (
    <section aria-label="Hashing">
      <ul class="tasks">
        {hashing.map(({ path, bytesDone, bytesTotal }) => {
          const percent = bytesTotal === 0 ? 100 : Math.floor((1000 * bytesDone) / bytesTotal) / 10
          return (
            <li key={path} class="task hashing">
              <p class="path">
                <strong>Hashing</strong> {path}
              </p>
              <ProgressBar label={`Hashing ${path}`} percent={percent} />
              <div class="facts">
                <span>
                  {percent} % · {formatBytes(bytesDone)} of {formatBytes(bytesTotal)}
                </span>
              </div>
            </li>
          )
        })}
      </ul>
    </section>
  )
}
