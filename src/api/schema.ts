/**
 * What the HTTP API takes and gives: a schema for every body, query and reply, and the TypeScript types derived from them.
 *
 * The OpenAPI document is made from these, so descriptions are for its readers. Rates are bytes per second, 0 means unlimited; times
 * are milliseconds since the epoch; a value that is not known (yet) is null. The dashboard and the client import the types only.
 */

import { type Static, Type } from 'typebox'
import { ErrorBody, Root } from '../http/route-schema.ts'

export { ErrorBody, Root }

const Rate = (description: string) => Type.Number({ minimum: 0, maximum: 1e12, description })
const Nullable = <T extends Type.TSchema>(schema: T) => Type.Union([schema, Type.Null()])
const Time = (description: string) => Type.Number({ description: `${description}, in milliseconds since the epoch` })
const Path = Type.String({ minLength: 1, maxLength: 4096 })

export const TaskState = Type.Union(
  [
    Type.Literal('queued'),
    Type.Literal('active'),
    Type.Literal('paused'),
    Type.Literal('complete'),
    Type.Literal('failed'),
    Type.Literal('cancelled'),
    Type.Literal('evicted')
  ],
  {
    description:
      'queued: waits for a free place. active: downloads. paused: asked to wait. complete: verified, in place and seeded. ' +
      'failed: see error; resume tries again. cancelled: given up, what was verified stays. evicted: deleted to keep the disk quota.'
  }
)
export type TaskState = Static<typeof TaskState>

export const TaskLimits = Type.Object({
  downloadBytesPerSecond: Rate('Of this task alone; the limits of the whole daemon hold besides'),
  uploadBytesPerSecond: Rate('Of this task alone')
})
export type TaskLimits = Static<typeof TaskLimits>

export const Task = Type.Object({
  id: Type.String(),
  kind: Type.Union([Type.Literal('get'), Type.Literal('seed')], {
    description: 'seed: shared where it lies; never deleted by us'
  }),
  root: Root,
  name: Type.String(),
  state: TaskState,
  position: Nullable(Type.Integer({ minimum: 1, description: 'Place in the queue, 1 is next' })),
  priority: Type.Integer({ description: 'Higher goes first' }),
  pinned: Type.Boolean({ description: 'Never evicted' }),
  limits: TaskLimits,
  bytesTotal: Nullable(Type.Number()),
  bytesDone: Type.Number({ description: 'Verified bytes' }),
  pieceCount: Nullable(Type.Number()),
  piecesDone: Nullable(Type.Number()),
  downloadRate: Type.Number(),
  uploadRate: Type.Number(),
  etaMs: Nullable(Type.Number({ description: 'Milliseconds until complete at the present rate' })),
  neighbours: Type.Integer({ description: 'Peers connected now' }),
  bytesDownloaded: Type.Number({ description: 'Payload received from peers, over all runs' }),
  bytesUploaded: Type.Number({ description: 'Payload sent to peers, over all runs' }),
  bytesWasted: Type.Number({ description: 'Payload received and thrown away' }),
  origin: Nullable(
    Type.Object({
      bytes: Type.Number({ description: 'Payload taken from the origins since the content was opened' }),
      rate: Type.Number(),
      isKeeper: Type.Boolean({ description: 'Whether this node is one of the few that fetch from the origin for all' }),
      keepers: Type.Integer(),
      urls: Type.Array(
        Type.Object({
          url: Type.String({ description: 'Without what signs it' }),
          fault: Type.Union([Type.String(), Type.Null()], { description: 'Why it is no longer asked' })
        })
      )
    })
  ),
  waitingFor: Nullable(Type.String({ description: 'Why nothing moves, in words' })),
  path: Nullable(Type.String({ description: 'Where the content is, or will be, on the daemon’s machine' })),
  link: Nullable(Type.String({ description: 'Link with the present addresses of this node' })),
  url: Type.String({ description: 'Where the gateway serves it, relative to this API' }),
  error: Nullable(ErrorBody),
  createdMs: Time('When it was added'),
  startedMs: Nullable(Time('When it last became active')),
  finishedMs: Nullable(Time('When it became complete')),
  lastUsedMs: Time('When it was last read through the gateway or drawn on by a peer')
})
export type Task = Static<typeof Task>

export const Hashing = Type.Object({
  path: Type.String({ description: 'The file or folder, on the daemon’s machine' }),
  bytesDone: Type.Number({ description: 'Bytes hashed' }),
  bytesTotal: Type.Number()
})
export type Hashing = Static<typeof Hashing>

