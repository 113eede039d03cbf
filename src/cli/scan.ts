/**
 * `swarm scan`: has the daemon look through its folders for files beside their manifests. Exits with 1 when
 * something there is not intact.
 */

import type { CommonFlags } from './options.ts'
import type { Ui } from './ui.ts'
import { type DaemonClientFlags, requireDaemon } from './use-daemon.ts'

export async function scan(flags: CommonFlags & DaemonClientFlags, ui: Ui): Promise<number> {
  const client = await requireDaemon(flags)
  const report = await client.scan()
  ui.event('scanned', report)
  ui.essential(String(report.added.length))
  ui.result(`folders   ${report.folders.join(', ')}`)
  ui.result(
    `manifests ${report.manifests}: ${report.added.length} newly seeded, ${report.known} known, ${report.problems.length} with problems`
  )
  for (const { manifest, message } of report.problems) ui.warning(`${manifest}: ${message}`)
  return report.problems.length === 0 ? 0 : 1
}
