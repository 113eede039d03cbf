/**
 * Asking without an offer: for readers, for what a sender failed to send, from peers that never offer, and
 * when nothing comes at all.
 *
 * Second requests and orphans go to neighbours that have delivered before, as long as there are any. Used by
 * downloader.ts.
 */

import { MAX_PIECES_PER_MESSAGE, perMessage } from '../../wire/messages.ts'
import type { Neighbour } from '../neighbour.ts'
import { MISSING } from '../state.ts'
import { type PiecePicker, piecePicker } from '../strategies.ts'
import { CHOICE, PATIENCE, PULL, READER } from '../tunables.ts'
import type { DownloadParts } from './parts.ts'
import type { Reader } from './readers.ts'

export class Puller {
  readonly #parts: DownloadParts
  readonly #pickPiece: PiecePicker
  /**
   * Pieces whose sender failed us. Others were told that we expect them and will not offer them for long, so
   * we ask by ourselves.
   */
  readonly #orphans = new Set<number>()
  /** When we last asked because nothing came. */
  #starvedMs = Number.NEGATIVE_INFINITY
  /** Whether any neighbour ever sent what we asked for without an offer. */
  #hasPulled = false
  /** When {@link advance} has something to do although nothing arrives. */
  wakeMs = Number.POSITIVE_INFINITY

  constructor(parts: DownloadParts) {
    this.#parts = parts
    const { state, random } = parts
    this.#pickPiece = piecePicker('missing', state.options, state.table, random)
  }

  /** A piece came that was asked for without an offer. */
  recordArrival({ download }: Neighbour): void {
    download.pulledPieces++
    this.#hasPulled = true
  }

  recordOrphan(piece: number): void {
    this.#orphans.add(piece)
  }

  /** Nobody was asked for it, and the origin is not about to give it. */
  isFree(piece: number, nowMs: number): boolean {
    const { ledger, state } = this.#parts
    if (ledger.isExpected(piece)) return false
    const sinceMs = state.comingFromOrigin.get(piece)
    return sinceMs === undefined || nowMs - sinceMs >= PATIENCE.ORIGIN_LATE_MS
  }