export const TaskList = Type.Object({
  tasks: Type.Array(Task, { description: 'In the order of the queue, then the newest first' }),
  hashing: Type.Array(Hashing, {
    description:
      'What is being hashed to be seeded: a seed becomes a task when its root is known; one opened again is a task already'
  })
})
export type TaskList = Static<typeof TaskList>

const LeftFiles = Type.Array(Type.Object({ path: Type.String(), reason: Type.String() }), { maxItems: 100 })
export const Removed = Type.Object({
  changed: Type.Unsafe<{ path: string; reason: string }[]>({
    ...LeftFiles,
    description: 'What lies where files of the download were and is not what it wrote'
  }),
  beside: Type.Unsafe<{ path: string; reason: string }[]>({ ...LeftFiles, description: 'What others put among its files' })
})
export type Removed = Static<typeof Removed>

export const Priority = Type.Integer({
  minimum: -1000,
  maximum: 1000,
  description: 'Higher goes first; equal ones in the order they came'
})

const Origins = Type.Array(Type.String({ minLength: 8, maxLength: 4096, pattern: '^[hH][tT][tT][pP][sS]?://' }), {
  maxItems: 16,
  description:
    'HTTP(S) URLs that hold the whole content, asked for what peers lack; a fresh presigned URL takes the place of an expired one'
})

export const AddTask = Type.Object(
  {
    source: Type.Optional(
      Type.String({
        minLength: 1,
        maxLength: 65_536,
        description: 'A link (swarm:…), or the http(s) URL of a manifest'
      })
    ),
    manifest: Type.Optional(Type.Record(Type.String(), Type.Unknown(), { description: 'A manifest, whole' })),
    seed: Type.Optional(
      Type.String({
        ...Path,
        description: 'Absolute path of a file or folder of the daemon’s machine to hash and share where it lies'
      })
    ),
    name: Type.Optional(Type.String({ minLength: 1, maxLength: 255, description: 'With seed: the name in the manifest' })),
    pieceLength: Type.Optional(Type.Integer({ description: 'With seed: bytes per piece, a power of two' })),
    output: Type.Optional(
      Type.String({
        ...Path,
        description: 'Absolute path to get to; ending in / (or an existing folder): into it. Default: the complete folder'
      })
    ),
    only: Type.Optional(
      Type.Array(Type.String({ maxLength: 4096 }), {
        maxItems: 100,
        description: 'Of a folder, only files matching one of these globs'
      })
    ),
    peers: Type.Optional(
      Type.Array(Type.String({ maxLength: 1024 }), { maxItems: 100, description: 'Multiaddrs of peers to connect to' })
    ),
    origins: Type.Optional(Origins),
    originLimits: Type.Optional(
      Type.Partial(
        Type.Object({
          bytesPerSecond: Rate('Most to take from the origins of this content'),
          connections: Type.Integer({ minimum: 1, maximum: 16, description: 'Requests side by side to one origin' })
        }),
        { additionalProperties: false, description: 'Default: the options origin-limit and origin-connections' }
      )
    ),
    force: Type.Optional(Type.Boolean({ description: 'Overwrite an output that exists and differs' })),
    priority: Type.Optional(Priority),
    pinned: Type.Optional(Type.Boolean()),
    paused: Type.Optional(Type.Boolean({ description: 'Add it without starting it' })),
    limits: Type.Optional(Type.Partial(TaskLimits))
  },
  { additionalProperties: false, description: 'Exactly one of source, manifest and seed' }
)
export type AddTask = Static<typeof AddTask>

export const UpdateTask = Type.Object(
  {
    priority: Type.Optional(Priority),
    position: Type.Optional(
      Type.Integer({ minimum: 1, maximum: 1_000_000, description: 'Place among queued tasks of the same priority, 1 is first' })
    ),
    pinned: Type.Optional(Type.Boolean()),
    limits: Type.Optional(Type.Partial(TaskLimits, { additionalProperties: false })),
    origins: Type.Optional(Origins)
  },
  { additionalProperties: false, minProperties: 1 }
)
export type UpdateTask = Static<typeof UpdateTask>

/** `HH:MM` in the daemon's local time. */
const HourOfDay = Type.String({ pattern: '^([01]\\d|2[0-3]):[0-5]\\d$', description: 'HH:MM, in the daemon’s local time' })

const limitFields = {
  maxActiveDownloads: Type.Integer({ minimum: 1, maximum: 1000, description: 'Downloads at once; the rest waits in order' }),
  maxUploads: Type.Integer({
    minimum: 0,
    maximum: 10_000,
    description: 'Pieces being sent at once, over all contents; 0 leaves it to the engine'
  }),
  downloadBytesPerSecond: Rate('All tasks together'),
  uploadBytesPerSecond: Rate('All tasks together')
}

