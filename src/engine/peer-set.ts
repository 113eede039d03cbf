/**
 * Who our neighbours are, whom to dial next, whom to let go.
 *
 * The graph should be close to a random one of moderate degree: we dial up to {@link DIAL_SHARE} of `maxNeighbours` and leave the rest to
 * those who dial us, so that a newcomer finds room. Candidates come from anywhere and are bounded; the least useful are forgotten.
 *
 * Invariants: neighbours and dials under way never exceed `maxNeighbours`; a banned peer is neither dialled nor accepted.
 * Used by swarm.ts.
 */

import type { Random } from '../util/random.ts'
import { distanceOf, FARTHEST } from './locality.ts'
import { Neighbour } from './neighbour.ts'
import type { SwarmState } from './state.ts'
import type { Input, PeerKey, PeerSource } from './types.ts'

/** Share of `maxNeighbours` that we fill by dialling. */
const DIAL_SHARE = 0.7
/**
 * Of few pieces each neighbour sends us hardly any, and each costs a handshake at both ends: we dial until so many pieces come on each, and
 * {@link FEWEST_DIALLED} at least. Who dials us is taken in beyond that. (32 and 60 nodes, 128 pieces: 16 are as good as 21 in the simulator, and
 * 17 % of all CPU less on real links.)
 */
const PIECES_PER_NEIGHBOUR = 8
const FEWEST_DIALLED = 12
const MAX_DIALS = 8
/**
 * With this many neighbours a node has enough to begin with, and dials the others one by one, each after {@link DIAL_REST} times as long as dials
 * take. Where many nodes start at once on busy machines a handshake takes seconds, and all of them together took minutes ahead of the first pieces:
 * so we begin with a few, and go on one by one at once where these are slow (32 nodes on two cores, first piece: 15 s with eight, 9 s with three).
 */
const ENOUGH_TO_BEGIN = 8
const FIRST_DIALS = 3
const SLOW_DIAL_MS = 200
const DIAL_REST = 2
/** A dial that takes longer leads to nobody, perhaps; another may go beside it. */
const LONG_DIAL_MS = 3000
const DIAL_TIMEOUT_MS = 30_000
const FIRST_RETRY_MS = 2000
const MAX_RETRY_MS = 300_000
/** Failed dials in a row after which a candidate is forgotten, unless the user gave it. */
const MAX_FAILURES = 6
/** A neighbour that left so soon had no room for us, ms: as good as a failed dial. Raised: churn is taken for refusals; lowered: full peers are asked often. */
const SHORT_STAY_MS = 1000
/** Known peers that could be dialled and have not failed: with so many no search is needed. */
const ENOUGH_SPARE = 4
const MAX_BANS = 4096
/** How long slots are kept for near peers before any is known. */
const NEAR_PATIENCE_MS = 10_000
/**
 * Full, we still take in somebody new this often, in place of a peer that dialled us and has had this long: else those who came first are
 * full of each other, and who comes late finds only who came late. Peers that we dialled stay, so that a crowd of dialers can't drive out all.
 */
const REPLACE_MS = 10_000
/**
 * The same in pieces that our uplink sends meanwhile, where these take longer: getting to know a peer costs both some handshakes (a seeder of 60 on
 * 0.5 Mbit/s, where a piece takes 4 s, opened 58 connections in 200 s).
 */
const REPLACE_PIECES = 10
const SOURCE_TRUST: Readonly<Record<PeerSource, number>> = { given: 0, hint: 1, mdns: 2, neighbour: 3, dht: 4, gossip: 5 }

interface Candidate {
  readonly key: PeerKey
  source: PeerSource
  isSeeder: boolean
  /** A neighbour says that it shares a label with us. */
  isNear: boolean
  failures: number
  nextDialMs: number
}

export class PeerSet {
  readonly #state: SwarmState
  readonly #random: Random
  readonly #labels: Readonly<Record<string, string>>
  readonly #hasLabels: boolean
  readonly #nearPatienceMs: number
  readonly #candidates = new Map<PeerKey, Candidate>()
  readonly #dialling = new Map<PeerKey, number>()
  readonly #bannedUntilMs = new Map<PeerKey, number>()
  /** How long a piece occupies our uplink; 0 while unknown. */
  readonly #pieceMs: () => number
  /** Nobody gives way to a newcomer before this time. */
  #replaceMs: number
  /** What a dial usually takes, ms, and when the next may begin once there are enough neighbours. */
  #dialMs = 0
  #restUntilMs = 0

