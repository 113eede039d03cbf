/**
 * Sends pieces as the engine asks: reads each from the store when its turn comes and hands it to the
 * neighbour's peer stream.
 *
 * Invariants: `onServed` comes once for every piece, with 0 bytes where nothing was sent; a buffer goes back
 * to the pool only when nothing refers to it. Used by driver.ts.
 */

import type { Geometry } from '../content/geometry.ts'
import type { PeerStream } from '../network/types.ts'
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
  peerStreamOf(peer: string): PeerStream | undefined
  onServed(peer: string, piece: number, bytes: number, peerStream: PeerStream | undefined): void
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
    const { uploadSlots, peerStreamOf, onServed } = this.#init
    const peerStream = peerStreamOf(peer)
    let bytes = 0
    await uploadSlots.acquire()
    try {
      if (peerStream !== undefined && !this.#cancelled.delete(keyOf(peer, piece)))
        bytes = await this.#send(peerStream, piece, isUrgent)
    } catch (err) {
      if (err instanceof PieceLostError) this.#init.onLost(err)
      // A peer stream that ended while we sent is told by its onClose; what is left is the disk.
      else if (peerStreamOf(peer) !== undefined) this.#init.onReadFailed(err)
    } finally {
      uploadSlots.release()
      this.#cancelled.delete(keyOf(peer, piece))
      onServed(peer, piece, bytes, peerStream)
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

  async #send(peerStream: PeerStream, piece: number, isUrgent: boolean): Promise<number> {
    const { geometry, store, buffers, uploadCount } = this.#init
    const buffer = buffers.take(geometry.pieceBytes(piece))
    const data = await store.read(piece, buffer)
    if (this.#cancelled.delete(keyOf(peerStream.peer, piece)) || this.#isClosed) {
      buffers.give(buffer)
      return 0
    }
    const isReleased = await uploadCount.during(() => peerStream.sendPiece({ piece, bytes: data.byteLength }, data, isUrgent))
    if (isReleased) buffers.give(buffer)
    return data.byteLength
  }
}

function keyOf(peer: string, piece: number): string {
  return `${peer} ${piece}`
}