export const LimitRule = Type.Object(
  {
    from: HourOfDay,
    to: HourOfDay,
    days: Type.Optional(
      Type.Array(Type.Integer({ minimum: 0, maximum: 6 }), {
        maxItems: 7,
        description: 'Days on which the hours begin, 0 is Sunday. Default: all'
      })
    ),
    ...(Type.Partial(Type.Object(limitFields)).properties as {
      [K in keyof typeof limitFields]: Type.TOptional<(typeof limitFields)[K]>
    })
  },
  {
    additionalProperties: false,
    description: 'Between these hours (over midnight when from is after to) these values hold instead'
  }
)
export type LimitRule = Static<typeof LimitRule>

export const Limits = Type.Object({
  ...limitFields,
  quotaBytes: Type.Number({
    minimum: 0,
    maximum: Number.MAX_SAFE_INTEGER,
    description: 'Disk for downloaded content; 0 is unlimited. The least recently used complete, unpinned content goes first'
  }),
  schedule: Type.Array(LimitRule, { maxItems: 50, description: 'The first rule whose hours hold now wins' })
})
export type Limits = Static<typeof Limits>

export const PatchLimits = Type.Partial(
  Type.Object({
    maxActiveDownloads: Nullable(limitFields.maxActiveDownloads),
    maxUploads: Nullable(limitFields.maxUploads),
    downloadBytesPerSecond: Nullable(limitFields.downloadBytesPerSecond),
    uploadBytesPerSecond: Nullable(limitFields.uploadBytesPerSecond),
    quotaBytes: Nullable(Limits.properties.quotaBytes),
    schedule: Nullable(Limits.properties.schedule)
  }),
  { additionalProperties: false, minProperties: 1, description: 'null goes back to what the configuration says' }
)
export type PatchLimits = Static<typeof PatchLimits>

export const LimitsReply = Type.Object({
  limits: Limits,
  inForce: Type.Object({ ...limitFields }, { description: 'What holds now, by the hour' }),
  quota: Type.Object({ bytes: Type.Number(), usedBytes: Type.Number() })
})
export type LimitsReply = Static<typeof LimitsReply>

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

export const Health = Type.Object({ status: Type.Literal('ok') })
export const Readiness = Type.Object({
  status: Type.Union([Type.Literal('ready'), Type.Literal('starting'), Type.Literal('stopping')]),
  restoring: Type.Integer({ description: 'Contents still to be opened after the start' })
})

export const NewUpload = Type.Object(
  {
    name: Type.String({ minLength: 1, maxLength: 255, description: 'What the content is to be called' }),
    length: Type.Optional(Type.Integer({ minimum: 0, maximum: 2 ** 44, description: 'Bytes in all, when known' })),
    root: Type.Optional(Root),
    pieceLength: Type.Optional(
      Type.Integer({ minimum: 16_384, maximum: 16_777_216, description: 'Bytes per piece; part of the root' })
    )
  },
  {
    additionalProperties: false,
    description: 'With the root, a content that is here already needs no bytes, and an unfinished upload goes on'
  }
)
export type NewUpload = Static<typeof NewUpload>

export const Part = Type.Object({
  part: Type.Integer({ minimum: 1, maximum: 10_000 }),
  bytes: Type.Number(),
  checksum: Type.String({ description: 'SHA-256, hex' })
})
export type Part = Static<typeof Part>

export const CopyPart = Type.Object(
  {
    root: Root,
    start: Type.Integer({ minimum: 0, description: 'First byte of the content' }),
    end: Type.Integer({ minimum: 1, description: 'Behind the last byte' })
  },
  { additionalProperties: false }
)
export type CopyPart = Static<typeof CopyPart>

export const Upload = Type.Object({
  id: Type.String(),
  state: Type.Union([Type.Literal('open'), Type.Literal('completing'), Type.Literal('complete')]),
  name: Type.String(),
  length: Nullable(Type.Number()),
  root: Nullable(Root),
  received: Type.Number({ description: 'Bytes that are here and durable' }),
  parts: Type.Array(Part),
  task: Nullable(Task),
  createdMs: Type.Number(),
  expiresMs: Time('It is deleted if no part comes before')
})
export type Upload = Static<typeof Upload>

export const UploadList = Type.Object({ uploads: Type.Array(Upload) })
export type UploadList = Static<typeof UploadList>
