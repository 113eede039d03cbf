/**
 * A peer that corrupts: it joins the swarm of a manifest, claims and offers every piece, and sends wrong
 * bytes. It speaks the wire itself, because the product has no way to lie. `node corrupt-peer.ts
 * <manifest> <bootstrap address> <listen address>`.
 */

import { randomBytes } from 'node:crypto'
import { setTimeout as sleep } from 'node:timers/promises'
import { Bitfield } from '../../src/content/bitfield.ts'
import { encodePieceList, geometryOf } from '../../src/content/piece-list.ts'
import { createHost } from '../../src/network/host.ts'
import type { PeerStream, SwarmListener } from '../../src/network/types.ts'
import { readManifest } from '../../src/node/manifests.ts'
import { decodeHex } from '../../src/util/bytes.ts'
import { WIRE_VERSION } from '../../src/wire/messages.ts'

/** Pieces offered at a time, and how often. */
const OFFERED = 4
const OFFER_INTERVAL_MS = 500

const [manifestPath = '', bootstrap = '', listen = ''] = process.argv.slice(2)
const manifest = await readManifest(manifestPath)
const root = decodeHex(manifest.root)
if (root === undefined) throw new Error(`${manifestPath} has no root`)
const geometry = geometryOf(manifest)
const host = await createHost({ bootstrap: [bootstrap], listen: [listen], mdns: false })
const pieceList = encodePieceList(manifest)
const links = new Set<PeerStream>()
const known = new Set<string>()

const listener: SwarmListener = {
  root,
  hello: { type: 'hello', version: WIRE_VERSION, pieceCount: geometry.pieceCount, labels: {} },
  maxPieceBytes: geometry.pieceLength,
  accepts: () => true,
  onPeerStream: corrupt,
  pieceList: () => pieceList
}

function corrupt(link: PeerStream): void {
  links.add(link)
  link.start({
    onMessage: message => {
      if (message.type !== 'request') return
      for (const piece of message.pieces) {
        const bytes = geometry.pieceBytes(piece)
        link.sendPiece({ piece, bytes }, randomBytes(bytes)).catch(() => {})
      }
    },
    onPiece: () => {},
    onClose: () => links.delete(link)
  })
  link.send({ type: 'bitfield', bits: Bitfield.full(geometry.pieceCount).toBytes() })
}

async function lookAround(): Promise<void> {
  for await (const { peer, addresses } of host.router.find(listener.root)) {
    if (peer === host.peer || known.has(peer)) continue
    known.add(peer)
    const link = await host.connect(peer, addresses, listener).catch(() => undefined)
    if (link !== undefined && !links.has(link)) corrupt(link)
  }
}

host.listen(listener)
console.log(JSON.stringify({ event: 'listening', peer: host.peer }))
// Stands beside the swarm for as long as the rig lets it; refusals and an empty DHT are the normal course of
// things.
for (let round = 0; ; round++) {
  await sleep(OFFER_INTERVAL_MS)
  for (const link of links) {
    const pieces = Array.from({ length: OFFERED }, (_, index) => (round * OFFERED + index) % geometry.pieceCount)
    link.send({ type: 'offer', pieces: [...new Set(pieces)] })
  }
  if (round % 4 !== 0) continue
  await host.router.announce(listener.root).catch(() => false)
  await lookAround().catch(() => {})
}
