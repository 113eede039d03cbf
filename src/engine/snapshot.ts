/** What {@link Swarm.snapshot} says: plain data for CLI, API, dashboard and simulator alike. Reads only. */

import type { PeerKey } from './contract.ts'
import type { PeerSet } from './discovery/neighbours.ts'
import type { Downloader } from './download/downloader.ts'
import type { Neighbour } from './neighbour.ts'
import type { OriginShare } from './origin/share.ts'
import type { SwarmState } from './state.ts'
import type { Uploader } from './upload/uploader.ts'
import { describeWait } from './wait-reason.ts'

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
  /**
   * Offers without answer, accepted requests waiting, pieces sent and not acknowledged, and how many of those
   * the uplink takes.
   */
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
  /**
   * What progress waits for, in words a user understands; undefined when nothing is missing or pieces keep
   * arriving.
   */
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

/** What a snapshot is taken of. */
interface Subject {
  readonly state: SwarmState
  readonly peers: PeerSet
  readonly uploader: Uploader
  readonly downloader: Downloader
  readonly origin: OriginShare
  readonly isDownloadLimited: boolean
  readonly nowMs: number
}

export function takeSnapshot({ state, peers, uploader, downloader, origin, isDownloadLimited, nowMs }: Subject): SwarmSnapshot {
  return {
    pieceCount: state.geometry.pieceCount,
    piecesHeld: state.have.count,
    piecesMissing: state.wantedMissing,
    isComplete: state.isComplete,
    isPaused: state.isPaused,
    isLeaving: state.isLeaving,
    neighbours: state.neighbourOf.size,
    candidates: peers.candidateCount,
    dialling: peers.diallingCount,
    pending: downloader.pendingPieces,
    verifying: state.verifying,
    offersOut: uploader.offersOut,
    queued: uploader.waiting,
    inFlight: uploader.inFlight,
    window: uploader.windowPieces,
    bytesDownloaded: downloader.bytesDownloaded,
    bytesUploaded: uploader.bytesUploaded,
    bytesWasted: downloader.bytesWasted,
    bytesFromOrigin: origin.bytesFetched,
    comingFromOrigin: state.comingFromOrigin.size,
    keepers: origin.keepers.peers,
    isKeeper: origin.isKeeper,
    rarestHolders: rarestHoldersOf(state),
    peers: state.neighbours.flatMap(neighbour => (neighbour === undefined ? [] : neighbourSnapshot(neighbour, state))),
    waitingFor: describeWait({
      state,
      pending: downloader.pendingPieces,
      candidates: peers.candidateCount,
      dialling: peers.diallingCount,
      isDownloadLimited,
      sincePieceMs: nowMs - downloader.lastPieceMs
    })
  }
}

function neighbourSnapshot({ key, slot, upload, download, rttMs, labels }: Neighbour, { table }: SwarmState): NeighbourSnapshot {
  return {
    peer: key,
    piecesHeld: table.held[slot] as number,
    pending: download.pending,
    offered: upload.offered,
    queued: upload.queued + upload.wishes.size,
    inFlight: upload.inFlight,
    bytesDownloaded: download.bytesDownloaded,
    bytesUploaded: upload.bytesUploaded,
    rttMs,
    labels
  }
}

function rarestHoldersOf({ table }: SwarmState): number | undefined {
  const { missing } = table
  return missing.size === 0 ? undefined : table.holdersOf(missing.at(0))
}

/** Whether some neighbour still lacks a piece that we have. */
export function isAnyoneInNeed({ table, neighbours, have }: SwarmState): boolean {
  return neighbours.some(neighbour => {
    if (neighbour === undefined) return false
    if (!neighbour.isKnown || neighbour.upload.underWay > 0) return true
    if ((table.held[neighbour.slot] as number) < have.count) return true
    for (let index = 0; index < table.own.size; index++) if (!table.slotHolds(neighbour.slot, table.own.at(index))) return true
    return false
  })
}
