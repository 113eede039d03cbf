/**
 * The engine: all peers sharing one content, as one peer sees them. Decides who is asked for what, who is served next, who is dialled,
 * dropped or banned. The contract is contract.ts; docs/SCHEDULING.md explains the choices.
 *
 * Synchronous and pure: no I/O, no clock, no ambient randomness, no payload bytes. The real node (src/node) and the simulator
 * (src/sim) drive this same class: every input goes through {@link Swarm.handle}, every wish comes back as an output, and at or after
 * {@link Swarm.deadlineMs} a `tick` is due. Given equal inputs, times and seed it gives equal outputs.
 *
 * Everything is bounded: neighbours, candidates, bans, offers, queued requests, pieces in flight, pieces pending, readers.
 */

import { Bitfield } from '../content/bitfield.ts'
import type { Geometry } from '../content/geometry.ts'
import type { Random } from '../util/random.ts'
import { RateBudget } from '../util/rate-budget.ts'
import { MAX_PIECES_PER_MESSAGE, type Message, type ToldPeer } from '../wire/messages.ts'
import type { Input, Limits, Output, PeerKey } from './contract.ts'
import { Announcing } from './discovery/announcing.ts'
import { distanceOf, FARTHEST } from './discovery/locality.ts'
import { PeerSet } from './discovery/neighbours.ts'
import { PieceConnections } from './discovery/piece-connections.ts'
import { Downloader } from './download/downloader.ts'
import type { Neighbour } from './neighbour.ts'
import { type EngineOptions, resolveEngineOptions } from './options.ts'
import { OriginShare } from './origin/share.ts'
import type { SwarmSnapshot } from './snapshot.ts'
import { HAVE, MISSING, SwarmState, VERIFYING } from './state.ts'
import { ENGINE } from './tunables.ts'
import { Uploader } from './upload/uploader.ts'
import { describeWait } from './wait-reason.ts'

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

const NOTHING: readonly Output[] = Object.freeze([])

export class Swarm {
  readonly #state: SwarmState
  readonly #peers: PeerSet
  readonly #uploader: Uploader
  readonly #downloader: Downloader
  readonly #origin: OriginShare
  readonly #announcing: Announcing
  readonly #pieceConnections = new PieceConnections()
  readonly #random: Random
  /** Who found no room here, the newest last. */
  readonly #turnedAway = new Map<PeerKey, number>()
  readonly #uploadBudget: RateBudget
  readonly #downloadBudget: RateBudget
  #newHaves: number[] = []
  #havesSentMs = Number.NEGATIVE_INFINITY
  #housekeepMs: number
  #forgetMs: number
  /** Pieces that we had and lost. */
  #lost = 0
  #decayMs: number
  #nowMs: number

