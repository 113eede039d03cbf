/**
 * Which few peers fetch from the origin for everybody, agreed on without a coordinator.
 *
 * Every peer has a rank, a hash of its key: small is better. Up to {@link MAX_KEEPERS} live ones that offered
 * themselves are the *keepers*; who knows of that many does not offer itself, so a newcomer displaces nobody.
 * A keeper raises its beat every {@link BEAT_MS}; beats travel from neighbour to neighbour, so that all
 * members of a connected swarm hold the same list within a few round trips, whatever part of the swarm they
 * see. An entry whose beat stands still is dropped and others offer themselves.
 *
 * Among keepers a block of pieces belongs to the one with the smallest hash of (keeper, block): rendezvous
 * hashing (Thaler and Ravishankar, 1998), so that a keeper that goes leaves only its own blocks to others.
 *
 * Invariant: at most {@link MAX_KEEPERS} entries. Used by share.ts.
 */

import type { KeeperEntry } from '../../wire/messages.ts'
import type { PeerKey } from '../contract.ts'

/** More: the origin's bytes enter the swarm through more uplinks. Fewer: less to agree on. */
export const MAX_KEEPERS = 4
export const BEAT_MS = 3000
/** Three beats and some travel. */
const EXPIRE_MS = 10_000
/** A keeper that was our neighbour and left has this long to be heard of from others. */
const LEFT_MS = 4000
const MAX_BEAT = 0x7fff_ffff

interface Entry {
  readonly peer: PeerKey
  readonly rank: number
  beat: number
  /** When the beat last rose, as we saw it. */
  heardMs: number
}

export class Election {
  readonly #entries: Entry[] = []
  #version = 0

  /** Best rank first. */
  get peers(): PeerKey[] {
    return this.#entries.map(({ peer }) => peer)
  }

  get size(): number {
    return this.#entries.length
  }

  /** Changes whenever the list of peers does. */
  get version(): number {
    return this.#version
  }

  has(peer: PeerKey): boolean {
    return this.#entries.some(entry => entry.peer === peer)
  }

  beatOf(peer: PeerKey): number {
    return this.#entries.find(entry => entry.peer === peer)?.beat ?? -1
  }

  entries(): { peer: PeerKey; beat: number }[] {
    return this.#entries.map(({ peer, beat }) => ({ peer, beat }))
  }

  /** Takes in what somebody said. True when it was news. */
  record(entry: Pick<KeeperEntry, 'peer' | 'beat'>, nowMs: number): boolean {
    const known = this.#entries.find(({ peer }) => peer === entry.peer)
    if (known !== undefined) {
      if (entry.beat <= known.beat) return false
      known.beat = Math.min(MAX_BEAT, entry.beat)
      known.heardMs = nowMs
      return true
    }
    const rank = rankOf(entry.peer)
    const worst = this.#entries.at(-1)
    if (this.#entries.length >= MAX_KEEPERS && worst !== undefined && !isBefore(rank, entry.peer, worst)) return false
    this.#entries.push({ peer: entry.peer, rank, beat: entry.beat, heardMs: nowMs })
    this.#entries.sort((a, b) => (isBefore(a.rank, a.peer, b) ? -1 : 1))
    this.#entries.length = Math.min(this.#entries.length, MAX_KEEPERS)
    this.#version++
    return true
  }

  remove(peer: PeerKey): void {
    const index = this.#entries.findIndex(entry => entry.peer === peer)
    if (index < 0) return
    this.#entries.splice(index, 1)
    this.#version++
  }

  /** The neighbour left: unless its beat is heard from others soon, it is gone. */
  suspect(peer: PeerKey, nowMs: number): void {
    const entry = this.#entries.find(each => each.peer === peer)
    if (entry !== undefined) entry.heardMs = Math.min(entry.heardMs, nowMs - EXPIRE_MS + LEFT_MS)
  }

  /** Drops entries that fell silent, but not `self`. */
  expire(self: PeerKey | undefined, nowMs: number): void {
    for (const { peer, heardMs } of [...this.#entries]) if (peer !== self && nowMs - heardMs > EXPIRE_MS) this.remove(peer)
  }

  /** Index in {@link peers} of the keeper that this block belongs to; -1 without any. */
  ownerOf(block: number): number {
    let owner = -1
    let best = Number.POSITIVE_INFINITY
    for (const [index, { rank }] of this.#entries.entries()) {
      const weight = mix(rank ^ mix(block))
      if (weight < best) {
        best = weight
        owner = index
      }
    }
    return owner
  }
}

function isBefore(rank: number, peer: PeerKey, other: Entry): boolean {
  return rank < other.rank || (rank === other.rank && peer < other.peer)
}

/** FNV-1a of the key, mixed. */
export function rankOf(peer: PeerKey): number {
  let hash = 0x811c9dc5
  for (let i = 0; i < peer.length; i++) hash = Math.imul(hash ^ peer.charCodeAt(i), 0x01000193)
  return mix(hash)
}

/** The finalizer of MurmurHash3. */
export function mix(value: number): number {
  let hash = value
  hash = Math.imul(hash ^ (hash >>> 16), 0x85ebca6b)
  hash = Math.imul(hash ^ (hash >>> 13), 0xc2b2ae35)
  return (hash ^ (hash >>> 16)) >>> 0
}
