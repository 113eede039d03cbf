/**
 * Schemas that the routes of the API and of the fronts share, and the shape of every error.
 */

import { type Static, Type } from 'typebox'

export const Root = Type.String({
  pattern: '^[0-9a-f]{64}$',
  description: 'The root of a content: 64 lower-case hex digits'
})

export const ErrorBody = Type.Object(
  {
    code: Type.String({ description: 'Stable name of the error' }),
    message: Type.String({ description: 'What happened, for people' }),
    details: Type.Record(Type.String(), Type.Unknown(), { description: 'Facts for programs: a path, a field, an errno' })
  },
  { description: 'Every error has this shape' }
)
export type ErrorBody = Static<typeof ErrorBody>

export const Id = Type.Object({ id: Type.String({ maxLength: 64 }) })
export const Empty = Type.Null({ description: 'Nothing' })
export const Bytes = Type.Unsafe<unknown>({ type: 'string', format: 'binary' })
export const replies = <T extends Record<number, Type.TSchema>>(good: T) => ({ ...good, '4xx': ErrorBody, '5xx': ErrorBody })
