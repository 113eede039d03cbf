/**
 * What a node sees of its swarms and folders, as the API gives it.
 */

import { type Static, Type } from 'typebox'
import { Root } from '../../http/route-schema.ts'
import { Nullable } from './parts.ts'

export const Peer = Type.Object({
  peer: Type.String(),
  address: Type.String(),
  encryption: Type.String(),
  connected: Type.Boolean(),
  piecesHeld: Type.Number(),
  bytesDownloaded: Type.Number({ description: 'Payload received from it' }),
  bytesUploaded: Type.Number({ description: 'Payload sent to it' }),
  downloadRate: Type.Number(),
  uploadRate: Type.Number(),
  rttMs: Nullable(Type.Number())
})
export type Peer = Static<typeof Peer>

export const SwarmView = Type.Object({
  root: Root,
  name: Type.String(),
  state: Type.String(),
  length: Type.Number(),
  pieceLength: Type.Number(),
  pieceCount: Type.Number(),
  piecesDone: Type.Number(),
  have: Type.String({ description: 'Pieces verified here: a bitfield in base64, piece 0 is the highest bit of the first byte' }),
  holders: Type.Array(Type.Integer(), { description: 'For each piece, how many connected peers hold it' }),
  distributedCopies: Type.Number({
    description: 'Whole copies among connected peers and us: the rarest piece’s holders, and what share has more'
  }),
  neighbours: Type.Integer(),
  downloadRate: Type.Number(),
  uploadRate: Type.Number(),
  bytesDownloaded: Type.Number(),
  bytesUploaded: Type.Number(),
  bytesWasted: Type.Number(),
  bytesBySource: Type.Array(Type.Object({ source: Type.String(), bytes: Type.Number() }), {
    description: 'Where the bytes came from: each peer, and what was found on disk'
  }),
  files: Type.Array(Type.Object({ path: Type.String(), length: Type.Number(), url: Type.String() }), { maxItems: 1_000_000 }),
  peers: Type.Array(Peer),
  waitingFor: Nullable(Type.String())
})
export type SwarmView = Static<typeof SwarmView>

export const Probe = Type.Object({
  version: Type.String(),
  peer: Type.String({ description: 'Peer id of this node' }),
  addresses: Type.Array(Type.String()),
  uptimeMs: Type.Number(),
  downloadRate: Type.Number(),
  uploadRate: Type.Number(),
  readers: Type.Integer({ description: 'Gateway readers being served now' }),
  tasks: Type.Record(Type.String(), Type.Integer(), { description: 'How many tasks are in each state' }),
  notices: Type.Array(Type.String(), { description: 'What the operator should know of this run, in words' }),
  swarms: Type.Array(
    Type.Object({
      root: Root,
      name: Type.String(),
      state: Type.String(),
      pieceCount: Type.Number(),
      piecesDone: Type.Number(),
      neighbours: Type.Integer(),
      distributedCopies: Type.Number(),
      downloadRate: Type.Number(),
      uploadRate: Type.Number(),
      bytesDownloaded: Type.Number(),
      bytesUploaded: Type.Number()
    })
  )
})
export type Probe = Static<typeof Probe>

export const ScanReport = Type.Object({
  folders: Type.Array(Type.String()),
  manifests: Type.Integer({ description: 'Manifests found' }),
  added: Type.Array(Root, { description: 'Newly verified and seeded' }),
  known: Type.Integer({ description: 'Already seeded' }),
  problems: Type.Array(Type.Object({ manifest: Type.String(), code: Type.String(), message: Type.String() }), {
    description: 'Manifests that cannot be read, whose file is missing, or whose file differs'
  })
})
export type ScanReport = Static<typeof ScanReport>
