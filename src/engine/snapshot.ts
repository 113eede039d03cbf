/** What {@link Swarm.snapshot} says: plain data for CLI, API, dashboard and simulator alike. */

import type { PeerKey } from './contract.ts'

export interface SwarmSnapshot {
  readonly pieceCount: number
  readonly piecesHeld: number
  /** Wanted pieces that are not verified yet. */
  readonly piecesMissing: number
  readonly isComplete: boolean
  readonly isPaused: boolean
  readonly isLeaving: boolean
  readonly neighbours: number
  /** Known peers, connected or not. */
  readonly candidates: number
  readonly dialling: number
  /** Pieces requested and not received; received and not verified. */
  readonly pending: number
  readonly verifying: number
  /** Offers without answer, accepted requests waiting, pieces sent and not acknowledged, and how many of those the uplink takes. */
  readonly offersOut: number
  readonly queued: number
  readonly inFlight: number
  readonly window: number
  /** Payload bytes taken, sent, and received in vain. */
  readonly bytesDownloaded: number
  readonly bytesUploaded: number
  readonly bytesWasted: number
  /** Payload bytes taken from the content's origin, and pieces that should come from there. */
  readonly bytesFromOrigin: number
  readonly comingFromOrigin: number
  /** Who fetches from the origin for everybody, as far as this peer knows; whether it is one of them. */
  readonly keepers: readonly PeerKey[]
  readonly isKeeper: boolean
  /** Neighbours holding the rarest piece that we miss; undefined when we miss none. */
  readonly rarestHolders: number | undefined
  readonly peers: readonly NeighbourSnapshot[]
  /** What progress waits for, in words a user understands; undefined when nothing is missing or pieces keep arriving. */
  readonly waitingFor: string | undefined
}

export interface NeighbourSnapshot {
  readonly peer: PeerKey
  readonly piecesHeld: number
  readonly pending: number
  readonly offered: number
  readonly queued: number
  readonly inFlight: number
  readonly bytesDownloaded: number
  readonly bytesUploaded: number
  readonly rttMs: number | undefined
  readonly labels: Readonly<Record<string, string>>
}
