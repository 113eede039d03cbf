/**
 * The book of what we asked for: which neighbour is expected to send each piece, a second one where the first
 * is late, and since when. The only writer of these, of each neighbour's `pending`, and of what the download
 * limits set aside. Decides nothing.
 *
 * Invariants: a pending piece is MISSING and expected from one neighbour, or two; a piece is taken only from
 * a neighbour that was asked for it, once; what is set aside of a limit equals what is pending.
 */

import type { RateBudget } from '../../util/rate-budget.ts'
import type { Neighbour } from '../neighbour.ts'
import { MISSING, type SwarmState } from '../state.ts'

const NOBODY = -1

/** A piece that arrived from the neighbour first asked for it. */
export interface Arrival {
  readonly elapsedMs: number
  /** Bytes received in all when it was requested. */
  readonly bytesBefore: number
  readonly isPulled: boolean
}

export class RequestLedger {
  readonly #state: SwarmState
  readonly #budgets: readonly RateBudget[]
  readonly #from: Int16Array
  readonly #alsoFrom: Int16Array
  readonly #sinceMs: Float64Array
  readonly #bytesBefore: Float64Array
  readonly #isPulled: Uint8Array
  readonly #pending = new Set<number>()
  /**
   * Per slot: pieces that we asked it for and that it may still send, even after we gave up, and when we
   * asked.
   */
  readonly #asked: (Map<number, number> | undefined)[] = []
  #seconds = 0
  /** When a second neighbour was asked for a piece, and the bytes received in all by then. */
  readonly #secondSince = new Map<number, { readonly sinceMs: number; readonly bytesBefore: number }>()

  constructor(state: SwarmState, budgets: readonly RateBudget[]) {
    this.#state = state
    this.#budgets = budgets
    const { pieceCount } = state.geometry
    this.#from = new Int16Array(pieceCount).fill(NOBODY)
    this.#alsoFrom = new Int16Array(pieceCount).fill(NOBODY)
    this.#sinceMs = new Float64Array(pieceCount)
    this.#bytesBefore = new Float64Array(pieceCount)
    this.#isPulled = new Uint8Array(pieceCount)
  }

  /** Pending pieces, oldest first. */
  get pending(): ReadonlySet<number> {
    return this.#pending
  }

  /** Pieces asked of a second neighbour. */
  get seconds(): number {
    return this.#seconds
  }

  isExpected(piece: number): boolean {
    return this.#from[piece] !== NOBODY
  }

  /** Who was asked first; undefined: nobody. */
  senderOf(piece: number): Neighbour | undefined {
    return this.#state.neighbours[this.#from[piece] as number]
  }

  hasSecond(piece: number): boolean {
    return this.#alsoFrom[piece] !== NOBODY
  }

  isExpectedFrom(neighbour: Neighbour, piece: number): boolean {
    return this.#from[piece] === neighbour.slot || this.#alsoFrom[piece] === neighbour.slot
  }

  /** When the neighbour was last asked for a piece that it may yet send; -Infinity: never. */
  askedMs(neighbour: Neighbour, piece: number): number {
    return this.#asked[neighbour.slot]?.get(piece) ?? Number.NEGATIVE_INFINITY
  }

  sinceMs(piece: number): number {
    return this.#sinceMs[piece] as number
  }

  /** Asked for without an offer. */
  isPulled(piece: number): boolean {
    return this.#isPulled[piece] === 1
  }

  recordRequest(neighbour: Neighbour, piece: number, isPulled: boolean, receivedBytes: number, nowMs: number): void {
    this.#from[piece] = neighbour.slot
    this.#sinceMs[piece] = nowMs
    this.#bytesBefore[piece] = receivedBytes
    this.#isPulled[piece] = isPulled ? 1 : 0
    this.#pending.add(piece)
    this.#ask(neighbour, piece, nowMs)
  }

  recordSecond(neighbour: Neighbour, piece: number, receivedBytes: number, nowMs: number): void {
    this.#alsoFrom[piece] = neighbour.slot
    this.#seconds++
    this.#secondSince.set(piece, { sinceMs: nowMs, bytesBefore: receivedBytes })
    this.#ask(neighbour, piece, nowMs)
  }

  /** The neighbour sent or refused the piece. False: it was never asked for it. */
  recordAnswered(neighbour: Neighbour, piece: number): boolean {
    return this.#asked[neighbour.slot]?.delete(piece) === true
  }

