/**
 * Says in plain words what a swarm waits for. Reads only; called by `Swarm.snapshot()`.
 */

import type { SwarmState } from './state.ts'

/** Without a piece for this long, a user wants to know why, in ms. */
const QUIET_MS = 1000

export interface WaitFacts {
  readonly state: SwarmState
  readonly pending: number
  readonly candidates: number
  readonly dialling: number
  readonly isDownloadLimited: boolean
  readonly sincePieceMs: number
}

export function describeWait({
  state,
  pending,
  candidates,
  dialling,
  isDownloadLimited,
  sincePieceMs
}: WaitFacts): string | undefined {
  if (state.isComplete) return undefined
  if (state.isLeaving) return 'this peer is leaving the swarm'
  if (state.isPaused) return 'paused by the user'
  if (state.storeFault !== undefined) return `the disk cannot keep pieces: ${state.storeFault}`
  if (isDownloadLimited) return 'our own download limit is reached'
  if (sincePieceMs < QUIET_MS) return undefined
  if (state.verifying > 0 && pending === 0) return `${count(state.verifying, 'piece')} being hashed and written`
  if (state.comingFromOrigin.size > 0) return `${count(state.comingFromOrigin.size, 'piece')} on the way from the origin`
  if (state.neighbourOf.size === 0) {
    if (dialling > 0) return `connecting to ${count(dialling, 'peer')}`
    if (candidates > 0) return `${count(candidates, 'peer')} known, none reachable yet`
    return 'no peer of this content found yet'
  }
  const { table } = state
  let nowhere = 0
  let example = -1
  let seeders = 0
  for (let index = 0; index < table.missing.startOf(1); index++) {
    nowhere++
    const piece = table.missing.at(index)
    if (example < 0 || piece < example) example = piece
  }
  for (const neighbour of state.neighbours) if (neighbour !== undefined && state.isSeeder(neighbour)) seeders++
  if (nowhere > 0 && nowhere === table.missing.size) {
    return nowhere === 1
      ? `no connected peer has piece ${example}, the last one missing`
      : `no connected peer has any of the ${nowhere} missing pieces (piece ${example} and others)`
  }
  if (pending > 0) {
    const from = state.neighbours.filter(neighbour => neighbour !== undefined && neighbour.download.pending > 0).length
    return `${count(pending, 'piece')} on the way from ${count(from, 'peer')}`
  }
  return `all ${count(state.neighbourOf.size, 'connected peer')} are busy serving others (${count(seeders, 'seeder')})`
}

function count(number: number, noun: string): string {
  return `${number} ${noun}${number === 1 ? '' : 's'}`
}
