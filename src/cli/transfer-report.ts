/**
 * How a transfer looks on a terminal and in JSON: progress while it runs, and who gave and took what when it
 * ends. Callers: seed, get. The JSON names are documented in docs/CLI.md.
 */

import type { PeerSnapshot, Transfer, TransferSnapshot } from '../node/types.ts'
import { formatBytes, formatDuration, formatRate } from '../util/sizes.ts'
import { percent } from './hashing.ts'
import { bar, type Ui } from './ui.ts'

/** Peers named in a summary; the rest are counted. */
const PEERS_SHOWN = 8

/** The live lines of a download: how far, how fast, how long, and what it waits for when it does not move. */
export function downloadLines(snapshot: TransferSnapshot): string[] {
  const { bytesDone, bytesTotal, etaMs } = snapshot
  const lines = [
    `${snapshot.name}  ${bar(bytesTotal === 0 ? 1 : bytesDone / bytesTotal)} ${percent(bytesDone, bytesTotal)}  ${formatBytes(bytesDone)} of ${formatBytes(bytesTotal)}  ${rates(snapshot)}${etaMs === undefined ? '' : `  ETA ${formatDuration(etaMs)}`}`
  ]
  if (snapshot.waitingFor !== undefined) lines.push(`waiting: ${snapshot.waitingFor}`)
  return lines
}

/** The live line of a node that only serves. */
export function servingLine(snapshot: TransferSnapshot): string {
  return `serving ${snapshot.name}  ${formatBytes(snapshot.bytesUploaded)} sent  up ${formatRate(snapshot.uploadRate)}  ${peerCount(snapshot.neighbours)}`
}

function rates({ downloadRate, uploadRate, neighbours }: TransferSnapshot): string {
  return `down ${formatRate(downloadRate)}  up ${formatRate(uploadRate)}  ${peerCount(neighbours)}`
}

function peerCount(count: number): string {
  return `${count} peer${count === 1 ? '' : 's'}`
}

/** The fields of a `progress` event. */
export function progressFields(snapshot: TransferSnapshot): object {
  return {
    phase: snapshot.state,
    bytesDone: snapshot.bytesDone,
    bytesTotal: snapshot.bytesTotal,
    piecesDone: snapshot.piecesDone,
    pieceCount: snapshot.pieceCount,
    downloadBytesPerSecond: Math.round(snapshot.downloadRate),
    uploadBytesPerSecond: Math.round(snapshot.uploadRate),
    etaMs: snapshot.etaMs === undefined ? null : Math.round(snapshot.etaMs),
    neighbours: snapshot.neighbours,
    waitingFor: snapshot.waitingFor ?? null,
    ...totals(snapshot)
  }
}

function totals({ bytesDownloaded, bytesUploaded, bytesWasted }: TransferSnapshot): object {
  return { bytesDownloaded, bytesUploaded, bytesWasted }
}

/** Totals and one row per peer that gave or took anything, for `complete`, `served` and `stopped` events. */
export function trafficFields(snapshot: TransferSnapshot): object {
  const peers = snapshot.peers
    .filter(peer => peer.bytesDownloaded + peer.bytesUploaded > 0)
    .map(({ peer, address, encryption, bytesDownloaded, bytesUploaded }) => ({
      peer,
      address,
      encryption,
      bytesDownloaded,
      bytesUploaded
    }))
  return { ...totals(snapshot), peers }
}

/** Says where the bytes came from, the largest giver first. */
export function reportSources(ui: Ui, snapshot: TransferSnapshot): void {
  reportPeers(ui, 'from', snapshot.peers, peer => peer.bytesDownloaded)
  if (snapshot.bytesWasted > 0) ui.result(`wasted    ${formatBytes(snapshot.bytesWasted)} arrived damaged or twice`)
}

/** Says how much was served and to whom. */
export function reportServed(ui: Ui, snapshot: TransferSnapshot): void {
  const takers = snapshot.peers.filter(peer => peer.bytesUploaded > 0).length
  ui.result(`served    ${formatBytes(snapshot.bytesUploaded)} to ${peerCount(takers)}`)
  reportPeers(ui, 'to', snapshot.peers, peer => peer.bytesUploaded)
}

function reportPeers(ui: Ui, word: string, peers: readonly PeerSnapshot[], bytesOf: (peer: PeerSnapshot) => number): void {
  const rows = peers.filter(peer => bytesOf(peer) > 0).sort((a, b) => bytesOf(b) - bytesOf(a) || (a.peer < b.peer ? -1 : 1))
  const total = rows.reduce((sum, peer) => sum + bytesOf(peer), 0)
  for (const peer of rows.slice(0, PEERS_SHOWN)) {
    ui.result(
      `${word.padEnd(9)} ${formatBytes(bytesOf(peer)).padStart(8)}  ${percent(bytesOf(peer), total).padStart(5)}  ${peer.peer}  ${peer.address}`
    )
  }
  if (rows.length > PEERS_SHOWN) ui.result(`${word.padEnd(9)} … and ${rows.length - PEERS_SHOWN} more`)
}

/**
 * Passes on what happens to a transfer: warnings always, comings and goings of peers with `--verbose` or
 * `--json`, each verified piece with both.
 */
export function followEvents(ui: Ui, transfer: Transfer): void {
  transfer.on('warning', warning => {
    ui.event('warning', warning)
    ui.warning(warning.message)
  })
  if (ui.verbose) transfer.on('piece', ({ piece, peer }) => ui.event('piece', { piece, peer: peer ?? null }))
  transfer.on('peer', ({ peer, event, reason }) => {
    ui.event('peer', { peer, change: event, reason: reason ?? null })
    ui.detail(`peer ${peer} ${event}${reason === undefined ? '' : ` (${reason})`}`)
  })
}
