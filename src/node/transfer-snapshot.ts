/**
 * What a transfer's user sees of it: progress, peers, rates, and what it waits for. Reads only. Used by
 * transfer.ts.
 */

import type { Manifest } from '../content/manifest.ts'
import type { SwarmSnapshot } from '../engine/snapshot.ts'
import type { OriginError } from '../errors.ts'
import type { Host } from '../network/types.ts'
import type { SwarmDriver } from './driver.ts'
import type { OriginSnapshot, PeerSnapshot, TransferSnapshot } from './types.ts'

interface Count {
  readonly wanted: number
  readonly done: number
}

interface Subject {
  readonly manifest: Manifest
  readonly host: Host
  readonly driver: SwarmDriver
  readonly state: TransferSnapshot['state']
  readonly pieces: Count
  readonly bytes: Count
  /** Why no origin is left; undefined: there is one, or there never was. */
  readonly originFault: OriginError | undefined
}

export function takeTransferSnapshot(subject: Subject): TransferSnapshot {
  const { manifest, driver, state, pieces, bytes } = subject
  const nowMs = performance.now()
  const engine = driver.engine.snapshot()
  const { traffic } = driver
  const downloadRate = traffic.down.rate(nowMs)
  const bytesLeft = bytes.wanted - bytes.done
  const isDownloading = state === 'downloading'
  return {
    root: manifest.root,
    name: manifest.name,
    state: isDownloading && driver.peers.size === 0 && traffic.origin.total === 0 ? 'finding' : state,
    bytesTotal: bytes.wanted,
    bytesDone: bytes.done,
    pieceCount: pieces.wanted,
    piecesDone: pieces.done,
    downloadRate,
    uploadRate: traffic.up.rate(nowMs),
    etaMs: isDownloading && downloadRate > 0 ? (bytesLeft / downloadRate) * 1000 : undefined,
    neighbours: driver.peers.size,
    peers: peersOf(subject, engine, nowMs),
    bytesWasted: traffic.bytesWasted,
    bytesDownloaded: traffic.down.total,
    bytesUploaded: traffic.up.total,
    origin: originOf(driver, engine, nowMs),
    waitingFor: isDownloading && bytesLeft > 0 ? waitingFor(subject, engine.waitingFor) : undefined
  }
}

function peersOf({ driver, host }: Subject, engine: SwarmSnapshot, nowMs: number): PeerSnapshot[] {
  return [...driver.traffic.peers.values()].map(({ peer, address, encryption, down, up }) => {
    const neighbour = engine.peers.find(each => each.peer === peer)
    return {
      peer,
      address,
      encryption,
      piecesHeld: neighbour?.piecesHeld ?? 0,
      bytesDownloaded: down.total,
      bytesUploaded: up.total,
      downloadRate: down.rate(nowMs),
      uploadRate: up.rate(nowMs),
      rttMs: host.rttMs(peer) ?? neighbour?.rttMs,
      connected: driver.peers.has(peer)
    }
  })
}

function originOf(driver: SwarmDriver, { keepers, isKeeper }: SwarmSnapshot, nowMs: number): OriginSnapshot | undefined {
  const { origins: urls } = driver
  if (urls === undefined) return undefined
  const { origin } = driver.traffic
  return { bytes: origin.total, rate: origin.rate(nowMs), isKeeper, keepers: keepers.length, urls }
}

function waitingFor({ driver, originFault }: Subject, engineSays: string | undefined): string | undefined {
  if (driver.peers.size > 0) return engineSays
  if (originFault !== undefined) return originFault.message
  if (driver.origins !== undefined) return engineSays
  return `no peer is connected (${whatWasTried(driver)})`
}

/** Where peers were looked for, and how that went, in words. */
export function whatWasTried({ tried: { hints, dht, dhtFound, mdns }, dials }: SwarmDriver): string {
  const tried = [`${hints} given peer(s)`, `DHT asked ${dht} time(s), ${dhtFound} found`, `mDNS saw ${mdns}`]
  if (dials.failed > 0) tried.push(`${dials.failed} of ${dials.tried} connection(s) failed, the last with "${dials.lastError}"`)
  return `tried ${tried.join('; ')}`
}
