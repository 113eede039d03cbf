/**
 * The sending side of one stream of a peer stream: control messages, pieces by reference, and the pump that
 * hands both over.
 *
 * Invariants: control messages overtake pieces that wait, never the inside of a piece frame; the stream's
 * write buffer stays near {@link HIGH_WATER_BYTES}; every piece is resolved or rejected exactly once; nothing
 * is handed over after `end` but the frame under way and a goodbye.
 *
 * libp2p facts that shape this (measured): `onDrain()` of a stream is broken, so the 'drain' event is used;
 * 'drain' also fires while the stream's window is exhausted, so the write buffer's length is looked at as
 * well; a send of 65,507 bytes makes one multiplexer frame and one noise record. Used by peer-stream.ts.
 */

import type { Stream } from '@libp2p/interface'
import { Uint8ArrayList } from 'uint8arraylist'
import { encodePieceHeader } from '../../wire/codec.ts'
import type { PieceHeader } from '../../wire/messages.ts'
import { isReleasingSink } from '../transport/fast-path.ts'

/** Longest single send: the 65,519 bytes that fit one noise record, less the multiplexer's header. */
const SEND_BYTES = 65_519 - 12
/**
 * The same where the last send left within {@link QUICK_SEND_MS}: each costs a round of events and a system
 * call (1 to 8: 4 to 9 % of all CPU).
 */
const QUICK_SEND_BYTES = 256 * 1024
const QUICK_SEND_MS = 20
/**
 * A send that took longer than this is followed by short ones: a slow peer must be seen to take something now
 * and then.
 */
const SLOW_SEND_MS = 200
/** No more is handed to the stream while it holds this much that it could not pass on. */
const HIGH_WATER_BYTES = 256 * 1024
/** From the end to the end of the stream, whatever the peer does. */
const CLOSE_TIMEOUT_MS = 2_000

interface QueuedPiece {
  header: PieceHeader
  data: Uint8Array
  isUrgent: boolean
  resolve(isReleased: boolean): void
  reject(err: Error): void
}

export class SendQueue {
  /** Bytes handed over, ever. */
  bytes = 0

  readonly #stream: Stream
  /** Handing over failed: the stream is gone. */
  readonly #onFault: (err: Error) => void
  readonly #control: Uint8Array[] = []
  #controlBytes = 0
  readonly #pieces: QueuedPiece[] = []
  /** The piece being sent, and how many of its bytes the stream took. */
  #current: QueuedPiece | undefined
  #currentBytes = 0
  /** All handed over, waiting for room. */
  #settling: QueuedPiece | undefined
  /** Handed over, but still referred to below. */
  readonly #releasing = new Set<QueuedPiece>()
  /** Longest send of a piece's bytes for now. */
  #sendBytes = SEND_BYTES
  #pumpQueued = false
  #pumping = false
  /** Since when the stream takes nothing although something waits. */
  #blockedMs: number | undefined
  #ended = false
  #goodbye: Uint8Array | undefined
  #closeTimer: NodeJS.Timeout | undefined