  /** What is known of a piece that came from the neighbour first asked; undefined: it came from another. */
  arrivalOf(neighbour: Neighbour, piece: number, nowMs: number): Arrival | undefined {
    if (this.#from[piece] !== neighbour.slot) return undefined
    return {
      elapsedMs: Math.max(0.1, nowMs - (this.#sinceMs[piece] as number)),
      bytesBefore: this.#bytesBefore[piece] as number,
      isPulled: this.#isPulled[piece] === 1
    }
  }

  /** The neighbour is no longer expected to send the piece; a second one asked takes its place. */
  release(neighbour: Neighbour, piece: number): void {
    if (this.#alsoFrom[piece] === neighbour.slot) {
      this.#endSecond(piece)
      this.#refund(neighbour, piece)
      return
    }
    if (this.#from[piece] !== neighbour.slot) return
    this.#refund(neighbour, piece)
    this.#from[piece] = this.#alsoFrom[piece] as number
    const second = this.#secondSince.get(piece)
    if (second === undefined) {
      this.#pending.delete(piece)
      return
    }
    this.#sinceMs[piece] = second.sinceMs
    this.#bytesBefore[piece] = second.bytesBefore
    this.#isPulled[piece] = 1
    this.#endSecond(piece)
  }

  /**
   * The neighbour first asked is not expected to send the piece any more, and is told; a second one asked
   * takes its place.
   */
  withdrawFirst(piece: number): void {
    const first = this.senderOf(piece)
    if (first === undefined) return
    this.release(first, piece)
    this.#state.send(first, { type: 'cancel', pieces: [piece] })
  }

  /**
   * Nobody is expected to send the piece any more; all that were are told, but for `sender`, which just sent
   * it.
   */
  withdraw(piece: number, sender?: Neighbour): void {
    for (const slot of [this.#alsoFrom[piece] as number, this.#from[piece] as number]) {
      if (slot === NOBODY) continue
      const neighbour = this.#state.neighbours[slot] as Neighbour
      this.release(neighbour, piece)
      if (neighbour !== sender) this.#state.send(neighbour, { type: 'cancel', pieces: [piece] })
    }
  }

  /** Ends everything with this neighbour; returns the pieces that nobody is expected to send now. */
  forget(neighbour: Neighbour): number[] {
    const orphans: number[] = []
    if (neighbour.download.pending > 0) {
      for (const piece of this.#pending) {
        if (!this.isExpectedFrom(neighbour, piece)) continue
        this.release(neighbour, piece)
        if (!this.isExpected(piece)) orphans.push(piece)
      }
    }
    this.#asked[neighbour.slot] = undefined
    return orphans
  }

  assertInvariants(): void {
    const pending = new Map<number, number>()
    let seconds = 0
    for (const piece of this.#pending) {
      if (this.#state.status[piece] !== MISSING) throw new Error(`piece ${piece} is pending and not missing`)
      if (this.#from[piece] === NOBODY) throw new Error(`piece ${piece} is pending from nobody`)
      if (this.#alsoFrom[piece] !== NOBODY) seconds++
      for (const slot of [this.#from[piece] as number, this.#alsoFrom[piece] as number]) {
        if (slot === NOBODY) continue
        if (this.#state.neighbours[slot] === undefined) throw new Error(`piece ${piece} is expected from an empty slot`)
        pending.set(slot, (pending.get(slot) ?? 0) + 1)
        if (this.#asked[slot]?.has(piece) !== true) throw new Error(`piece ${piece} is expected and was not asked for`)
      }
    }
    if (seconds !== this.#seconds) throw new Error('second requests are counted wrongly')
    const { marks, neighbours } = this.#state
    for (const neighbour of neighbours) {
      if (neighbour === undefined) continue
      const { slot, download } = neighbour
      if ((pending.get(slot) ?? 0) !== download.pending) throw new Error(`requests at ${neighbour.key} are counted wrongly`)
      if (marks.askedOf.has(slot) !== download.pending > 0) throw new Error(`${neighbour.key} is marked wrongly`)
    }
  }

  #ask(neighbour: Neighbour, piece: number, nowMs: number): void {
    neighbour.download.pending++
    let asked = this.#asked[neighbour.slot]
    if (asked === undefined) {
      asked = new Map()
      this.#asked[neighbour.slot] = asked
    }
    asked.set(piece, nowMs)
    const bytes = this.#state.geometry.pieceBytes(piece)
    for (const budget of this.#budgets) budget.spend(bytes, nowMs)
  }

  #endSecond(piece: number): void {
    this.#alsoFrom[piece] = NOBODY
    this.#secondSince.delete(piece)
    this.#seconds--
  }

  /** What was set aside for the request is free (an arriving piece is charged on arrival). */
  #refund(neighbour: Neighbour, piece: number): void {
    neighbour.download.pending--
    const bytes = this.#state.geometry.pieceBytes(piece)
    for (const budget of this.#budgets) budget.refund(bytes)
  }
}
