/**
 * Remembers manifests of unchanged files, so that seeding again does not hash again.
 *
 * An entry is a manifest under a name derived from everything that would change with the content: absolute
 * path, piece length, and every file's path, size, times and inode. So an entry is right or not found; a
 * damaged one counts as not found. One file per entry; the oldest used go when there are more than
 * `maxEntries`. Called by hashing.
 */

import fs from 'node:fs'
import { join } from 'node:path'
import type { HashFunction } from '../content/hash.ts'
import { formatManifest, type Manifest, parseManifest } from '../content/manifest.ts'
import { encodeHex, encodeUtf8 } from '../util/bytes.ts'
import { replaceFile } from './disk.ts'
import { stampText } from './file-stamp.ts'
import type { ScannedContent } from './scan-content.ts'

export interface HashCacheInit {
  stateDir: string
  hash: HashFunction
  /** Most entries kept. @default 1000 */
  maxEntries?: number
}

export class HashCache {
  readonly #folder: string
  readonly #hash: HashFunction
  readonly #maxEntries: number

  constructor(init: HashCacheInit) {
    this.#folder = join(init.stateDir, 'hashes')
    this.#hash = init.hash
    this.#maxEntries = init.maxEntries ?? 1000
  }

  /**
   * The manifest of exactly this content, or undefined. Never throws: a cache that cannot be read is empty.
   */
  async find(content: ScannedContent, pieceLength: number): Promise<Manifest | undefined> {
    const path = this.#entryPath(content, pieceLength)
    try {
      const [checksum, ...lines] = (await fs.promises.readFile(path, 'utf8')).split('\n')
      const text = lines.join('\n')
      if (checksum !== this.#digest(text)) return undefined
      const manifest = parseManifest(text, this.#hash)
      const now = new Date()
      await fs.promises.utimes(path, now, now)
      return manifest
    } catch {
      return undefined
    }
  }

  /** Remembers; a cache that cannot be written costs hashing again, so that failure is not the caller's. */
  async keep(content: ScannedContent, manifest: Manifest): Promise<void> {
    const text = formatManifest(manifest)
    try {
      await replaceFile(this.#entryPath(content, manifest.pieceLength), encodeUtf8(`${this.#digest(text)}\n${text}`))
      await this.#evict()
    } catch {
      // Read-only or full state folder.
    }
  }

  #entryPath(content: ScannedContent, pieceLength: number): string {
    const lines = content.files.map(file => `${JSON.stringify(file.path)} ${file.executable} ${stampText(file.stamp)}`)
    return join(this.#folder, this.#digest([JSON.stringify(content.path), content.isFolder, pieceLength, ...lines].join('\n')))
  }

  #digest(text: string): string {
    return encodeHex(this.#hash(encodeUtf8(text)))
  }

  async #evict(): Promise<void> {
    const names = await fs.promises.readdir(this.#folder)
    if (names.length <= this.#maxEntries) return
    const entries = await Promise.all(
      names.map(async name => {
        const path = join(this.#folder, name)
        return { path, usedMs: (await fs.promises.stat(path).catch(() => undefined))?.mtimeMs ?? 0 }
      })
    )
    entries.sort((a, b) => a.usedMs - b.usedMs || (a.path < b.path ? -1 : 1))
    for (const { path } of entries.slice(0, entries.length - this.#maxEntries)) await fs.promises.rm(path, { force: true })
  }
}
