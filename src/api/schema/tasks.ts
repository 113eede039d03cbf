/**
 * Tasks, as the API takes and gives them.
 */

import { type Static, Type } from 'typebox'
import { ErrorBody, Root } from '../../http/route-schema.ts'
import { Nullable, Path, Rate, Time } from './parts.ts'

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

const TaskLimits = Type.Object({
  downloadBytesPerSecond: Rate('Of this task alone; the limits of the whole daemon hold besides'),
  uploadBytesPerSecond: Rate('Of this task alone')
})

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

const Priority = Type.Integer({
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
