/**
 * Sends pieces as the engine asks: reads each from the store when its turn comes and hands it to the neighbour's link.
 *
 * Invariants: `onServed` comes once for every piece, with 0 bytes where nothing was sent; a buffer goes back to the pool only when nothing refers
 * to it. Used by driver.ts.
 */

import type { Geometry } from '../content/geometry.ts'
import type { PeerLink } from '../network/types.ts'
import { PieceLostError, type PieceStore } from '../store/piece-store.ts'
import type { BufferPool } from '../util/buffer-pool.ts'
import type { UploadCount } from './upload-count.ts'
import type { UploadSlots } from './upload-slots.ts'

export interface ServingInit {
  geometry: Geometry
  store: PieceStore
  buffers: BufferPool
  uploadSlots: UploadSlots
  uploadCount: UploadCount
  linkOf(peer: string): PeerLink | undefined
  onServed(peer: string, piece: number, bytes: number, link: PeerLink | undefined): void
  onLost(err: PieceLostError): void
  onReadFailed(err: unknown): void
}

export class Serving {
  readonly #init: ServingInit
  readonly #cancelled = new Set<string>()
  #isClosed = false

  constructor(init: ServingInit) {
    this.#init = init
  }

  /** Never rejects. */
  async serve(peer: string, piece: number, isUrgent: boolean): Promise<void> {
    const { uploadSlots, linkOf, onServed } = this.#init
    const link = linkOf(peer)
    let bytes = 0
    await uploadSlots.acquire()
    try {
      if (link !== undefined && !this.#cancelled.delete(keyOf(peer, piece))) bytes = await this.#send(link, piece, isUrgent)
    } catch (err) {
      if (err instanceof PieceLostError) this.#init.onLost(err)
      // A link that ended while we sent is told by its onClose; what is left is the disk.
      else if (linkOf(peer) !== undefined) this.#init.onReadFailed(err)
    } finally {
      uploadSlots.release()
      this.#cancelled.delete(keyOf(peer, piece))
      onServed(peer, piece, bytes, link)
    }
  }

  /** Not to be sent if sending has not begun. */
  cancel(peer: string, piece: number): void {
    this.#cancelled.add(keyOf(peer, piece))
  }

  /** Nothing more is sent. */
  close(): void {
    this.#isClosed = true
  }

  async #send(link: PeerLink, piece: number, isUrgent: boolean): Promise<number> {
    const { geometry, store, buffers, uploadCount } = this.#init
    const buffer = buffers.take(geometry.pieceBytes(piece))
    const data = await store.read(piece, buffer)
    if (this.#cancelled.delete(keyOf(link.peer, piece)) || this.#isClosed) {
      buffers.give(buffer)
      return 0
    }
    const isReleased = await uploadCount.during(() => link.sendPiece({ piece, bytes: data.byteLength }, data, isUrgent))
    if (isReleased) buffers.give(buffer)
    return data.byteLength
  }
}

function keyOf(peer: string, piece: number): string {
  return `${peer} ${piece}`
}
