/**
 * `swarm create <path or url>`: hash a file, a folder, or what a URL gives, and write the manifest, without
 * serving anything.
 */

import { resolve } from 'node:path'
import { formatLink } from '../content/link.ts'
import { formatManifest, type Manifest } from '../content/manifest.ts'
import { InvalidOptionsError } from '../errors.ts'
import { createManifest, writeManifest } from '../node/manifests.ts'
import { describeContent, manifestFields, reportSkipped } from './describe.ts'
import { byteProgress } from './hashing.ts'
import { interruptible } from './interrupt.ts'
import { type CommonFlags, defined } from './options.ts'
import type { Ui } from './ui.ts'

export interface CreateFlags extends CommonFlags {
  output?: string
  force?: boolean
  name?: string
  pieceLength?: number
  peer?: string[]
  origin?: string[]
  rehash?: boolean
  keep?: string
}

export async function create(path: string, flags: CreateFlags, ui: Ui): Promise<number> {
  using interrupt = interruptible(ui)
  const isUrl = /^https?:\/\//i.test(path)
  if (!isUrl && flags.keep !== undefined)
    throw new InvalidOptionsError('--keep is for a URL: a file is there already', { field: 'keep' })
  const manifest = isUrl
    ? await createFromUrl(path, flags, interrupt.signal, ui)
    : await createFromPath(path, flags, interrupt.signal, ui)
  ui.clear()
  if (flags.output === '-') {
    process.stdout.write(formatManifest(manifest))
    return 0
  }
  const target = manifestTarget(manifest, flags.output)
  await writeManifest(manifest, target, flags.force === true)
  ui.event('created', { ...manifestFields(manifest), manifest: resolve(target), link: formatLink(manifest) })
  ui.essential(target)
  for (const line of describeContent(manifest)) ui.result(line)
  ui.result(`manifest  ${target}`)
  ui.result(`link      ${formatLink(manifest)}`)
  return 0
}

function createFromPath(path: string, flags: CreateFlags, signal: AbortSignal, ui: Ui): Promise<Manifest> {
  return createManifest(path, {
    signal,
    onHashed: byteProgress(ui, 'hashing', `hashing ${path}`),
    onSkipped: entries => reportSkipped(ui, entries),
    ...defined({
      name: flags.name,
      pieceLength: flags.pieceLength,
      rehash: flags.rehash,
      stateDir: flags.stateDir,
      peers: flags.peer,
      origins: flags.origin
    })
  })
}

/** Streams it past; the URL becomes the manifest's origin unless others are given. */
async function createFromUrl(url: string, flags: CreateFlags, signal: AbortSignal, ui: Ui): Promise<Manifest> {
  const { createManifestFromUrl } = await import('../node/manifests.ts')
  const shown = new URL(url)
  return createManifestFromUrl(url, {
    signal,
    onHashed: byteProgress(ui, 'hashing', `hashing ${shown.origin}${shown.pathname}`),
    ...defined({ name: flags.name, pieceLength: flags.pieceLength, keep: flags.keep, peers: flags.peer, origins: flags.origin })
  })
}

/** `<name>.swarm` in the current folder unless `output` says otherwise. */
export function manifestTarget(manifest: Manifest, output: string | undefined): string {
  return output ?? `${manifest.name}.swarm`
}
