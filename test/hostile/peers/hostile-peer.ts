/**
 * A peer that misbehaves on purpose: joins the swarm of a manifest on the real network, like any node, and
 * leaves what it says to a behaviour (behaviours.ts). Its neighbours tell it where members are and opens a
 * peer stream to each, so that nobody is spared.
 */

import { randomBytes } from 'node:crypto'
import { open } from 'node:fs/promises'
import { Bitfield } from '../../../src/content/bitfield.ts'
import type { Geometry } from '../../../src/content/geometry.ts'
import type { Manifest } from '../../../src/content/manifest.ts'
import { encodePieceList, geometryOf } from '../../../src/content/piece-list.ts'
import { createHost } from '../../../src/network/host.ts'
import type { Host, PeerStream, SwarmListener } from '../../../src/network/types.ts'
import { decodeHex } from '../../../src/util/bytes.ts'
import { type Message, WIRE_VERSION } from '../../../src/wire/messages.ts'

/** What a hostile peer does; each part is optional. The peer itself only connects. */
export interface Behaviour {
  /** A stream is open, and our bitfield is sent: say what you like. */
  readonly onOpen?: (link: PeerStream, peer: HostilePeer) => void
  readonly onMessage?: (link: PeerStream, message: Message, peer: HostilePeer) => void
  readonly onPiece?: (link: PeerStream, piece: number, peer: HostilePeer) => void
  /** What is said again and again, to every neighbour. */
  readonly onTick?: (link: PeerStream, peer: HostilePeer, round: number) => void
  /** Whether it says that it has every piece. @default false */
  readonly claimsAll?: boolean
  /** Whether it takes a new identity when a neighbour drops it, or gives it nothing. @default false */
  readonly comesBack?: boolean
}

export interface HostilePeerInit {
  readonly manifest: Manifest
  /** Multiaddrs with /p2p of members to begin with. */
  readonly addresses: readonly string[]
  /** Multiaddr to listen on. */
  readonly listen: string
  readonly labels: Readonly<Record<string, string>>
  /** The content, for behaviours that really send some. */
  readonly contentPath: string | undefined
  readonly onLinked: () => void
}

const TICK_MS = 500
/** A neighbour that gave nothing for this long is worth a new identity. */
const FRUITLESS_MS = 2_000

export class HostilePeer {
  readonly geometry: Geometry
  readonly everyPiece: readonly number[]
  readonly #init: HostilePeerInit
  readonly #behaviour: Behaviour
  readonly #links = new Set<PeerStream>()
  readonly #dialled = new Set<string>()
  #host: Host | undefined
  #stopListening = (): void => {}
  #lastPieceMs = performance.now()
  #round = 0
  #isMoving = false

  private constructor(init: HostilePeerInit, behaviour: Behaviour) {
    this.#init = init
    this.#behaviour = behaviour
    this.geometry = geometryOf(init.manifest)
    this.everyPiece = Array.from({ length: this.geometry.pieceCount }, (_, piece) => piece)
  }

  static async start(init: HostilePeerInit, behaviour: Behaviour): Promise<HostilePeer> {
    const peer = new HostilePeer(init, behaviour)
    await peer.#appear()
    setInterval(() => peer.#tick(), TICK_MS)
    return peer
  }

  /** Where it can be reached, until it takes another identity. */
  get addresses(): string[] {
    return this.#host?.addresses() ?? []
  }

  /** The true bytes of a piece, where the content is at hand; noise elsewhere. */
  async bytesOf(piece: number): Promise<Uint8Array> {
    const bytes = this.geometry.pieceBytes(piece)
    if (this.#init.contentPath === undefined) return randomBytes(bytes)
    await using file = await open(this.#init.contentPath)
    const { buffer } = await file.read(new Uint8Array(bytes), 0, bytes, piece * this.geometry.pieceLength)
    return buffer
  }

  /** Joins with a fresh identity. */
  async #appear(): Promise<void> {
    this.#dialled.clear()
    this.#host = await createHost({ listen: [this.#init.listen], mdns: false, dht: false })
    this.#stopListening = this.#host.listen(this.#listener())
    this.#lastPieceMs = performance.now()
    for (const address of this.#init.addresses) {
      const id = address.split('/p2p/')[1]
      if (id !== undefined) this.#dial(id, [address])
    }
  }

  async #moveOn(): Promise<void> {
    if (this.#isMoving) return
    this.#isMoving = true
    const old = this.#host
    this.#stopListening()
    for (const link of this.#links) link.close('moving on')
    this.#links.clear()
    await old?.stop()
    await this.#appear()
    this.#isMoving = false
  }

  #listener(): SwarmListener {
    const { manifest, labels } = this.#init
    const root = decodeHex(manifest.root)
    if (root === undefined) throw new Error(`${manifest.name} has no root`)
    const pieceList = encodePieceList(manifest)
    return {
      root,
      hello: { type: 'hello', version: WIRE_VERSION, pieceCount: this.geometry.pieceCount, labels },
      maxPieceBytes: this.geometry.pieceLength,
      accepts: () => true,
      onPeerStream: link => this.#open(link),
      pieceList: () => pieceList
    }
  }

  #open(link: PeerStream): void {
    if (this.#links.has(link)) return
    this.#links.add(link)
    const { claimsAll, comesBack, onOpen, onMessage, onPiece } = this.#behaviour
    link.start({
      onMessage: message => {
        if (message.type === 'peers') for (const { peer, addresses } of message.peers) this.#dial(peer, addresses)
        onMessage?.(link, message, this)
      },
      onPiece: (header, data) => {
        this.#host?.buffers.give(data)
        this.#lastPieceMs = performance.now()
        onPiece?.(link, header.piece, this)
      },
      onClose: () => {
        this.#links.delete(link)
        if (comesBack === true) void this.#moveOn()
      }
    })
    const { pieceCount } = this.geometry
    const have = claimsAll === true ? Bitfield.full(pieceCount) : new Bitfield(pieceCount)
    link.send({ type: 'bitfield', bits: have.toBytes() })
    this.#init.onLinked()
    onOpen?.(link, this)
  }

  #dial(peer: string, addresses: string[]): void {
    const host = this.#host
    if (host === undefined || peer === host.peer || this.#dialled.has(peer)) return
    this.#dialled.add(peer)
    host
      .connect(peer, addresses, this.#listener())
      .then(link => this.#open(link))
      // It is full, gone, or has banned us: what comes of misbehaving.
      .catch(() => this.#dialled.delete(peer))
  }

  #tick(): void {
    this.#round++
    for (const link of this.#links) this.#behaviour.onTick?.(link, this, this.#round)
    if (this.#behaviour.comesBack === true && performance.now() - this.#lastPieceMs > FRUITLESS_MS) void this.#moveOn()
  }
}