  constructor(stream: Stream, onFault: (err: Error) => void) {
    this.#stream = stream
    this.#onFault = onFault
    stream.addEventListener('drain', () => this.#pump())
    stream.addEventListener('close', () => clearTimeout(this.#closeTimer))
  }

  /** Control messages that wait, in bytes. */
  get controlBytes(): number {
    return this.#controlBytes
  }

  /** How long the stream has taken nothing although something waits, in milliseconds. */
  blockedForMs(nowMs: number): number {
    return this.#blockedMs === undefined ? 0 : nowMs - this.#blockedMs
  }

  sendControl(frame: Uint8Array): void {
    this.#controlBytes += frame.byteLength
    this.#control.push(frame)
    this.#queuePump()
  }

  /** As `PeerStream.sendPiece`. */
  sendPiece(header: PieceHeader, data: Uint8Array, isUrgent: boolean): Promise<boolean> {
    return new Promise((resolve, reject) => {
      const before = isUrgent ? this.#pieces.findIndex(piece => !piece.isUrgent) : -1
      this.#pieces.splice(before < 0 ? this.#pieces.length : before, 0, { header, data, isUrgent, resolve, reject })
      this.#queuePump()
    })
  }

  /**
   * Rejects pieces that have not left with `err`, and ends the stream within a bound. With a goodbye the
   * frame under way is finished, then messages that wait are said unless there are many, then the goodbye.
   */
  end(err: Error, goodbye?: Uint8Array): void {
    if (this.#ended) return
    this.#ended = true
    this.#goodbye = goodbye
    for (const piece of this.#pieces.splice(0)) piece.reject(err)
    this.#current?.reject(err)
    this.#settling?.reject(err)
    this.#settling = undefined
    for (const piece of this.#releasing) piece.reject(err)
    this.#releasing.clear()
    if (goodbye === undefined || this.#controlBytes > HIGH_WATER_BYTES) {
      this.#control.length = 0
      this.#controlBytes = 0
    }
    if (goodbye === undefined) this.#current = undefined
    if (this.#stream.status !== 'open') return
    // Whatever the peer does or does not do, the stream ends within a bound.
    this.#closeTimer = setTimeout(() => this.#stream.abort(err), CLOSE_TIMEOUT_MS)
    this.#closeTimer.unref()
    // Not later: a host that stops ends the connection next, and the goodbye must be under way by then.
    queueMicrotask(() => this.#pump())
  }

  /**
   * What is queued while one round of the event loop's input is handled leaves together: a busy node says
   * many small things to many neighbours, and each write costs a TLS record, a system call and a wake-up at
   * the other side.
   */
  #queuePump(): void {
    if (this.#pumpQueued) return
    this.#pumpQueued = true
    setImmediate(() => {
      this.#pumpQueued = false
      this.#pump()
    })
  }

  get #hasRoom(): boolean {
    return !this.#stream.writableNeedsDrain && this.#stream.writeBufferLength <= HIGH_WATER_BYTES
  }

  /** Hands over as much as the stream takes; the 'drain' event calls again. */
  #pump(): void {
    // A send can make the stream drain, and so call us, before it returns.
    if (this.#pumping) return
    this.#pumping = true
    try {
      while (this.#stream.writeStatus === 'writable') {
        if (!this.#hasRoom) {
          this.#blockedMs ??= performance.now()
          return
        }
        this.#endBlock()
        this.#settle()
        const next = this.#nextSend()
        if (next === undefined) {
          if (this.#ended) this.#closeStream()
          return
        }
        this.bytes += next.byteLength
        this.#stream.send(next)
      }
    } catch (err) {
      this.#onFault(err as Error)
      this.#stream.abort(err as Error)
    } finally {
      this.#pumping = false
    }
  }

  /** The stream takes something: how long the last send took says how long the next may be. */
  #endBlock(): void {
    if (this.#blockedMs === undefined) return
    const tookMs = performance.now() - this.#blockedMs
    this.#blockedMs = undefined
    if (tookMs <= QUICK_SEND_MS) this.#sendBytes = QUICK_SEND_BYTES
    else if (tookMs > SLOW_SEND_MS) this.#sendBytes = SEND_BYTES
  }

  /** The last piece is handed over, and there is room for more. */
  #settle(): void {
    const piece = this.#settling
    if (piece === undefined) return
    this.#settling = undefined
    if (!isReleasingSink(this.#stream)) {
      piece.resolve(false)
      return
    }
    this.#releasing.add(piece)
    const willTell = this.#stream.whenReleased(() => {
      if (this.#releasing.delete(piece)) piece.resolve(true)
    })
    if (!willTell && this.#releasing.delete(piece)) piece.resolve(false)
  }

  #nextSend(): Uint8Array | Uint8ArrayList | undefined {
    if (this.#current !== undefined) return this.#nextOfPiece(this.#current)
    if (this.#control.length > 0) return this.#nextOfControl()
    if (this.#ended) {
      const goodbye = this.#goodbye
      this.#goodbye = undefined
      return goodbye
    }
    this.#current = this.#pieces.shift()
    return this.#current === undefined ? undefined : this.#nextOfPiece(this.#current)
  }

  #nextOfControl(): Uint8Array | Uint8ArrayList {
    if (this.#control.length === 1) {
      this.#controlBytes = 0
      return this.#control.pop() as Uint8Array
    }
    const batch = new Uint8ArrayList()
    let taken = 0
    for (const frame of this.#control) {
      if (taken > 0 && batch.byteLength + frame.byteLength > SEND_BYTES) break
      batch.append(frame)
      taken++
    }
    this.#control.splice(0, taken)
    this.#controlBytes -= batch.byteLength
    return batch
  }

  #nextOfPiece(piece: QueuedPiece): Uint8Array | Uint8ArrayList {
    const from = this.#currentBytes
    const head = from === 0 ? encodePieceHeader(piece.header.piece, piece.header.bytes) : undefined
    const end = Math.min(piece.data.byteLength, from + this.#sendBytes - (head?.byteLength ?? 0))
    const view = piece.data.subarray(from, end)
    this.#currentBytes = end
    if (end === piece.data.byteLength) {
      this.#settling = piece
      this.#current = undefined
      this.#currentBytes = 0
    }
    return head === undefined ? view : new Uint8ArrayList(head, view)
  }

  #closeStream(): void {
    this.#stream.close({ signal: AbortSignal.timeout(CLOSE_TIMEOUT_MS) }).catch(err => this.#stream.abort(err as Error))
  }
}
