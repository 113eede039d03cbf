/**
 * Finds peers and lets them find us, when the engine says so: hints, DHT, gossip, mDNS, and what neighbours
 * tell. Has no opinion on when.
 *
 * Invariants: nothing here rejects; after `close` nothing is handed in. Used by driver.ts.
 */

import { Bitfield } from '../content/bitfield.ts'
import type { Geometry } from '../content/geometry.ts'
import type { Input, PeerSource } from '../engine/contract.ts'
import type { AvailabilityGossip, GossipTopic, Host } from '../network/types.ts'
import type { PieceStore } from '../store/piece-store.ts'
import type { Message } from '../wire/messages.ts'
import { AddressBook } from './address-book.ts'

/** Where the caller or the manifest says that a peer is. */
export interface Hint {
  peer: string
  addresses: string[]
  source: PeerSource
}

export interface DiscoveryInit {
  host: Host
  root: Uint8Array
  geometry: Geometry
  store: PieceStore
  hints: readonly Hint[]
  handle(input: Input): unknown
}

export class Discovery {
  /** How often each way of finding peers was tried and what came of it, for "what was tried". */
  readonly tried = { hints: 0, dht: 0, dhtFound: 0, mdns: 0, gossip: 0 }

  readonly #init: DiscoveryInit
  readonly #book = new AddressBook()
  readonly #closing = new AbortController()
  #stopMdns: () => void = () => {}
  #topic: Promise<GossipTopic | undefined> = Promise.resolve(undefined)
  #withdrawn: Promise<void> | undefined

  constructor(init: DiscoveryInit) {
    this.#init = init
  }

  start(): void {
    const { host, handle } = this.#init
    this.#stopMdns = host.onPeer((peer, addresses) => {
      this.tried.mdns++
      this.discover(peer, addresses, 'mdns')
    })
    this.tried.hints += this.#init.hints.length
    this.#tellHints()
    void host.bootstrapped.then(() => {
      if (!this.#closing.signal.aborted) handle({ type: 'bootstrapAnswered' })
    })
  }

  discover(peer: string, addresses: readonly string[], source: PeerSource): void {
    if (peer === this.#init.host.peer || this.#closing.signal.aborted) return
    if (addresses.length > 0) this.#book.record(peer, addresses)
    this.#init.handle({ type: 'peerDiscovered', peer, source })
  }

  /** A neighbour named others. The engine reads them from the message itself, except keepers. */
  handleTold(message: Message): void {
    if (message.type === 'keepers')
      for (const keeper of message.keepers) this.discover(keeper.peer, keeper.addresses, 'neighbour')
    if (message.type !== 'peers') return
    for (const { peer, addresses } of message.peers) if (peer !== this.#init.host.peer) this.#book.record(peer, addresses)
  }

  /**
   * The engine names peers by key only; their addresses are added here, and those without any are left out.
   */
  withAddresses(message: Message): Message {
    if (message.type === 'keepers')
      return {
        type: 'keepers',
        keepers: message.keepers.map(keeper => ({ ...keeper, addresses: this.#addressesOf(keeper.peer) }))
      }
    if (message.type !== 'peers') return message
    const peers = message.peers
      .map(told => ({ ...told, addresses: this.#addressesOf(told.peer) }))
      .filter(({ addresses }) => addresses.length > 0)
    return { type: 'peers', peers }
  }

  /** Where to dial a peer, as far as we were told. */
  whereIs(peer: string): string[] {
    return this.#book.of(peer)
  }

  async findPeers(): Promise<void> {
    const { host, root, handle } = this.#init
    const { signal } = this.#closing
    const mayTurnUp = host.usesMdns
    const couldAsk = !host.knowsNobody
    this.#tellHints()
    if (couldAsk) {
      this.tried.dht++
      try {
        for await (const { peer, addresses } of host.router.find(root, signal)) {
          this.tried.dhtFound++
          this.discover(peer, addresses, 'dht')
        }
      } catch {
        // A lookup that failed found all that it could; the engine decides when to look again.
      }
    }
    if (!signal.aborted) handle({ type: 'searchEnded', couldAsk, mayTurnUp })
  }

  async announce(): Promise<void> {
    const { host, root, handle } = this.#init
    const { signal } = this.#closing
    // The router repeats and renews it until `withdraw`.
    await host.router.announce(root, signal).catch(() => {})
    if (!signal.aborted) handle({ type: 'announced' })
  }

  listenToGossip(): void {
    const { host, root } = this.#init
    // Without gossip there are still neighbours' lists and the DHT.
    this.#topic = host.join(root, gossip => this.#handleGossip(gossip)).catch(() => undefined)
  }

  async publish(): Promise<void> {
    const topic = await this.#topic
    if (topic === undefined || this.#closing.signal.aborted) return
    const { host, geometry, store } = this.#init
    const bits = store.have.toBytes()
    await topic.publish({ peer: host.peer, addresses: host.addresses(), pieceCount: geometry.pieceCount, bits }).catch(() => {})
  }

  /** Takes our record back and stops listening. Idempotent. */
  withdraw(): Promise<void> {
    this.#withdrawn ??= (async () => {
      this.#closing.abort()
      this.#stopMdns()
      ;(await this.#topic)?.leave()
      await this.#init.host.router.withdraw(this.#init.root).catch(() => {})
    })()
    return this.#withdrawn
  }

  #tellHints(): void {
    for (const { peer, addresses, source } of this.#init.hints) this.discover(peer, addresses, source)
  }

  #addressesOf(peer: string): string[] {
    const { host } = this.#init
    if (peer === host.peer) return host.addresses().map(address => address.replace(/\/p2p\/[^/]+$/, ''))
    const known = this.#book.of(peer)
    // A peer that dialled us is in no book, but said where it listens.
    return known.length > 0 ? known : host.addressesOf(peer)
  }

  #handleGossip(gossip: AvailabilityGossip): void {
    const { host, geometry, handle } = this.#init
    if (gossip.peer === host.peer || gossip.pieceCount !== geometry.pieceCount) return
    this.tried.gossip++
    this.discover(gossip.peer, gossip.addresses, 'gossip')
    try {
      handle({ type: 'availabilityGossiped', peer: gossip.peer, have: Bitfield.fromBytes(gossip.bits, gossip.pieceCount) })
    } catch (err) {
      if (!(err instanceof RangeError)) throw err // a malformed bitfield is the gossiper's fault; nothing to do
    }
  }
}
