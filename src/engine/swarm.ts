/**
 * The engine: all peers sharing one content, as one peer sees them. Decides who is asked for what, who is
 * served next, who is dialled, dropped or banned. The contract is contract.ts; docs/SCHEDULING.md explains
 * the choices.
 *
 * Synchronous and pure: no I/O, no clock, no ambient randomness, no payload bytes. The real node (src/node)
 * and the simulator (src/sim) drive this same class: every input goes through {@link Swarm.handle}, every
 * wish comes back as an output, and at or after {@link Swarm.deadlineMs} a `tick` is due. Given equal inputs,
 * times and seed it gives equal outputs.
 *
 * Everything is bounded: neighbours, candidates, bans, offers, queued requests, pieces in flight, pieces
 * pending, readers.
 */

import type { Bitfield } from '../content/bitfield.ts'
import type { Geometry } from '../content/geometry.ts'
import type { Random } from '../util/random.ts'
import { RateBudget } from '../util/rate-budget.ts'
import type { Input, Limits, Output, PeerKey } from './contract.ts'
import { Conversation } from './conversation.ts'
import { Announcing } from './discovery/announcing.ts'
import { Membership } from './discovery/membership.ts'
import { PeerSet } from './discovery/neighbours.ts'
import { PieceConnections } from './discovery/piece-connections.ts'
import { Welcome } from './discovery/welcome.ts'
import { Downloader } from './download/downloader.ts'
import { News } from './news.ts'
import { type EngineOptions, resolveEngineOptions } from './options.ts'
import { OriginShare } from './origin/share.ts'
import { PieceEvents } from './pieces/events.ts'
import { assertPieces, recordWanted } from './pieces/ledger.ts'
import { isAnyoneInNeed, type SwarmSnapshot, takeSnapshot } from './snapshot.ts'
import { SwarmState } from './state.ts'
import { ENGINE } from './tunables.ts'
import { Uploader } from './upload/uploader.ts'

export interface SwarmInit {
  readonly geometry: Geometry
  /** Verified pieces at hand; the engine keeps and changes it. */
  readonly have: Bitfield
  readonly options?: Partial<EngineOptions>
  /** Our own labels (host, rack, zone, region), to prefer near neighbours. */
  readonly labels?: Readonly<Record<string, string>>
  readonly random: Random
  readonly nowMs: number
  /** Budgets shared with other swarms of the node. */
  readonly uploadBudget?: RateBudget
  readonly downloadBudget?: RateBudget
}

type PeerInput = Extract<
  Input,
  {
    type:
      | 'messageReceived'
      | 'peerJoined'
      | 'peerLeft'
      | 'peerDiscovered'
      | 'dialFailed'
      | 'pieceConnectionFailed'
      | 'availabilityGossiped'
      | 'rttMeasured'
  }
>
type SurroundingsInput = Extract<
  Input,
  { type: 'originChanged' | 'originReceived' | 'originFailed' | 'searchEnded' | 'bootstrapAnswered' | 'announced' }
>
type WishInput = Extract<
  Input,
  { type: 'wantedChanged' | 'readerMoved' | 'readerLeft' | 'limitsChanged' | 'paused' | 'resumed' | 'leaving' }
>

const NOTHING: readonly Output[] = Object.freeze([])

export class Swarm {
  readonly #state: SwarmState
  readonly #peers: PeerSet
  readonly #uploader: Uploader
  readonly #downloader: Downloader
  readonly #origin: OriginShare
  readonly #news: News
  readonly #welcome: Welcome
  readonly #membership: Membership
  readonly #conversation: Conversation
  readonly #pieceEvents: PieceEvents
  readonly #announcing: Announcing
  readonly #pieceConnections = new PieceConnections()
  readonly #uploadBudget: RateBudget
  readonly #downloadBudget: RateBudget
  #housekeepMs: number
  #forgetMs: number
  #decayMs: number
  #nowMs: number

