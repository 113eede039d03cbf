/**
 * The router's twin in memory, for tests and for nodes within one process: every router made from one {@link
 * MemoryDirectory} sees the announcements of all others at once.
 */

import type { Router } from '../types.ts'

interface Entry {
  peer: string
  addresses: string[]
}

export class MemoryDirectory {
  readonly #providers = new Map<string, Map<string, Entry>>()

  add(root: Uint8Array, entry: Entry): void {
    const key = keyOf(root)
    const providers = this.#providers.get(key) ?? new Map<string, Entry>()
    providers.set(entry.peer, entry)
    this.#providers.set(key, providers)
  }

  remove(root: Uint8Array, peer: string): void {
    const key = keyOf(root)
    const providers = this.#providers.get(key)
    if (providers === undefined) return
    providers.delete(peer)
    if (providers.size === 0) this.#providers.delete(key)
  }

  of(root: Uint8Array): Entry[] {
    return [...(this.#providers.get(keyOf(root))?.values() ?? [])]
  }
}

export class MemoryRouter implements Router {
  readonly #directory: MemoryDirectory
  readonly #peer: string
  readonly #addresses: () => string[]

  constructor(directory: MemoryDirectory, peer: string, addresses: () => string[]) {
    this.#directory = directory
    this.#peer = peer
    this.#addresses = addresses
  }

  async announce(root: Uint8Array, signal?: AbortSignal): Promise<boolean> {
    signal?.throwIfAborted()
    this.#directory.add(root, { peer: this.#peer, addresses: this.#addresses() })
    return true
  }

  async withdraw(root: Uint8Array): Promise<void> {
    this.#directory.remove(root, this.#peer)
  }

  async *find(root: Uint8Array, signal?: AbortSignal): AsyncGenerator<Entry> {
    for (const entry of this.#directory.of(root)) {
      signal?.throwIfAborted()
      if (entry.peer !== this.#peer) yield { ...entry }
    }
  }
}

function keyOf(root: Uint8Array): string {
  return root.join()
}
