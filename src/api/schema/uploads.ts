/**
 * Uploads in parts, as the API takes and gives them.
 */

import { type Static, Type } from 'typebox'
import { Root } from '../../http/route-schema.ts'
import { Nullable, Time } from './parts.ts'
import { Task } from './tasks.ts'

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