  constructor({ geometry, have, options, labels = {}, random, nowMs, uploadBudget, downloadBudget }: SwarmInit) {
    const resolved = resolveEngineOptions(options)
    if (have.size !== geometry.pieceCount) throw new RangeError(`bitfield of ${have.size} for ${geometry.pieceCount} pieces`)
    const state = new SwarmState(geometry, have, resolved)
    this.#state = state
    this.#welcome = new Welcome(state, random.fork('swarm'))
    this.#uploadBudget = new RateBudget(resolved.uploadBytesPerSecond, nowMs)
    this.#downloadBudget = new RateBudget(resolved.downloadBytesPerSecond, nowMs)
    const uploadBudgets = uploadBudget === undefined ? [this.#uploadBudget] : [this.#uploadBudget, uploadBudget]
    const downloadBudgets = downloadBudget === undefined ? [this.#downloadBudget] : [this.#downloadBudget, downloadBudget]
    this.#peers = new PeerSet(state, random.fork('peers'), labels, () => this.#uploader.pieceMs, nowMs)
    this.#uploader = new Uploader(state, random.fork('uploader'), uploadBudgets, nowMs)
    this.#downloader = new Downloader(state, random.fork('downloader'), downloadBudgets, nowMs)
    this.#origin = new OriginShare(state, this.#downloader, downloadBudgets, this.#peers, nowMs)
    this.#news = new News(state, this.#downloader)
    this.#membership = new Membership({ ...this.#parts, welcome: this.#welcome, pieceConnections: this.#pieceConnections })
    this.#pieceEvents = new PieceEvents({
      ...this.#parts,
      news: this.#news,
      pieceConnections: this.#pieceConnections,
      membership: this.#membership
    })
    this.#conversation = new Conversation({ ...this.#parts, membership: this.#membership })
    this.#housekeepMs = nowMs
    this.#forgetMs = nowMs + ENGINE.FORGET_MS
    this.#decayMs = nowMs
    this.#nowMs = nowMs
    this.#announcing = new Announcing({
      isOfUse: have.count > 0,
      random: random.fork('announcing'),
      nowMs,
      emit: output => state.emit(output),
      onLooked: (isFinal, lookedMs) => this.#origin.handleSearched(isFinal, lookedMs)
    })
  }

  get #parts() {
    return {
      state: this.#state,
      peers: this.#peers,
      uploader: this.#uploader,
      downloader: this.#downloader,
      origin: this.#origin
    }
  }

  /** The only mutator. `nowMs` never goes back; a smaller value counts as the last one. */
  handle(input: Input, nowMs: number): readonly Output[] {
    const now = Math.max(nowMs, this.#nowMs)
    this.#nowMs = now
    const state = this.#state
    // What neighbours have and expect is most of what is ever handed in, and mostly nothing follows from it.
    if (input.type === 'messageReceived' && now < this.#housekeepMs) {
      const neighbour = state.neighbourOf.get(input.peer)
      if (neighbour === undefined || !this.#conversation.hear(neighbour, input.message, now)) return NOTHING
    } else this.#handle(input, now)
    if (now >= this.#housekeepMs) this.#housekeep(now)
    this.#news.tell(now)
    this.#downloader.advance(now)
    this.#origin.advance(now)
    this.#uploader.advance(now)
    if (state.outputs.length === 0) return NOTHING
    const { outputs } = state
    state.outputs = []
    return outputs
  }

  /** When to hand in a `tick`, on the clock of `handle`. Undefined: never needed. */
  deadlineMs(): number | undefined {
    return Math.min(this.#housekeepMs, this.#uploader.wakeMs, this.#downloader.wakeMs, this.#origin.wakeMs, this.#news.wakeMs)
  }

  /** Whether a peer that dials us would be taken in now. */
  accepts(peer: PeerKey, nowMs: number): boolean {
    return this.#welcome.hears(peer, nowMs) && this.#peers.accepts(peer, nowMs)
  }

  /** Whether some neighbour still lacks a piece that we have. */
  isNeeded(): boolean {
    return isAnyoneInNeed(this.#state)
  }

  /** Neighbours that hold each piece. */
  holders(): number[] {
    return this.#state.table.holders()
  }

  snapshot(): SwarmSnapshot {
    const isDownloadLimited = !this.#downloadBudget.canSpend(this.#nowMs)
    return takeSnapshot({ ...this.#parts, isDownloadLimited, nowMs: this.#nowMs })
  }

  /** Throws when an internal invariant is broken. Slow: for tests and the simulator. */
  assertInvariants(): void {
    const state = this.#state
    state.table.assertInvariants()
    this.#peers.assertInvariants()
    this.#uploader.assertInvariants()
    this.#downloader.assertInvariants()
    this.#origin.assertInvariants()
    assertPieces(state)
  }

  #handle(input: Input, nowMs: number): void {
    switch (input.type) {
      case 'tick':
        return
      case 'pieceReceived':
      case 'pieceVerified':
      case 'pieceCorrupt':
      case 'pieceLost':
      case 'pieceServed':
      case 'storeFailed':
      case 'storeRecovered':
        this.#pieceEvents.handle(input, nowMs)
        return
      case 'messageReceived':
      case 'peerJoined':
      case 'peerLeft':
      case 'peerDiscovered':
      case 'dialFailed':
      case 'pieceConnectionFailed':
      case 'availabilityGossiped':
      case 'rttMeasured':
        this.#handlePeers(input, nowMs)
        return
      case 'originChanged':
      case 'originReceived':
      case 'originFailed':
      case 'searchEnded':
      case 'bootstrapAnswered':
      case 'announced':
        this.#handleSurroundings(input, nowMs)
        return
      case 'wantedChanged':
      case 'readerMoved':
      case 'readerLeft':
      case 'limitsChanged':
      case 'paused':
      case 'resumed':
      case 'leaving':
        this.#handleWishes(input, nowMs)
    }
  }

  /** What peers did and said. */
  #handlePeers(input: PeerInput, nowMs: number): void {
    const state = this.#state
    switch (input.type) {
      case 'messageReceived':
        this.#conversation.hearFrom(input, nowMs)
        return
      case 'peerJoined':
        this.#membership.handleJoined(input, nowMs)
        return
      case 'peerLeft': {
        const neighbour = state.neighbourOf.get(input.peer)
        if (neighbour !== undefined) this.#membership.forget(neighbour, nowMs)
        return
      }
      case 'peerDiscovered':
        this.#peers.discovered(input.peer, input.source, input.seeder, nowMs)
        this.#housekeepMs = Math.min(this.#housekeepMs, nowMs + 10)
        return
      case 'dialFailed':
        this.#peers.dialFailed(input.peer, nowMs)
        return
      case 'pieceConnectionFailed':
        if (state.neighbourOf.has(input.peer)) this.#pieceConnections.handleFailed(input.peer, nowMs)
        return
      case 'availabilityGossiped':
        if (input.have.size === state.geometry.pieceCount) {
          this.#peers.discovered(input.peer, 'gossip', input.have.isFull, nowMs)
        }
        return
      case 'rttMeasured': {
        const neighbour = state.neighbourOf.get(input.peer)
        if (neighbour !== undefined) neighbour.rttMs = input.rttMs
        return
      }
    }
  }

  /** What origin, DHT and gossip brought. */
  #handleSurroundings(input: SurroundingsInput, nowMs: number): void {
    switch (input.type) {
      case 'originChanged':
        this.#origin.handleChanged(input, nowMs)
        if (input.state === 'open') this.#announcing.handleOriginOpened()
        this.#housekeepMs = Math.min(this.#housekeepMs, nowMs + 10)
        return
      case 'originReceived':
        this.#origin.handleReceived(input.piece, nowMs)
        return
      case 'originFailed':
        this.#origin.handleFailed(input.pieces, input.retryMs, nowMs)
        return
      case 'searchEnded':
        this.#announcing.handleSearchEnded(input.couldAsk, input.mayTurnUp, nowMs)
        break
      case 'bootstrapAnswered':
        this.#announcing.handleBootstrapAnswered()
        break
      case 'announced':
        this.#announcing.handleAnnounced()
    }
    this.#housekeepMs = nowMs
  }

  /** What our user wants. */
  #handleWishes(input: WishInput, nowMs: number): void {
    const state = this.#state
    switch (input.type) {
      case 'wantedChanged':
        this.#handleWanted(input.wanted)
        return
      case 'readerMoved':
        this.#handleReader(input.reader, input.first, input.last, nowMs)
        return
      case 'readerLeft':
        this.#downloader.readers.delete(input.reader)
        return
      case 'limitsChanged':
        this.#handleLimits(input.limits, nowMs)
        return
      case 'paused':
        state.isPaused = true
        this.#origin.cancelAll()
        this.#downloader.cancelAll()
        this.#uploader.rejectAll()
        return
      case 'resumed':
        state.isPaused = false
        return
      case 'leaving':
        state.isLeaving = true
        this.#origin.cancelAll()
        this.#downloader.cancelAll()
        this.#uploader.rejectAll()
        state.emit({ type: 'withdraw' })
        return
    }
  }

  #handleWanted(wanted: Bitfield | undefined): void {
    const state = this.#state
    const wasComplete = state.isComplete
    recordWanted(state, wanted)
    this.#downloader.cancelUnwanted()
    this.#origin.cancelAll()
    if (!wasComplete && state.isComplete) state.emit({ type: 'completed' })
  }

  #handleReader(reader: string, first: number, last: number, nowMs: number): void {
    const { pieceCount } = this.#state.geometry
    if (!(first >= 0 && first <= last && first < pieceCount)) return
    this.#downloader.handleReaderMoved(reader, Math.floor(first), Math.min(Math.floor(last), pieceCount - 1), nowMs)
  }

  #handleLimits(limits: Partial<Limits>, nowMs: number): void {
    const state = this.#state
    state.options = resolveEngineOptions({ ...state.options, ...limits })
    this.#uploadBudget.setRate(state.options.uploadBytesPerSecond, nowMs)
    this.#downloadBudget.setRate(state.options.downloadBytesPerSecond, nowMs)
    const surplus = Math.max(0, state.neighbourOf.size - state.options.maxNeighbours)
    const newest = [...state.neighbourOf.values()].reverse()
    for (const neighbour of newest.slice(0, surplus)) this.#membership.disconnect(neighbour, 'fewer neighbours allowed', 0, nowMs)
  }

  #housekeep(nowMs: number): void {
    const state = this.#state
    const lateMs = nowMs - this.#housekeepMs
    this.#housekeepMs = nowMs + ENGINE.HOUSEKEEPING_MS
    this.#pieceConnections.handleHousekeeping(lateMs)
    this.#downloader.housekeep(nowMs)
    this.#origin.housekeep(nowMs, lateMs)
    this.#uploader.housekeep(nowMs)
    for (const neighbour of this.#downloader.takeTimedOut()) {
      if (neighbour.download.timeoutsInRow >= ENGINE.MAX_TIMEOUTS)
        this.#membership.disconnect(neighbour, 'it does not send what it should', 0, nowMs)
    }
    this.#peers.housekeep(nowMs)
    if (nowMs >= this.#forgetMs) {
      this.#forgetMs = nowMs + ENGINE.FORGET_MS
      this.#uploader.forgetExpectations()
    }
    if (state.options.peerOrder === 'tit-for-tat' && nowMs - this.#decayMs >= 1000) {
      this.#decayMs = nowMs
      for (const neighbour of state.neighbours) if (neighbour !== undefined) neighbour.download.recentBytes *= ENGINE.RECENT_SHARE
    }
    this.#announcing.housekeep(
      {
        neighbours: state.neighbourOf.size,
        hasUntried: this.#peers.hasUntried,
        lacksPeers: this.#peers.lacksPeers,
        isStranded: this.#peers.isStranded(nowMs),
        have: state.have,
        isComplete: state.isComplete,
        isIdle: state.isLeaving || state.isPaused
      },
      state.options.gossipIntervalMs,
      nowMs
    )
  }
}
