/**
 * `swarm info <manifest|url|link>`: show what a manifest or link says, after checking it. Needs no network
 * but for a URL.
 */

import { formatLink, isLink, parseLink } from '../content/link.ts'
import { readManifest } from '../node/manifests.ts'
import { formatBytes } from '../util/sizes.ts'
import { describeContent, manifestFields } from './describe.ts'
import { interruptible } from './interrupt.ts'
import type { CommonFlags } from './options.ts'
import type { Ui } from './ui.ts'

/** Files listed unless `--verbose` asks for all of them. */
const FILES_SHOWN = 20

export async function info(source: string, _flags: CommonFlags, ui: Ui): Promise<number> {
  if (isLink(source)) return linkInfo(source, ui)
  using interrupt = interruptible(ui)
  const manifest = await readManifest(source, { signal: interrupt.signal })
  const { files, peers = [], origins = [] } = manifest
  ui.event('manifest', { ...manifestFields(manifest), link: formatLink(manifest), files: files ?? null, peers, origins })
  ui.essential(manifest.root)
  for (const line of describeContent(manifest)) ui.result(line)
  for (const peer of peers) ui.result(`peer      ${peer}`)
  for (const origin of origins) ui.result(`origin    ${origin}`)
  ui.result(`link      ${formatLink(manifest)}`)
  if (files !== undefined) {
    const shown = ui.verbose ? files.length : FILES_SHOWN
    for (const file of files.slice(0, shown))
      ui.result(`  ${formatBytes(file.length).padStart(8)}  ${file.path}${file.executable ? ' *' : ''}`)
    if (files.length > shown) ui.result(`  … and ${files.length - shown} more (--verbose shows all)`)
  }
  return 0
}

function linkInfo(text: string, ui: Ui): number {
  const link = parseLink(text)
  const { name, length, peers = [], origins = [] } = link
  ui.event('link', { name: name ?? null, root: link.root, bytes: length ?? null, peers, origins })
  ui.essential(link.root)
  ui.result(`name      ${name ?? '(not said)'}`)
  ui.result(`size      ${length === undefined ? '(not said)' : `${formatBytes(length)} (${length} bytes), as claimed`}`)
  ui.result(`root      ${link.root}`)
  for (const peer of peers) ui.result(`peer      ${peer}`)
  for (const origin of origins) ui.result(`origin    ${origin}`)
  ui.result(`the piece list is not in a link: 'swarm get' fetches it from peers and checks it against the root`)
  return 0
}