  advance(nowMs: number): void {
    const { state } = this.#parts
    if (this.#orphans.size > 0) this.#pullOrphans(nowMs)
    if (state.options.offers) return
    for (const neighbour of state.neighbours) if (neighbour !== undefined) this.#pullFrom(neighbour, PULL.ONLY_DEPTH, nowMs)
  }

  /** Keeps a peer that only answers requests busy as its pieces arrive. */
  pullNext(neighbour: Neighbour, nowMs: number): void {
    const { options } = this.#parts.state
    const { pulledPieces, lastOfferMs } = neighbour.download
    // For readers we turn offers down, so that silence then means nothing.
    if (this.#parts.readers.size > 0 || !options.offers || pulledPieces === 0) return
    if (nowMs - lastOfferMs > options.starvedMs) this.#pullFrom(neighbour, this.#depthOf(neighbour), nowMs)
  }

  /** The same for all of them, several times a second. */
  pullFromRequestOnly(nowMs: number): void {
    if (!this.#hasPulled) return
    for (const neighbour of this.#parts.state.neighbours) if (neighbour !== undefined) this.pullNext(neighbour, nowMs)
  }

  /**
   * Nothing has come for `quietMs`: asks for the rarest pieces that anybody has, a few each time that
   * patience lasts.
   */
  pullStarved(quietMs: number, patienceMs: number, nowMs: number): void {
    if (Math.min(quietMs, nowMs - this.#starvedMs) < patienceMs) return
    this.#starvedMs = nowMs
    const { state, random, demand } = this.#parts
    const { missing } = state.table
    const first = missing.startOf(1)
    let pulls = 0
    for (let looks = 0; looks < Math.min(missing.size - first, CHOICE.MAX_LOOKS) && pulls < PULL.STARVED_PULLS; looks++) {
      // At random among the rarest: everybody starved at once must not ask for the same piece.
      const level = state.table.holdersOf(missing.at(first + looks))
      const end = missing.startOf(level + 1)
      const piece = missing.at(first + looks + random.nextInt(end - first - looks))
      if (!this.isFree(piece, nowMs) || !demand.hasRoom(piece, nowMs) || !demand.maySpend(nowMs)) continue
      if (this.#ask(piece, nowMs, false)) pulls++
    }
  }

  /** Asks somebody that has delivered before instead of a sender that never did. False: there is nobody. */
  replaceSender(piece: number, nowMs: number): boolean {
    const { ledger, model, state } = this.#parts
    const holder = this.#pickHolder(piece, ledger.senderOf(piece), nowMs)
    if (holder?.download.isProven !== true) return false
    ledger.withdraw(piece)
    ledger.recordRequest(holder, piece, true, model.receivedBytes, nowMs)
    state.send(holder, { type: 'request', pieces: [piece], urgent: false })
    return true
  }

  /** Asks a second neighbour for a piece that is late. */
  askSecond(piece: number, nowMs: number): void {
    const { ledger, model, readers, state } = this.#parts
    if (ledger.seconds >= PULL.MAX_SECONDS) return
    const second = this.#pickHolder(piece, ledger.senderOf(piece), nowMs)
    if (second === undefined) return
    ledger.recordSecond(second, piece, model.receivedBytes, nowMs)
    state.send(second, { type: 'request', pieces: [piece], urgent: readers.want(piece) })
  }

  pullForReaders(nowMs: number): void {
    const { readers, state } = this.#parts
    // Every reader's next piece before anybody's second, so that a limit is shared fairly among them.
    for (let ahead = 0; ahead < READER.AHEAD_PIECES; ahead++) {
      for (const reader of readers.all()) {
        const piece = reader.first + ahead
        if (reader.isStarting && state.status[reader.first] !== MISSING) reader.isStarting = false
        if (piece > readers.lastWanted(reader) || state.status[piece] !== MISSING || !state.wants(piece)) continue
        if (!this.#pullForReader(reader, piece, ahead, nowMs)) return
      }
    }
  }

  /** False when nothing more may be asked for now. */
  #pullForReader(reader: Reader, piece: number, ahead: number, nowMs: number): boolean {
    const { ledger, model, demand, state } = this.#parts
    const sender = ledger.senderOf(piece)
    if (sender !== undefined) {
      // The reader's next piece is worth a second request when its sender is slow.
      const { serviceMs } = sender.download
      const typicalMs = serviceMs === 0 ? model.typicalMs : Math.min(serviceMs, model.typicalMs)
      const usualMs = typicalMs === 0 ? PATIENCE.MIN_LATE_MS : 1.5 * typicalMs
      const isLate = nowMs - ledger.sinceMs(piece) >= usualMs
      if (piece === reader.first && isLate && !ledger.hasSecond(piece)) this.askSecond(piece, nowMs)
      return true
    }
    if (!this.isFree(piece, nowMs)) return true
    // More than the downlink takes would only come before what is needed first.
    if (ahead > 0 && ledger.pending.size >= demand.limitPieces) return false
    const holder = this.#pickHolder(piece, undefined, nowMs)
    if (holder === undefined || holder.download.pending >= Math.max(READER.DEPTH, this.#depthOf(holder))) return true
    // A reader goes first, but within the limit: we come back when some of it is free again.
    if (!demand.maySpend(nowMs)) {
      this.wakeMs = Math.min(this.wakeMs, demand.spendableMs(nowMs))
      return false
    }
    ledger.recordRequest(holder, piece, true, model.receivedBytes, nowMs)
    state.send(holder, { type: 'request', pieces: [piece], urgent: true })
    return true
  }

  /** Requests that a peer which does not offer may hold at once. */
  #depthOf({ download }: Neighbour): number {
    return Math.min(download.credit, 1 + download.pulledPieces, PULL.MAX_DEPTH)
  }

  #ask(piece: number, nowMs: number, isUrgent: boolean): boolean {
    const { ledger, model, state } = this.#parts
    const holder = this.#pickHolder(piece, undefined, nowMs)
    if (holder === undefined) return false
    ledger.recordRequest(holder, piece, true, model.receivedBytes, nowMs)
    state.send(holder, { type: 'request', pieces: [piece], urgent: isUrgent })
    return true
  }

  /** The holder that should deliver soonest; one that has delivered before goes before all others. */
  #pickHolder(piece: number, except: Neighbour | undefined, nowMs: number): Neighbour | undefined {
    const { state, ledger, random } = this.#parts
    let best: Neighbour | undefined
    let bestMs = Number.POSITIVE_INFINITY
    let ties = 0
    for (const neighbour of state.neighbours) {
      if (neighbour === undefined || neighbour === except || neighbour.download.chokedUntilMs > nowMs) continue
      if (!state.table.slotHolds(neighbour.slot, piece) || nowMs - ledger.askedMs(neighbour, piece) < PULL.ASK_AGAIN_MS) continue
      const { serviceMs, pending, timeoutsInRow, isProven } = neighbour.download
      // A request waits behind the pieces that we are sending it.
      const before = pending + neighbour.upload.inFlight
      const ms = (isProven ? serviceMs : PULL.UNPROVEN_MS) * (1 + before) * (1 + timeoutsInRow)
      if (ms < bestMs) {
        best = neighbour
        bestMs = ms
        ties = 1
      } else if (ms === bestMs && random.nextInt(++ties) === 0) best = neighbour
    }
    return best
  }

  /** Asks others for what senders failed to send. What nobody else has is left for offers. */
  #pullOrphans(nowMs: number): void {
    const { state, demand, ledger, model } = this.#parts
    let batches: Map<Neighbour, number[]> | undefined
    for (const piece of this.#orphans) {
      const isWanted = state.status[piece] === MISSING && state.wants(piece) && this.isFree(piece, nowMs)
      if (isWanted && !demand.hasRoom(piece, nowMs)) break
      const holder = isWanted ? this.#pickHolder(piece, undefined, nowMs) : undefined
      if (holder !== undefined && !demand.maySpend(nowMs)) {
        this.wakeMs = Math.min(this.wakeMs, demand.spendableMs(nowMs))
        break
      }
      this.#orphans.delete(piece)
      if (holder === undefined) continue
      ledger.recordRequest(holder, piece, true, model.receivedBytes, nowMs)
      batches ??= new Map()
      const batch = batches.get(holder)
      if (batch === undefined) batches.set(holder, [piece])
      else batch.push(piece)
    }
    if (batches === undefined) return
    for (const [holder, pieces] of batches) {
      for (const list of perMessage(pieces)) state.send(holder, { type: 'request', pieces: list, urgent: false })
    }
  }

  /** Fills this peer's pipeline up to `depth` with the rarest pieces that it has. */
  #pullFrom(neighbour: Neighbour, depth: number, nowMs: number): void {
    const { state, demand, ledger, model } = this.#parts
    const { download, slot } = neighbour
    if (download.pending >= depth || !neighbour.isKnown || download.chokedUntilMs > nowMs) return
    const pieces: number[] = []
    while (download.pending < depth && pieces.length < MAX_PIECES_PER_MESSAGE) {
      const piece = this.#pickPiece(each => this.isFree(each, nowMs) && state.table.slotHolds(slot, each))
      if (piece < 0 || !demand.hasRoom(piece, nowMs) || !demand.maySpend(nowMs)) break
      ledger.recordRequest(neighbour, piece, true, model.receivedBytes, nowMs)
      pieces.push(piece)
    }
    if (pieces.length > 0) state.send(neighbour, { type: 'request', pieces, urgent: false })
  }
}
