/**
 * Limits, as the API takes and gives them.
 */

import { type Static, Type } from 'typebox'
import { Nullable, Rate } from './parts.ts'

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

const LimitRule = Type.Object(
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
