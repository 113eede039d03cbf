/**
 * What a node sees of a swarm, as the API says it. Pure functions of a transfer's snapshot; called by the
 * routes.
 */

import { Buffer } from 'node:buffer'
import type { Transfer, TransferSnapshot } from '../../node/types.ts'
import type { Peer, Probe, SwarmView } from '../schema/swarms.ts'

export function viewSwarm(transfer: Transfer): SwarmView {
  const { manifest } = transfer
  const snapshot = transfer.snapshot()
  const { have, holders } = transfer.availability()
  const found = Math.max(0, snapshot.bytesDone + snapshot.bytesWasted - snapshot.bytesDownloaded)
  return {
    root: transfer.root,
    name: manifest.name,
    state: snapshot.state,
    length: manifest.length,
    pieceLength: manifest.pieceLength,
    pieceCount: holders.length,
    piecesDone: snapshot.piecesDone,
    have: Buffer.from(have).toString('base64'),
    holders,
    distributedCopies: distributedCopies(have, holders),
    neighbours: snapshot.neighbours,
    downloadRate: snapshot.downloadRate,
    uploadRate: snapshot.uploadRate,
    bytesDownloaded: snapshot.bytesDownloaded,
    bytesUploaded: snapshot.bytesUploaded,
    bytesWasted: snapshot.bytesWasted,
    bytesBySource: [
      ...(found > 0 ? [{ source: 'disk', bytes: found }] : []),
      ...snapshot.peers.filter(peer => peer.bytesDownloaded > 0).map(peer => ({ source: peer.peer, bytes: peer.bytesDownloaded }))
    ],
    files: (manifest.files ?? [{ path: manifest.name, length: manifest.length }]).map(({ path, length }) => ({
      path,
      length,
      url: `/files/${transfer.root}/${path.split('/').map(encodeURIComponent).join('/')}`
    })),
    peers: viewPeers(snapshot),
    waitingFor: snapshot.waitingFor ?? null
  }
}

export function summarizeSwarm(transfer: Transfer): Probe['swarms'][number] {
  const snapshot = transfer.snapshot()
  const { have, holders } = transfer.availability()
  return {
    root: transfer.root,
    name: snapshot.name,
    state: snapshot.state,
    pieceCount: holders.length,
    piecesDone: snapshot.piecesDone,
    neighbours: snapshot.neighbours,
    distributedCopies: distributedCopies(have, holders),
    downloadRate: snapshot.downloadRate,
    uploadRate: snapshot.uploadRate,
    bytesDownloaded: snapshot.bytesDownloaded,
    bytesUploaded: snapshot.bytesUploaded
  }
}

/** Holders of the rarest piece, ourselves included, plus the share of pieces that have more; two decimals. */
function distributedCopies(have: Uint8Array, holders: readonly number[]): number {
  if (holders.length === 0) return 0
  const copies = holders.map((count, piece) => count + (((have[piece >> 3] ?? 0) & (0x80 >> (piece & 7))) === 0 ? 0 : 1))
  const rarest = copies.reduce((least, count) => Math.min(least, count), Number.POSITIVE_INFINITY)
  const more = copies.reduce((sum, count) => sum + (count > rarest ? 1 : 0), 0)
  return Math.floor((rarest + more / copies.length) * 100) / 100
}

function viewPeers(snapshot: TransferSnapshot): Peer[] {
  return snapshot.peers
    .map(peer => ({ ...peer, rttMs: peer.rttMs ?? null }))
    .sort(
      (a, b) =>
        Number(b.connected) - Number(a.connected) || b.bytesDownloaded + b.bytesUploaded - a.bytesDownloaded - a.bytesUploaded
    )
}
