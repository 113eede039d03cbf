/**
 * Watched folders: files that lie next to their manifests are verified and seeded.
 *
 * Invariants: one scan at a time (a second call waits for its own run after it); links are not followed;
 * depth and number of entries are bounded. Called by the composition at start and on change, and by the
 * routes.
 */

import { type FSWatcher, watch } from 'node:fs'
import { type FileHandle, open, opendir, stat } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import type { Manifest } from '../content/manifest.ts'
import { InvalidManifestError, NotFoundError, StoreError } from '../errors.ts'
import { faultOf } from './fault.ts'

interface FolderScannerInit {
  folders: readonly string[]
  parseManifest: (bytes: Uint8Array) => Manifest
  /** Verifies the content at `path` and seeds it; throws when it is not what the manifest says. */
  addFound: (manifest: Manifest, path: string) => Promise<'added' | 'known'>
  maxManifestBytes: number
  log: { info: (facts: object, message: string) => void; warn: (facts: object, message: string) => void }
}

interface ScanReport {
  folders: string[]
  /** Manifests found. */
  manifests: number
  /** Roots newly verified and seeded. */
  added: string[]
  /** Already seeded. */
  known: number
  /** Manifests that cannot be read, whose file is missing, or whose file differs. */
  problems: { manifest: string; code: string; message: string }[]
}

const MANIFEST_SUFFIX = '.swarm'
const MAX_DEPTH = 16
const MAX_ENTRIES = 200_000
/** After a change, wait until nothing changed for this long: a file being copied in changes many times. */
const SETTLE_MS = 1000

export class FolderScanner {
  readonly #init: FolderScannerInit
  readonly #watchers: FSWatcher[] = []
  #running: Promise<unknown> = Promise.resolve()
  #settle: NodeJS.Timeout | undefined
  #stopped = false

  constructor(init: FolderScannerInit) {
    this.#init = init
  }

  scan(): Promise<ScanReport> {
    const run = this.#running.then(() => this.#scan())
    this.#running = run.catch(() => {})
    return run
  }

  /** Scans again whenever something changes in the folders. */
  watch(): void {
    for (const folder of this.#init.folders) {
      try {
        const watcher = watch(folder, { recursive: true, persistent: false }, () => this.#changed())
        watcher.on('error', err => this.#init.log.warn({ folder, err }, 'the folder cannot be watched any more'))
        this.#watchers.push(watcher)
      } catch (err) {
        this.#init.log.warn({ folder, err }, 'the folder cannot be watched; scan by command instead')
      }
    }
  }

  async stop(): Promise<void> {
    this.#stopped = true
    clearTimeout(this.#settle)
    for (const watcher of this.#watchers) watcher.close()
    await this.#running
  }

  #changed(): void {
    if (this.#stopped) return
    clearTimeout(this.#settle)
    this.#settle = setTimeout(() => {
      this.scan().catch(err => this.#init.log.warn({ err }, 'scan failed'))
    }, SETTLE_MS)
  }

  async #scan(): Promise<ScanReport> {
    const { folders, log } = this.#init
    const report: ScanReport = { folders: [...folders], manifests: 0, added: [], known: 0, problems: [] }
    const budget = { entries: MAX_ENTRIES }
    for (const folder of folders) {
      for await (const path of manifestsIn(folder, 0, budget)) {
        if (this.#stopped) return report
        report.manifests++
        try {
          const manifest = this.#init.parseManifest(await readBounded(path, this.#init.maxManifestBytes))
          const content = join(dirname(path), manifest.name)
          await stat(content).catch(() => {
            throw new NotFoundError('its content does not lie next to it', { path: content })
          })
          if ((await this.#init.addFound(manifest, content)) === 'added') report.added.push(manifest.root)
          else report.known++
        } catch (err) {
          const { code, message } = faultOf(err)
          report.problems.push({ manifest: path, code, message })
        }
      }
    }
    if (report.added.length + report.problems.length > 0) log.info({ ...report, added: report.added.length }, 'folders scanned')
    return report
  }
}

async function* manifestsIn(folder: string, depth: number, budget: { entries: number }): AsyncGenerator<string> {
  const subfolders: string[] = []
  const found: string[] = []
  try {
    for await (const entry of await opendir(folder)) {
      if (--budget.entries < 0) break
      const path = join(folder, entry.name)
      if (entry.isDirectory()) subfolders.push(path)
      else if (entry.isFile() && entry.name.endsWith(MANIFEST_SUFFIX) && !entry.name.startsWith('.')) found.push(path)
    }
  } catch (err) {
    if ((err as NodeJS.ErrnoException).code !== 'ENOENT') throw new StoreError('cannot read the folder', folder, err)
  }
  yield* found.sort()
  if (depth < MAX_DEPTH) for (const subfolder of subfolders.sort()) yield* manifestsIn(subfolder, depth + 1, budget)
}

async function readBounded(path: string, maxBytes: number): Promise<Uint8Array> {
  let file: FileHandle | undefined
  try {
    file = await open(path)
    const { size } = await file.stat()
    if (size > maxBytes) throw new InvalidManifestError(`${size} bytes are more than ${maxBytes}`, 'byte 0')
    return await file.readFile()
  } catch (err) {
    if (err instanceof InvalidManifestError) throw err
    throw new StoreError('cannot read the manifest', path, err)
  } finally {
    await file?.close()
  }
}
