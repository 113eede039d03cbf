/**
 * The DHT, which rests until it is of use: its module is not loaded, and no query runs.
 *
 * Being in the DHT costs each of nine nodes that share a small file more than the file itself
 * (docs/PERFORMANCE.md), and peers that know each other tell of others anyway. So its owner says when there
 * is somebody to ask. While it rests nobody is told and nobody is found.
 *
 * A node that serves says from the start that it speaks the protocol, and a request by another node wakes its
 * DHT. One that is to serve later only asks until then: no other node knows that it has a DHT. Made by
 * dht.ts, used by dht-router.ts.
 */

import type { AbortOptions, Connection, PeerDiscovery, PeerId, PeerInfo, RoutingOptions, Stream } from '@libp2p/interface'
import { NotFoundError, peerDiscoverySymbol, peerRoutingSymbol, serviceCapabilities, start, stop } from '@libp2p/interface'
import type { KadDHT, KadDHTComponents, QueryEvent } from '@libp2p/kad-dht'
import type { CID } from 'multiformats/cid'
import type { DhtService } from './dht-router.ts'

export type DhtComponents = KadDHTComponents

/** What the module has but does not publish in its types. */
interface Internals {
  /** Takes a peer that speaks the protocol into the routing table. */
  onPeerConnect(peer: PeerInfo): Promise<void>
  /** Without it withdrawn records live until they expire. */
  providers: { removeProvider(key: CID, provider: PeerId): Promise<void> }
  /** Where peers are told that answers named. */
  readonly [peerDiscoverySymbol]: PeerDiscovery
}

type AwakeDht = KadDHT & Internals

export interface RestingDhtInit {
  readonly protocol: string
  /** Loads the module; with `clientMode` it answers nobody. */
  load(components: DhtComponents, clientMode: boolean): Promise<KadDHT>
  /** From the start until we answer others. */
  readonly serveAfterMs: number
  log(line: string): void
}

export class OnDemandDht implements DhtService {
  readonly [serviceCapabilities] = ['@libp2p/peer-routing']
  /** How libp2p finds the addresses of a peer that it is to dial. */
  readonly [peerRoutingSymbol] = { findPeer: (peer: PeerId, options?: RoutingOptions) => this.#findPeer(peer, options) }
  /** Whether a query could reach somebody who is worth asking; asked before each. */
  isUseful: () => boolean = () => true

  readonly #components: DhtComponents
  readonly #init: RestingDhtInit
  #awake: Promise<AwakeDht> | undefined
  #isServing = false
  #serveTimer: NodeJS.Timeout | undefined
  #isStopped = false

  constructor(components: DhtComponents, init: RestingDhtInit) {
    this.#components = components
    this.#init = init
  }

  async start(): Promise<void> {
    const { serveAfterMs, log } = this.#init
    if (serveAfterMs === 0) {
      await this.#serve()
      return
    }
    this.#serveTimer = setTimeout(() => {
      this.#serve().catch(err => log(`dht: cannot serve: ${(err as Error).message}`))
    }, serveAfterMs).unref()
  }

  async stop(): Promise<void> {
    this.#isStopped = true
    clearTimeout(this.#serveTimer)
    const dht = await this.#awake?.catch(() => undefined)
    if (dht !== undefined) await stop(dht)
  }

  /** Loads and starts it unless that was done. Rejects when it cannot. */
  wake(): Promise<AwakeDht> {
    this.#awake ??= this.#wake()
    return this.#awake
  }

  async *provide(key: CID, options?: AbortOptions): AsyncGenerator<QueryEvent> {
    const dht = await this.#whenUseful()
    if (dht !== undefined) yield* dht.provide(key, options)
  }

  async *findProviders(key: CID, options?: AbortOptions): AsyncGenerator<QueryEvent> {
    const dht = await this.#whenUseful()
    if (dht !== undefined) yield* dht.findProviders(key, options)
  }

  async cancelReprovide(key: CID, options?: AbortOptions): Promise<void> {
    await (await this.#awake)?.cancelReprovide(key, options)
  }

  /** Forgets that this peer holds the key. */
  async removeProvider(key: CID, provider: PeerId): Promise<void> {
    await (await this.#awake)?.providers?.removeProvider(key, provider)
  }

  /** From now on we answer, and others are told so. */
  async #serve(): Promise<void> {
    this.#isServing = true
    const { registrar } = this.#components
    if (this.#awake !== undefined) await (await this.#awake).setMode('server')
    else await registrar.handle(this.#init.protocol, (stream, connection) => this.#handleStream(stream, connection))
  }

  #whenUseful(): Promise<AwakeDht> | undefined {
    return this.#awake !== undefined || this.isUseful() ? this.wake() : undefined
  }

  async #findPeer(peer: PeerId, options?: RoutingOptions): Promise<PeerInfo> {
    const dht = await this.#whenUseful()
    if (dht !== undefined) {
      for await (const event of dht.findPeer(peer, options)) if (event.name === 'FINAL_PEER') return event.peer
    }
    throw new NotFoundError(`nobody knows ${peer}`)
  }

  async #wake(): Promise<AwakeDht> {
    const dht = (await this.#init.load(this.#components, !this.#isServing)) as AwakeDht
    if (this.#isStopped) throw new Error('the host is stopped')
    dht[peerDiscoverySymbol].addEventListener('peer', ({ detail: { id, multiaddrs } }) => {
      this.#components.peerStore.merge(id, { multiaddrs }).catch(err => this.#init.log(`dht: ${(err as Error).message}`))
    })
    // Takes our handler's place.
    await start(dht)
    await this.#introduce(dht)
    return dht
  }

  /** Who connected meanwhile is in no routing table yet. */
  async #introduce(dht: AwakeDht): Promise<void> {
    const { connectionManager, peerStore } = this.#components
    const peers = new Map(connectionManager.getConnections().map(({ remotePeer }) => [remotePeer.toString(), remotePeer]))
    for (const id of peers.values()) {
      try {
        const { addresses, protocols } = await peerStore.get(id)
        if (!protocols.includes(this.#init.protocol)) continue
        await dht.onPeerConnect({ id, multiaddrs: addresses.map(({ multiaddr }) => multiaddr) })
      } catch {
        // Not identified yet: the DHT hears of it by itself when it is.
      }
    }
  }

  /** Somebody asks. */
  async #handleStream(stream: Stream, connection: Connection): Promise<void> {
    try {
      await this.wake()
      const { handler } = this.#components.registrar.getHandler(this.#init.protocol)
      await handler(stream, connection)
    } catch (err) {
      this.#init.log(`dht: cannot answer: ${(err as Error).message}`)
      stream.abort(err as Error)
    }
  }
}
