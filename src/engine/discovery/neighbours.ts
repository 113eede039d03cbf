/**
 * Who our neighbours are, whom to dial next, whom to let go.
 *
 * The graph should be close to a random one of moderate degree: we dial up to {@link NEIGHBOURS.DIAL_SHARE}
 * of `maxNeighbours` and leave the rest to those who dial us, so that a newcomer finds room. Candidates come
 * from anywhere and are bounded; the least useful are forgotten.
 *
 * Invariants: neighbours never exceed `maxNeighbours`, nor do they with dials under way, but for one when
 * stranded; a banned peer is neither dialled nor accepted. Used by swarm.ts.
 */

import type { Random } from '../../util/random.ts'
import type { Input, PeerKey, PeerSource } from '../contract.ts'
import { Neighbour } from '../neighbour.ts'
import type { SwarmState } from '../state.ts'
import { NEIGHBOURS } from '../tunables.ts'
import { distanceOf, FARTHEST } from './locality.ts'

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
  /**
   * Since when no neighbour has anything that we lack and nothing comes from elsewhere; Infinity: something
   * can be had.
   */
  #strandedSinceMs = Number.POSITIVE_INFINITY
  #haveCount = 0

  constructor(state: SwarmState, random: Random, labels: Readonly<Record<string, string>>, pieceMs: () => number, nowMs: number) {
    this.#pieceMs = pieceMs
    this.#state = state
    this.#random = random
    this.#labels = labels
    this.#hasLabels = Object.keys(labels).length > 0
    this.#nearPatienceMs = this.#hasLabels ? nowMs + NEIGHBOURS.NEAR_PATIENCE_MS : Number.NEGATIVE_INFINITY
    this.#replaceMs = nowMs
  }

  /** From one newcomer in somebody's place to the next, and how long that one had. */
  get #replaceAfterMs(): number {
    return Math.max(NEIGHBOURS.REPLACE_MS, NEIGHBOURS.REPLACE_PIECES * this.#pieceMs())
  }

  get candidateCount(): number {
    return this.#candidates.size
  }

  /** Whether somebody is known who has not failed to answer. */
  get hasUntried(): boolean {
    for (const { failures } of this.#candidates.values()) if (failures === 0) return true
    return false
  }

  /**
   * Whether a search could bring somebody whom we would dial. With labels near peers are wanted, however many
   * others are known.
   */
  get lacksPeers(): boolean {
    return this.#hasLabels || !this.#hasSpare
  }

  /**
   * For long no neighbour has had anything that we lack, and nothing came: all of us may be cut off from
   * those that have it. Such neighbours do not count, so that we look for others.
   */
  isStranded(nowMs: number): boolean {
    return (
      nowMs >= this.#strandedSinceMs + Math.max(NEIGHBOURS.STRANDED_MS, NEIGHBOURS.STRANDED_PIECES * this.#state.firstPieceMs)
    )
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
    if (this.#bannedUntilMs.size >= NEIGHBOURS.MAX_BANS) {
      const oldest = this.#bannedUntilMs.keys().next()
      if (oldest.done !== true) this.#bannedUntilMs.delete(oldest.value)
    }
    this.#bannedUntilMs.set(peer, untilMs)
    this.#candidates.delete(peer)
  }

  /**
   * Whether a peer that dials us may come in. Without room for it, too: {@link join} refuses it then, and it
   * hears of others before it goes.
   */
  accepts(peer: PeerKey, nowMs: number): boolean {
    return !this.#state.isLeaving && !this.isBanned(peer, nowMs)
  }

  /**
   * Takes the peer in. Undefined when it must be disconnected (banned, or no room). `replaced`: a neighbour
   * that gives way.
   */
  join(
    { peer, initiator, labels, rttMs }: Extract<Input, { type: 'peerJoined' }>,
    nowMs: number
  ): { neighbour: Neighbour; replaced: Neighbour | undefined } | undefined {
    const { neighbourOf, neighbours, options, table } = this.#state
    this.#endDial(peer, nowMs)
    if (this.#state.isLeaving || this.isBanned(peer, nowMs) || neighbourOf.has(peer)) return undefined
    const replaced = neighbourOf.size >= options.maxNeighbours ? this.#findReplaceable(initiator, nowMs) : undefined
    if (neighbourOf.size >= options.maxNeighbours && replaced === undefined) {
      const candidate = this.#candidates.get(peer)
      if (initiator && candidate !== undefined) this.#postpone(candidate, nowMs)
      return undefined
    }
    const distance = distanceOf(this.#labels, labels)
    if (distance === FARTHEST && replaced === undefined && this.#farCount() >= this.#farLimit(nowMs)) return undefined
    if (replaced !== undefined && !this.#isIdlePair(replaced)) this.#replaceMs = nowMs + this.#replaceAfterMs
    let slot = neighbours.indexOf(undefined)
    if (slot < 0) slot = neighbours.length
    if (slot >= table.slots) table.grow(slot + 1)
    const neighbour = new Neighbour({ key: peer, slot, initiator, labels, distance, rttMs, nowMs, marks: this.#state.marks })
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
    // It had no room for us. (By time that cannot be told: on a busy machine a refusal takes seconds.)
    if (!neighbour.isKnown) {
      this.#postpone(candidate, nowMs)
      return
    }
    candidate.failures = 0
    candidate.nextDialMs = nowMs + NEIGHBOURS.FIRST_RETRY_MS + this.#random.nextInt(NEIGHBOURS.FIRST_RETRY_MS)
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
    this.#restUntilMs = nowMs + NEIGHBOURS.DIAL_REST * this.#dialMs
  }

  dialFailed(peer: PeerKey, nowMs: number): void {
    this.#endDial(peer, nowMs)
    const candidate = this.#candidates.get(peer)
    if (candidate !== undefined) this.#postpone(candidate, nowMs)
  }

  #postpone(candidate: Candidate, nowMs: number): void {
    candidate.failures++
    if (candidate.failures >= NEIGHBOURS.MAX_FAILURES && candidate.source !== 'given' && candidate.source !== 'hint') {
      this.#candidates.delete(candidate.key)
      return
    }
    const backoffMs = Math.min(NEIGHBOURS.MAX_RETRY_MS, NEIGHBOURS.FIRST_RETRY_MS * 2 ** (candidate.failures - 1))
    candidate.nextDialMs = nowMs + backoffMs * (0.75 + this.#random.nextFloat() / 2)
  }

  /** Dials as needed. Called several times a second. */
  housekeep(nowMs: number): void {
    const state = this.#state
    if (state.isLeaving || state.isPaused) return
    for (const [peer, sinceMs] of this.#dialling) if (nowMs - sinceMs > NEIGHBOURS.DIAL_TIMEOUT_MS) this.dialFailed(peer, nowMs)
    this.#noteSources(nowMs)
    const isStranded = this.isStranded(nowMs)
    const { maxNeighbours } = state.options
    const worthwhile = Math.max(
      NEIGHBOURS.FEWEST_DIALLED,
      Math.round(state.geometry.pieceCount / NEIGHBOURS.PIECES_PER_NEIGHBOUR)
    )
    const target = Math.max(1, Math.min(Math.round(maxNeighbours * NEIGHBOURS.DIAL_SHARE), worthwhile))
    const busy = state.neighbourOf.size + this.#dialling.size
    // Near peers are few and wanted all, so they may take the slots that are otherwise left to those who dial
    // us.
    const replaceable = isStranded && this.#findReplaceable(true, nowMs) !== undefined ? 1 : 0
    let open = Math.min(this.#roomForDials(nowMs), maxNeighbours + replaceable - busy)
    // A neighbour that lets requests time out is no source: a newcomer with only such ones and a slot left
    // would wait for minutes.
    const failing = isStranded ? state.neighbourOf.size : state.marks.failing.size
    // Near peers do not take the places of far ones, or a rack that found itself first would hardly know of
    // the others.
    let openFar = Math.min(target, Math.round(this.#farLimit(nowMs) * NEIGHBOURS.DIAL_SHARE)) - this.#farCount() + failing
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

  #noteSources(nowMs: number): void {
    const { table, have, isComplete } = this.#state
    const isComing = have.count > this.#haveCount
    this.#haveCount = have.count
    if (isComplete || isComing || table.missing.startOf(1) < table.missing.size) this.#strandedSinceMs = Number.POSITIVE_INFINITY
    else if (this.#strandedSinceMs === Number.POSITIVE_INFINITY) this.#strandedSinceMs = nowMs
  }

  /** Dials that may begin now. */
  #roomForDials(nowMs: number): number {
    const room = NEIGHBOURS.MAX_DIALS - this.#dialling.size
    // With labels we want all who are near soon, or pieces come from afar meanwhile.
    if (this.#hasLabels) return room
    let recent = 0
    for (const sinceMs of this.#dialling.values()) if (nowMs - sinceMs < NEIGHBOURS.LONG_DIAL_MS) recent++
    const enough =
      this.#dialMs === 0 || this.#dialMs > NEIGHBOURS.SLOW_DIAL_MS ? NEIGHBOURS.FIRST_DIALS : NEIGHBOURS.ENOUGH_TO_BEGIN
    const missing = enough - this.#state.neighbourOf.size
    const atOnce = missing > 0 ? missing : nowMs < this.#restUntilMs ? 0 : 1
    return Math.min(room, atOnce - recent)
  }

  /** Whether enough peers are known who are no neighbours and could be dialled. */
  get #hasSpare(): boolean {
    let count = 0
    for (const { key, failures } of this.#candidates.values()) {
      if (failures === 0 && !this.#state.neighbourOf.has(key) && ++count === NEIGHBOURS.ENOUGH_SPARE) return true
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

  /**
   * Most far neighbours: the other slots are for near peers, as far as there are any (or may be, at first).
   */
  #farLimit(nowMs: number): number {
    const { maxNeighbours, farShare } = this.#state.options
    const mostNear = Math.floor((1 - farShare) * maxNeighbours)
    if (this.#nearPatienceMs === Number.NEGATIVE_INFINITY) return maxNeighbours
    if (nowMs < this.#nearPatienceMs) return maxNeighbours - mostNear
    let near = this.#state.neighbourOf.size - this.#farCount()
    for (const { key, isNear } of this.#candidates.values()) if (isNear && !this.#state.neighbourOf.has(key)) near++
    return maxNeighbours - Math.min(mostNear, near)
  }

  /**
   * Candidates that may be dialled now, best first: what the user gave, then near ones, then others, at
   * random.
   */
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

  /**
   * The neighbour that gives way to a newcomer: one that is complete as we are; else, of those that dialled
   * us and have had their time, the one that has requested, acknowledged and delivered nothing for longest.
   * `isDialled`: for a peer that we dialled because nobody has anything for us; then those that we dialled
   * before give way, too.
   */
  #findReplaceable(isDialled: boolean, nowMs: number): Neighbour | undefined {
    const isAnyone = isDialled && this.isStranded(nowMs)
    let least: Neighbour | undefined
    for (const neighbour of this.#state.neighbours) {
      if (neighbour === undefined) continue
      if (this.#isIdlePair(neighbour)) return neighbour
      const { upload, download, usefulMs, joinedMs, initiator, distance } = neighbour
      if (nowMs < this.#replaceMs || (initiator && !isAnyone) || nowMs - joinedMs < this.#replaceAfterMs) continue
      if (distance < FARTHEST || download.pending + upload.queued + upload.inFlight > 0) continue
      if (least === undefined || usefulMs < least.usefulMs) least = neighbour
    }
    return least
  }

  /** Both complete. */
  #isIdlePair(neighbour: Neighbour): boolean {
    const state = this.#state
    return state.have.isFull && state.isSeeder(neighbour) && neighbour.upload.underWay === 0
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