  constructor(state: SwarmState, random: Random, labels: Readonly<Record<string, string>>, pieceMs: () => number, nowMs: number) {
    this.#pieceMs = pieceMs
    this.#state = state
    this.#random = random
    this.#labels = labels
    this.#hasLabels = Object.keys(labels).length > 0
    this.#nearPatienceMs = this.#hasLabels ? nowMs + NEAR_PATIENCE_MS : Number.NEGATIVE_INFINITY
    this.#replaceMs = nowMs
  }

  /** From one newcomer in somebody's place to the next, and how long that one had. */
  get #replaceAfterMs(): number {
    return Math.max(REPLACE_MS, REPLACE_PIECES * this.#pieceMs())
  }

  get candidateCount(): number {
    return this.#candidates.size
  }

  /** Whether somebody is known who has not failed to answer. */
  get hasUntried(): boolean {
    for (const { failures } of this.#candidates.values()) if (failures === 0) return true
    return false
  }

  /** Whether a search could bring somebody whom we would dial. With labels near peers are wanted, however many others are known. */
  get lacksPeers(): boolean {
    return this.#hasLabels || !this.#hasSpare
  }

  get diallingCount(): number {
    return this.#dialling.size
  }

  isBanned(peer: PeerKey, nowMs: number): boolean {
    const untilMs = this.#bannedUntilMs.get(peer)
    if (untilMs === undefined) return false
    if (untilMs > nowMs) return true
    this.#bannedUntilMs.delete(peer)
    return false
  }

  ban(peer: PeerKey, untilMs: number): void {
    if (this.#bannedUntilMs.size >= MAX_BANS) {
      const oldest = this.#bannedUntilMs.keys().next()
      if (oldest.done !== true) this.#bannedUntilMs.delete(oldest.value)
    }
    this.#bannedUntilMs.set(peer, untilMs)
    this.#candidates.delete(peer)
  }

  /** Whether a peer that dials us may come in. Without room for it, too: {@link join} refuses it then, and it hears of others before it goes. */
  accepts(peer: PeerKey, nowMs: number): boolean {
    return !this.#state.isLeaving && !this.isBanned(peer, nowMs)
  }

  /**
   * Takes the peer in. Undefined when it must be disconnected (banned, or no room). `replaced`: a neighbour that gives way.
   */
  join(
    { peer, initiator, labels, rttMs }: Extract<Input, { type: 'peerJoined' }>,
    nowMs: number
  ): { neighbour: Neighbour; replaced: Neighbour | undefined } | undefined {
    const { neighbourOf, neighbours, options, table } = this.#state
    this.#endDial(peer, nowMs)
    if (this.#state.isLeaving || this.isBanned(peer, nowMs) || neighbourOf.has(peer)) return undefined
    const replaced = neighbourOf.size >= options.maxNeighbours ? this.#findReplaceable(nowMs) : undefined
    if (neighbourOf.size >= options.maxNeighbours && replaced === undefined) return undefined
    const distance = distanceOf(this.#labels, labels)
    if (distance === FARTHEST && replaced === undefined && this.#farCount() >= this.#farLimit(nowMs)) return undefined
    if (replaced !== undefined && !this.#isIdlePair(replaced)) this.#replaceMs = nowMs + this.#replaceAfterMs
    let slot = neighbours.indexOf(undefined)
    if (slot < 0) slot = neighbours.length
    if (slot >= table.slots) table.grow(slot + 1)
    const neighbour = new Neighbour(peer, slot, initiator, labels, distance, rttMs, nowMs, this.#state.marks)
    neighbours[slot] = neighbour
    neighbourOf.set(peer, neighbour)
    this.#state.nearestDistance = Math.min(this.#state.nearestDistance, distance)
    return { neighbour, replaced }
  }

  leave(neighbour: Neighbour, nowMs: number): void {
    this.#state.neighbours[neighbour.slot] = undefined
    neighbour.leave()
    this.#state.neighbourOf.delete(neighbour.key)
    let nearest = Number.POSITIVE_INFINITY
    for (const { distance } of this.#state.neighbourOf.values()) nearest = Math.min(nearest, distance)
    this.#state.nearestDistance = nearest
    const candidate = this.#candidates.get(neighbour.key)
    if (candidate === undefined) return
    if (nowMs - neighbour.joinedMs < SHORT_STAY_MS) {
      this.#postpone(candidate, nowMs)
      return
    }
    candidate.failures = 0
    candidate.nextDialMs = nowMs + FIRST_RETRY_MS + this.#random.nextInt(FIRST_RETRY_MS)
  }

  discovered(peer: PeerKey, source: PeerSource, isSeeder: boolean | undefined, nowMs: number, isNear = false): void {
    if (this.isBanned(peer, nowMs)) return
    const known = this.#candidates.get(peer)
    if (known !== undefined) {
      if (SOURCE_TRUST[source] < SOURCE_TRUST[known.source]) known.source = source
      if (isSeeder !== undefined) known.isSeeder = isSeeder
      if (isNear) known.isNear = true
      return
    }
    if (this.#candidates.size >= this.#state.options.maxCandidates && !this.#forgetOne(source)) return
    this.#candidates.set(peer, { key: peer, source, isSeeder: isSeeder === true, isNear, failures: 0, nextDialMs: 0 })
  }

  #endDial(peer: PeerKey, nowMs: number): void {
    const sinceMs = this.#dialling.get(peer)
    if (sinceMs === undefined) return
    this.#dialling.delete(peer)
    this.#dialMs += (nowMs - sinceMs - this.#dialMs) / 4
    this.#restUntilMs = nowMs + DIAL_REST * this.#dialMs
  }

  dialFailed(peer: PeerKey, nowMs: number): void {
    this.#endDial(peer, nowMs)
    const candidate = this.#candidates.get(peer)
    if (candidate !== undefined) this.#postpone(candidate, nowMs)
  }

  #postpone(candidate: Candidate, nowMs: number): void {
    candidate.failures++
    if (candidate.failures >= MAX_FAILURES && candidate.source !== 'given' && candidate.source !== 'hint') {
      this.#candidates.delete(candidate.key)
      return
    }
    const backoffMs = Math.min(MAX_RETRY_MS, FIRST_RETRY_MS * 2 ** (candidate.failures - 1))
    candidate.nextDialMs = nowMs + backoffMs * (0.75 + this.#random.nextFloat() / 2)
  }

  /** Dials as needed. Called several times a second. */
  housekeep(nowMs: number): void {
    const state = this.#state
    if (state.isLeaving || state.isPaused) return
    for (const [peer, sinceMs] of this.#dialling) if (nowMs - sinceMs > DIAL_TIMEOUT_MS) this.dialFailed(peer, nowMs)
    const { maxNeighbours } = state.options
    const worthwhile = Math.max(FEWEST_DIALLED, Math.round(state.geometry.pieceCount / PIECES_PER_NEIGHBOUR))
    const target = Math.max(1, Math.min(Math.round(maxNeighbours * DIAL_SHARE), worthwhile))
    const busy = state.neighbourOf.size + this.#dialling.size
    // Near peers are few and wanted all, so they may take the slots that are otherwise left to those who dial us.
    let open = Math.min(this.#roomForDials(nowMs), maxNeighbours - busy)
    // Whoever lets requests time out is no source: a newcomer with only such ones and a slot left would wait for minutes.
    const failing = state.marks.failing.size
    // Near peers do not take the places of far ones, or a rack that found itself first would hardly know of the others.
    let openFar = Math.min(target, Math.round(this.#farLimit(nowMs) * DIAL_SHARE)) - this.#farCount() + failing
    for (const key of this.#dialling.keys()) if (this.#candidates.get(key)?.isNear !== true) openFar--
    if (open <= 0) return
    for (const candidate of this.#readyCandidates(nowMs, openFar <= 0)) {
      if (open <= 0) return
      if (!candidate.isNear && openFar-- <= 0) continue
      open--
      this.#dialling.set(candidate.key, nowMs)
      state.emit({ type: 'dial', peer: candidate.key })
    }
  }

  /** Dials that may begin now. */
  #roomForDials(nowMs: number): number {
    const room = MAX_DIALS - this.#dialling.size
    // With labels we want all who are near soon, or pieces come from afar meanwhile.
    if (this.#hasLabels) return room
    let recent = 0
    for (const sinceMs of this.#dialling.values()) if (nowMs - sinceMs < LONG_DIAL_MS) recent++
    const enough = this.#dialMs === 0 || this.#dialMs > SLOW_DIAL_MS ? FIRST_DIALS : ENOUGH_TO_BEGIN
    const missing = enough - this.#state.neighbourOf.size
    const atOnce = missing > 0 ? missing : nowMs < this.#restUntilMs ? 0 : 1
    return Math.min(room, atOnce - recent)
  }

  /** Whether enough peers are known who are no neighbours and could be dialled. */
  get #hasSpare(): boolean {
    let count = 0
    for (const { key, failures } of this.#candidates.values()) {
      if (failures === 0 && !this.#state.neighbourOf.has(key) && ++count === ENOUGH_SPARE) return true
    }
    return false
  }

  assertInvariants(): void {
    const { neighbourOf, neighbours, options } = this.#state
    if (neighbourOf.size > options.maxNeighbours) throw new Error('too many neighbours')
    if (this.#candidates.size > options.maxCandidates) throw new Error('too many candidates')
    for (const [key, neighbour] of neighbourOf) {
      if (neighbours[neighbour.slot] !== neighbour || neighbour.key !== key) throw new Error(`neighbour ${key} is misplaced`)
    }
  }

  /** Neighbours that share no label with us. */
  #farCount(): number {
    if (!this.#hasLabels) return this.#state.neighbourOf.size
    let count = 0
    for (const { distance } of this.#state.neighbourOf.values()) if (distance === FARTHEST) count++
    return count
  }

  /** Most far neighbours: the other slots are for near peers, as far as there are any (or may be, at first). */
  #farLimit(nowMs: number): number {
    const { maxNeighbours, farShare } = this.#state.options
    const mostNear = Math.floor((1 - farShare) * maxNeighbours)
    if (this.#nearPatienceMs === Number.NEGATIVE_INFINITY) return maxNeighbours
    if (nowMs < this.#nearPatienceMs) return maxNeighbours - mostNear
    let near = this.#state.neighbourOf.size - this.#farCount()
    for (const { key, isNear } of this.#candidates.values()) if (isNear && !this.#state.neighbourOf.has(key)) near++
    return maxNeighbours - Math.min(mostNear, near)
  }

  /** Candidates that may be dialled now, best first: what the user gave, then near ones, then others, at random. */
  #readyCandidates(nowMs: number, isNearOnly: boolean): Candidate[] {
    const { neighbourOf, isComplete } = this.#state
    if (isNearOnly && !this.#hasLabels) return []
    const ready: { candidate: Candidate; rank: number }[] = []
    for (const candidate of this.#candidates.values()) {
      if (isNearOnly && !candidate.isNear) continue
      if (candidate.nextDialMs > nowMs || neighbourOf.has(candidate.key) || this.#dialling.has(candidate.key)) continue
      if (isComplete && candidate.isSeeder) continue
      const trust = SOURCE_TRUST[candidate.source]
      ready.push({ candidate, rank: (trust <= 1 ? trust : candidate.isNear ? 2 : 3) + this.#random.nextFloat() })
    }
    ready.sort((a, b) => a.rank - b.rank || (a.candidate.key < b.candidate.key ? -1 : 1))
    return ready.map(({ candidate }) => candidate)
  }

  /** Who gives way to a newcomer: a neighbour that is of no use to us nor we to it, else one that has had its time. */
  #findReplaceable(nowMs: number): Neighbour | undefined {
    let oldest: Neighbour | undefined
    for (const neighbour of this.#state.neighbours) {
      if (neighbour === undefined) continue
      if (this.#isIdlePair(neighbour)) return neighbour
      if (nowMs < this.#replaceMs || neighbour.initiator || nowMs - neighbour.joinedMs < this.#replaceAfterMs) continue
      if (neighbour.distance < FARTHEST || neighbour.pending + neighbour.queued + neighbour.inFlight > 0) continue
      if (oldest === undefined || neighbour.joinedMs < oldest.joinedMs) oldest = neighbour
    }
    return oldest
  }

  /** Both complete. */
  #isIdlePair(neighbour: Neighbour): boolean {
    const state = this.#state
    return state.have.isFull && state.isSeeder(neighbour) && neighbour.uploading === 0
  }

  /** Makes room for a candidate from `source` by forgetting a failed or less trusted one. */
  #forgetOne(source: PeerSource): boolean {
    let worst: Candidate | undefined
    for (const candidate of this.#candidates.values()) {
      if (this.#state.neighbourOf.has(candidate.key) || this.#dialling.has(candidate.key)) continue
      if (
        worst === undefined ||
        candidate.failures > worst.failures ||
        (candidate.failures === worst.failures && SOURCE_TRUST[candidate.source] > SOURCE_TRUST[worst.source])
      ) {
        worst = candidate
      }
    }
    if (worst === undefined) return false
    if (worst.failures === 0 && SOURCE_TRUST[worst.source] < SOURCE_TRUST[source]) return false
    this.#candidates.delete(worst.key)
    return true
  }
}