  constructor({ geometry, have, options, labels = {}, random, nowMs, uploadBudget, downloadBudget }: SwarmInit) {
    const resolved = resolveEngineOptions(options)
    if (have.size !== geometry.pieceCount) throw new RangeError(`bitfield of ${have.size} for ${geometry.pieceCount} pieces`)
    const state = new SwarmState(geometry, have, resolved)
    this.#state = state
    this.#random = random.fork('swarm')
    this.#uploadBudget = new RateBudget(resolved.uploadBytesPerSecond, nowMs)
    this.#downloadBudget = new RateBudget(resolved.downloadBytesPerSecond, nowMs)
    const uploadBudgets = uploadBudget === undefined ? [this.#uploadBudget] : [this.#uploadBudget, uploadBudget]
    const downloadBudgets = downloadBudget === undefined ? [this.#downloadBudget] : [this.#downloadBudget, downloadBudget]
    this.#peers = new PeerSet(state, random.fork('peers'), labels, () => this.#uploader.pieceMs, nowMs)
    this.#uploader = new Uploader(state, random.fork('uploader'), uploadBudgets, nowMs)
    this.#downloader = new Downloader(state, random.fork('downloader'), downloadBudgets, nowMs)
    this.#origin = new OriginShare(state, this.#downloader, downloadBudgets, this.#peers, nowMs)
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

  /** The only mutator. `nowMs` never goes back; a smaller value counts as the last one. */
  handle(input: Input, nowMs: number): readonly Output[] {
    const now = Math.max(nowMs, this.#nowMs)
    this.#nowMs = now
    const state = this.#state
    // What neighbours have and expect is most of what is ever handed in, and mostly nothing follows from it.
    if (input.type === 'messageReceived' && now < this.#housekeepMs) {
      const neighbour = state.neighbourOf.get(input.peer)
      if (neighbour === undefined || !this.#handleMessage(neighbour, input.message, now)) return NOTHING
    } else this.#handle(input, now)
    if (now >= this.#housekeepMs) this.#housekeep(now)
    this.#flushHaves(now)
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
    let deadline = Math.min(this.#housekeepMs, this.#uploader.wakeMs, this.#downloader.wakeMs, this.#origin.wakeMs)
    if (this.#newHaves.length > 0) deadline = Math.min(deadline, this.#havesSentMs + this.#state.options.haveBatchMs)
    return deadline
  }

  /** Whether a peer that dials us would be taken in now. */
  accepts(peer: PeerKey, nowMs: number): boolean {
    const turnedAwayMs = this.#turnedAway.get(peer) ?? Number.NEGATIVE_INFINITY
    return nowMs >= turnedAwayMs + ENGINE.TURNED_AWAY_MS && this.#peers.accepts(peer, nowMs)
  }

  /** Whether some neighbour still lacks a piece that we have. */
  isNeeded(): boolean {
    const { table, neighbours, have } = this.#state
    for (const neighbour of neighbours) {
      if (neighbour === undefined) continue
      if (!neighbour.isKnown || neighbour.upload.underWay > 0) return true
      if ((table.held[neighbour.slot] as number) < have.count) return true
      for (let index = 0; index < table.own.size; index++) {
        if (!table.slotHolds(neighbour.slot, table.own.at(index))) return true
      }
    }
    return false
  }

  /** Neighbours that hold each piece. */
  holders(): number[] {
    const { table } = this.#state
    return Array.from({ length: table.pieceCount }, (_, piece) => table.holdersOf(piece))
  }

  snapshot(): SwarmSnapshot {
    const state = this.#state
    const { table } = state
    let rarest = Number.POSITIVE_INFINITY
    for (let index = 0; index < table.missing.size; index++) {
      rarest = Math.min(rarest, table.holdersOf(table.missing.at(index)))
    }
    const peers = []
    for (const neighbour of state.neighbours) {
      if (neighbour === undefined) continue
      peers.push({
        peer: neighbour.key,
        piecesHeld: table.held[neighbour.slot] as number,
        pending: neighbour.download.pending,
        offered: neighbour.upload.offered,
        queued: neighbour.upload.queued + neighbour.upload.wishes.size,
        inFlight: neighbour.upload.inFlight,
        bytesDownloaded: neighbour.download.bytesDownloaded,
        bytesUploaded: neighbour.upload.bytesUploaded,
        rttMs: neighbour.rttMs,
        labels: neighbour.labels
      })
    }
    return {
      pieceCount: state.geometry.pieceCount,
      piecesHeld: state.have.count,
      piecesMissing: state.wantedMissing,
      isComplete: state.isComplete,
      isPaused: state.isPaused,
      isLeaving: state.isLeaving,
      neighbours: state.neighbourOf.size,
      candidates: this.#peers.candidateCount,
      dialling: this.#peers.diallingCount,
      pending: this.#downloader.pendingPieces,
      verifying: state.verifying,
      offersOut: this.#uploader.offersOut,
      queued: this.#uploader.waiting,
      inFlight: this.#uploader.inFlight,
      window: this.#uploader.windowPieces,
      bytesDownloaded: this.#downloader.bytesDownloaded,
      bytesUploaded: this.#uploader.bytesUploaded,
      bytesWasted: this.#downloader.bytesWasted,
      bytesFromOrigin: this.#origin.bytesFetched,
      comingFromOrigin: state.comingFromOrigin.size,
      keepers: this.#origin.keepers.peers,
      isKeeper: this.#origin.isKeeper,
      rarestHolders: rarest === Number.POSITIVE_INFINITY ? undefined : rarest,
      peers,
      waitingFor: describeWait({
        state,
        pending: this.#downloader.pendingPieces,
        hasReaders: this.#downloader.readers.size > 0,
        candidates: this.#peers.candidateCount,
        dialling: this.#peers.diallingCount,
        isDownloadLimited: !this.#downloadBudget.canSpend(this.#nowMs),
        sincePieceMs: this.#nowMs - this.#downloader.lastPieceMs
      })
    }
  }

  /** Throws when an internal invariant is broken. Slow: for tests and the simulator. */
  assertInvariants(): void {
    const state = this.#state
    state.table.assertInvariants()
    this.#peers.assertInvariants()
    this.#uploader.assertInvariants()
    this.#downloader.assertInvariants()
    this.#origin.assertInvariants()
    let missing = 0
    let verifying = 0
    for (let piece = 0; piece < state.geometry.pieceCount; piece++) {
      const status = state.status[piece]
      if ((status === HAVE) !== state.have.get(piece)) throw new Error(`piece ${piece} is held and not held`)
      if ((status === HAVE) !== state.table.own.has(piece)) throw new Error(`piece ${piece} is ordered wrongly`)
      if ((status === MISSING && state.wants(piece)) !== state.table.missing.has(piece))
        throw new Error(`piece ${piece} is ordered wrongly`)
      if (status === VERIFYING) verifying++
      if (status !== HAVE && state.wants(piece)) missing++
    }
    if (missing !== state.wantedMissing || verifying !== state.verifying) throw new Error('pieces are counted wrongly')
  }

  #handle(input: Input, nowMs: number): void {
    const state = this.#state
    switch (input.type) {
      case 'tick':
        return
      case 'messageReceived': {
        const neighbour = state.neighbourOf.get(input.peer)
        if (neighbour !== undefined) this.#handleMessage(neighbour, input.message, nowMs)
        return
      }
      case 'pieceReceived': {
        const neighbour = state.neighbourOf.get(input.peer)
        const { piece, bytes } = input
        const wasNewcomer = neighbour?.isNewcomer
        if (neighbour === undefined) {
          state.emit({ type: 'dropPiece', peer: input.peer, piece, reason: 'not a neighbour' })
        } else if (!state.geometry.hasPiece(piece) || bytes !== state.geometry.pieceBytes(piece)) {
          state.emit({ type: 'dropPiece', peer: input.peer, piece, reason: 'wrong size' })
          this.#disconnect(neighbour, `piece ${piece} of ${bytes} bytes`, ENGINE.PROTOCOL_BAN_MS, nowMs)
        } else if (!this.#downloader.handlePiece(neighbour, piece, bytes, nowMs)) {
          this.#disconnect(neighbour, `piece ${piece} was not requested`, ENGINE.PROTOCOL_BAN_MS, nowMs)
        } else {
          if (wasNewcomer) this.#uploader.handleProven(neighbour)
          this.#origin.recordFromPeers(bytes, nowMs)
          this.#origin.handleSettled(piece)
          this.#downloader.pullNext(neighbour, nowMs)
        }
        return
      }
      case 'pieceVerified':
        this.#handleVerified(input.piece)
        this.#separatePieces(nowMs)
        return
      case 'pieceCorrupt': {
        if (input.peer === undefined) {
          this.#origin.handleUnverified(input.piece)
          return
        }
        this.#downloader.handleUnverified(input.piece)
        const neighbour = state.neighbourOf.get(input.peer)
        const reason = `piece ${input.piece} is corrupt`
        if (neighbour !== undefined) this.#disconnect(neighbour, reason, state.options.banMs, nowMs)
        else {
          this.#peers.ban(input.peer, nowMs + state.options.banMs)
          state.emit({ type: 'disconnect', peer: input.peer, reason, banMs: state.options.banMs })
        }
        return
      }
      case 'storeFailed': {
        if (input.peer === undefined) this.#origin.handleUnverified(input.piece)
        else this.#downloader.handleUnverified(input.piece)
        this.#origin.cancelAll()
        this.#downloader.cancelAll()
        state.storeFault = input.reason
        const neighbour = input.peer === undefined ? undefined : state.neighbourOf.get(input.peer)
        if (neighbour !== undefined) state.send(neighbour, { type: 'reject', pieces: [input.piece], reason: 'full' })
        return
      }
      case 'storeRecovered':
        state.storeFault = undefined
        return
      case 'pieceLost':
        this.#handleLost(input.piece, nowMs)
        return
      case 'pieceServed':
        this.#uploader.handleServed(state.neighbourOf.get(input.peer), input.piece, input.bytes, nowMs)
        this.#separatePieces(nowMs)
        return
      case 'pieceConnectionFailed':
        if (state.neighbourOf.has(input.peer)) this.#pieceConnections.handleFailed(input.peer, nowMs)
        return
      case 'peerJoined':
        this.#handleJoined(input, nowMs)
        return
      case 'peerLeft': {
        const neighbour = state.neighbourOf.get(input.peer)
        if (neighbour !== undefined) this.#forget(neighbour, nowMs)
        return
      }
      case 'peerDiscovered':
        this.#peers.discovered(input.peer, input.source, input.seeder, nowMs)
        this.#housekeepMs = Math.min(this.#housekeepMs, nowMs + 10)
        return
      case 'dialFailed':
        this.#peers.dialFailed(input.peer, nowMs)
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
        this.#housekeepMs = nowMs
        return
      case 'bootstrapAnswered':
        this.#announcing.handleBootstrapAnswered()
        this.#housekeepMs = nowMs
        return
      case 'announced':
        this.#announcing.handleAnnounced()
        this.#housekeepMs = nowMs
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

  /** False when nothing can follow from it. */
  #handleMessage(neighbour: Neighbour, message: Message, nowMs: number): boolean {
    const state = this.#state
    switch (message.type) {
      case 'have':
        return this.#handleHave(neighbour, message.pieces, nowMs)
      case 'expecting':
        for (const piece of message.pieces) {
          if (!state.geometry.hasPiece(piece)) {
            this.#disconnect(neighbour, `no piece ${piece}`, ENGINE.PROTOCOL_BAN_MS, nowMs)
            return true
          }
          state.table.recordExpects(neighbour.slot, piece)
        }
        return false
      case 'bitfield': {
        if (neighbour.isKnown) {
          this.#disconnect(neighbour, 'a second bitfield', ENGINE.PROTOCOL_BAN_MS, nowMs)
          return true
        }
        let bits: Bitfield
        try {
          bits = Bitfield.fromBytes(message.bits, state.geometry.pieceCount)
        } catch (err) {
          this.#disconnect(neighbour, (err as Error).message, ENGINE.PROTOCOL_BAN_MS, nowMs)
          return true
        }
        neighbour.introduce()
        state.table.recordBitfield(neighbour.slot, bits)
        return true
      }
      case 'offer':
      case 'request':
      case 'cancel':
      case 'reject':
        for (const piece of message.pieces) {
          if (!state.geometry.hasPiece(piece)) {
            this.#disconnect(neighbour, `no piece ${piece}`, ENGINE.PROTOCOL_BAN_MS, nowMs)
            return true
          }
        }
        if (message.type === 'offer') this.#downloader.handleOffer(neighbour, message.pieces, nowMs)
        else if (message.type === 'request') {
          this.#uploader.handleRequest(neighbour, message.pieces, message.urgent, nowMs)
          if (neighbour.strikes > ENGINE.MAX_STRIKES)
            this.#disconnect(neighbour, 'it asks for what it has', ENGINE.PROTOCOL_BAN_MS, nowMs)
        } else if (message.type === 'cancel') for (const piece of message.pieces) this.#uploader.handleCancel(neighbour, piece)
        else {
          for (const piece of message.pieces) {
            if (!this.#uploader.handleReject(neighbour, piece, message.reason, nowMs)) {
              this.#downloader.handleReject(neighbour, piece, message.reason, nowMs)
            }
          }
          if (neighbour.strikes > ENGINE.MAX_STRIKES)
            this.#disconnect(neighbour, 'its bitfield is wrong', ENGINE.PROTOCOL_BAN_MS, nowMs)
        }
        return true
      case 'peers':
        for (const { peer, isNear } of message.peers) this.#peers.discovered(peer, 'neighbour', undefined, nowMs, isNear)
        return true
      case 'keepers':
        this.#origin.handleKeepers(neighbour, message.keepers, nowMs)
        return true
      case 'taking':
        for (const piece of message.pieces) {
          if (!state.geometry.hasPiece(piece)) {
            this.#disconnect(neighbour, `no piece ${piece}`, ENGINE.PROTOCOL_BAN_MS, nowMs)
            return true
          }
        }
        this.#origin.handleTaking(neighbour, message.pieces, nowMs)
        this.#downloader.handleTaking(neighbour, message.pieces, nowMs)
        return true
      case 'hello':
      case 'goodbye':
        return false // the driver's
    }
  }

  /** True when something may follow from it. */
  #handleHave(neighbour: Neighbour, pieces: readonly number[], nowMs: number): boolean {
    const { table, geometry, options } = this.#state
    let mayFollow = this.#downloader.readers.size > 0 || !options.offers || this.#origin.isOpen
    if (pieces.length > 0) this.#origin.handleHave(neighbour, nowMs)
    for (const piece of pieces) {
      if (!geometry.hasPiece(piece)) {
        this.#disconnect(neighbour, `no piece ${piece}`, ENGINE.PROTOCOL_BAN_MS, nowMs)
        return true
      }
      table.recordHave(neighbour.slot, piece)
      if (this.#uploader.handleHave(neighbour, piece, nowMs)) mayFollow = true
    }
    return mayFollow
  }

  #handleJoined(input: Extract<Input, { type: 'peerJoined' }>, nowMs: number): void {
    const state = this.#state
    const joined = this.#peers.join(input, nowMs)
    if (joined === undefined) {
      if (!state.neighbourOf.has(input.peer)) this.#turnAway(input, nowMs)
      return
    }
    const { neighbour, replaced } = joined
    if (replaced !== undefined) {
      this.#disconnect(replaced, 'makes room for a newcomer', 0, nowMs)
      this.#noteTurnedAway(replaced.key, nowMs)
    }
    // Pieces not yet announced by `have` are in this bitfield too; saying them twice is harmless.
    state.send(neighbour, { type: 'bitfield', bits: state.have.toBytes() })
    this.#tellPeers(input, [])
    this.#pieceConnections.handleJoined(input.peer)
    this.#origin.handleJoined(neighbour, nowMs)
    this.#uploader.handleJoined(neighbour)
    this.#downloader.handleJoined(neighbour)
  }

  /** A peer that finds no room here hears where others are: those turned away just before it look for neighbours, too. */
  #turnAway(input: Extract<Input, { type: 'peerJoined' }>, nowMs: number): void {
    const state = this.#state
    const { peer } = input
    let reason = 'no room'
    if (this.#peers.isBanned(peer, nowMs)) reason = 'banned'
    else if (state.isLeaving) reason = 'leaving'
    else {
      const others = [...this.#turnedAway.keys()].filter(other => other !== peer)
      this.#tellPeers(input, this.#random.shuffle(others).slice(0, ENGINE.MAX_TURNED_AWAY_TOLD))
      this.#noteTurnedAway(peer, nowMs)
    }
    state.emit({ type: 'disconnect', peer, reason, banMs: 0 })
  }

  /** Others may dial it. */
  #noteTurnedAway(peer: PeerKey, nowMs: number): void {
    this.#turnedAway.delete(peer)
    this.#turnedAway.set(peer, nowMs)
    if (this.#turnedAway.size > ENGINE.MAX_TURNED_AWAY) this.#turnedAway.delete(this.#turnedAway.keys().next().value as PeerKey)
  }

  /** Tells a newcomer of `first`, then of neighbours: near ones, then others at random. */
  #tellPeers({ peer, labels }: Extract<Input, { type: 'peerJoined' }>, first: readonly PeerKey[]): void {
    const near: ToldPeer[] = []
    const far: ToldPeer[] = []
    for (const other of this.#state.neighbours) {
      if (other === undefined || other.key === peer) continue
      if (distanceOf(other.labels, labels) < FARTHEST) near.push({ peer: other.key, addresses: [], isNear: true })
      else far.push({ peer: other.key, addresses: [] })
    }
    const peers = this.#random.shuffle(near).slice(0, ENGINE.MAX_NEAR_TOLD)
    for (const other of first)
      if (other !== peer && peers.length < ENGINE.MAX_PEERS_TOLD) peers.push({ peer: other, addresses: [] })
    peers.push(...this.#random.shuffle(far).slice(0, Math.max(0, ENGINE.MAX_PEERS_TOLD - peers.length)))
    if (peers.length > 0) this.#state.emit({ type: 'send', peer, message: { type: 'peers', peers } })
  }

  #handleVerified(piece: number): void {
    const state = this.#state
    if (!state.geometry.hasPiece(piece) || state.status[piece] === HAVE) return
    // A piece may also come from elsewhere (an origin, an import): then it was never accepted here.
    if (state.status[piece] === VERIFYING) state.verifying--
    else this.#downloader.cancelPiece(piece)
    this.#origin.handleSettled(piece)
    state.status[piece] = HAVE
    state.have.set(piece)
    state.table.addOwn(piece)
    this.#newHaves.push(piece)
    if (state.wants(piece) && --state.wantedMissing === 0) state.emit({ type: 'completed' })
  }

  #handleLost(piece: number, nowMs: number): void {
    const state = this.#state
    if (!state.geometry.hasPiece(piece) || state.status[piece] !== HAVE) return
    state.status[piece] = MISSING
    state.have.clear(piece)
    state.table.removeOwn(piece)
    if (state.wants(piece)) {
      state.wantedMissing++
      state.table.addMissing(piece)
    }
    const index = this.#newHaves.indexOf(piece)
    if (index >= 0) this.#newHaves.splice(index, 1)
    this.#uploader.handleLost(piece)
    this.#origin.handleLost()
    // Neighbours believe that we have it; asked for many such pieces they would take us for greedy. New streams begin with the truth.
    if (++this.#lost % ENGINE.LOST_UNTOLD !== 0) return
    for (const neighbour of [...state.neighbourOf.values()]) this.#disconnect(neighbour, 'we lost pieces', 0, nowMs)
  }

  #handleWanted(wanted: Bitfield | undefined): void {
    const state = this.#state
    if (wanted !== undefined && wanted.size !== state.geometry.pieceCount) {
      throw new RangeError(`bitfield of ${wanted.size} for ${state.geometry.pieceCount} pieces`)
    }
    const wasComplete = state.isComplete
    state.wanted = wanted?.clone()
    state.wantedMissing = 0
    for (let piece = 0; piece < state.geometry.pieceCount; piece++) {
      const isWanted = state.wants(piece)
      if (isWanted && state.status[piece] !== HAVE) state.wantedMissing++
      if (state.status[piece] !== MISSING) continue
      if (isWanted) state.table.addMissing(piece)
      else state.table.removeMissing(piece)
    }
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
    const surplus = state.neighbourOf.size - state.options.maxNeighbours
    if (surplus <= 0) return
    const newest = [...state.neighbourOf.values()].reverse()
    for (const neighbour of newest.slice(0, surplus)) this.#disconnect(neighbour, 'fewer neighbours allowed', 0, nowMs)
  }

  #disconnect(neighbour: Neighbour, reason: string, banMs: number, nowMs: number): void {
    if (this.#state.neighbourOf.get(neighbour.key) !== neighbour) return
    this.#forget(neighbour, nowMs)
    if (banMs > 0) this.#peers.ban(neighbour.key, nowMs + banMs)
    this.#state.emit({ type: 'disconnect', peer: neighbour.key, reason, banMs })
  }

  #forget(neighbour: Neighbour, nowMs: number): void {
    this.#uploader.handleLeft(neighbour)
    this.#downloader.handleLeft(neighbour)
    this.#origin.handleLeft(neighbour, nowMs)
    this.#pieceConnections.handleLeft(neighbour.key)
    this.#state.table.clearSlot(neighbour.slot)
    this.#peers.leave(neighbour, nowMs)
  }

  #housekeep(nowMs: number): void {
    const state = this.#state
    const lateMs = nowMs - this.#housekeepMs
    this.#housekeepMs = nowMs + ENGINE.HOUSEKEEPING_MS
    this.#downloader.housekeep(nowMs)
    this.#origin.housekeep(nowMs, lateMs)
    this.#uploader.housekeep(nowMs)
    for (const neighbour of this.#downloader.takeTimedOut()) {
      if (neighbour.download.timeoutsInRow >= ENGINE.MAX_TIMEOUTS)
        this.#disconnect(neighbour, 'it does not send what it should', 0, nowMs)
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

  /** Where a piece takes our uplink long it holds up what is said behind it: one more connection for a neighbour is worth it then. */
  #separatePieces(nowMs: number): void {
    const peer = this.#uploader.isUplinkSlow ? this.#pieceConnections.next(nowMs) : undefined
    if (peer !== undefined) this.#state.emit({ type: 'openPieceConnection', peer })
  }

  /**
   * Tells every neighbour what we have now, at once or batched when pieces come faster than `haveBatchMs`; and what we expect, which saves them
   * four offers of ten, and others the choice of what comes to us anyway.
   */
  #flushHaves(nowMs: number): void {
    if (this.#newHaves.length === 0 || nowMs < this.#havesSentMs + this.#state.options.haveBatchMs) return
    const { neighbourOf } = this.#state
    while (this.#newHaves.length > 0) {
      const message: Message = { type: 'have', pieces: this.#newHaves.splice(0, MAX_PIECES_PER_MESSAGE) }
      if (neighbourOf.size > 0) this.#state.emit({ type: 'broadcast', message })
    }
    const pieces = this.#downloader.takeUntold()
    // A lone neighbour is who they are expected from.
    for (let start = 0; start < pieces.length && neighbourOf.size > 1; start += MAX_PIECES_PER_MESSAGE) {
      const message: Message = { type: 'expecting', pieces: pieces.slice(start, start + MAX_PIECES_PER_MESSAGE) }
      this.#state.emit({ type: 'broadcast', message })
    }
    this.#havesSentMs = nowMs
  }
}
