/**
 * What the API takes and gives about access: tokens, logins, signed addresses.
 */

import { type Static, Type } from 'typebox'
import { Root } from '../../http/route-schema.ts'

const Scopes = Type.Array(
  Type.Union([Type.Literal('read'), Type.Literal('get'), Type.Literal('upload'), Type.Literal('admin')]),
  {
    minItems: 1,
    maxItems: 4,
    uniqueItems: true,
    description: 'read: look and read contents. get: have contents downloaded. upload: bring some. admin: everything'
  }
)
const Roots = Type.Array(Root, {
  maxItems: 1000,
  description: 'Contents that it is for, with those in folders; none of both: all'
})
const Folders = Type.Array(Type.String({ minLength: 1, maxLength: 4096 }), {
  maxItems: 100,
  description: 'Absolute paths of the daemon’s machine; it is for contents that lie in them'
})
const Name = Type.String({
  pattern: '^[A-Za-z0-9][A-Za-z0-9._ -]{0,63}$',
  description: 'What the audit log calls its holder'
})
const Ends = Type.Number({ minimum: 0, maximum: Number.MAX_SAFE_INTEGER, description: 'Milliseconds since the epoch' })

export const NewToken = Type.Object(
  {
    name: Name,
    scopes: Scopes,
    roots: Type.Optional(Roots),
    folders: Type.Optional(Folders),
    expiresMs: Type.Optional(Ends)
  },
  { additionalProperties: false }
)
export type NewToken = Static<typeof NewToken>

export const TokenView = Type.Object({
  id: Type.String(),
  name: Name,
  scopes: Scopes,
  roots: Roots,
  folders: Folders,
  createdMs: Type.Number(),
  expiresMs: Type.Union([Ends, Type.Null()])
})
export type TokenView = Static<typeof TokenView>

export const CreatedToken = Type.Object({
  ...TokenView.properties,
  token: Type.String({ description: 'Told here and never again: only its hash is kept' })
})
export type CreatedToken = Static<typeof CreatedToken>

export const TokenList = Type.Object({ tokens: Type.Array(TokenView) })
export type TokenList = Static<typeof TokenList>

export const Login = Type.Object({ token: Type.String({ maxLength: 4096 }) }, { additionalProperties: false })
export const LoginReply = Type.Object({ authenticated: Type.Boolean() })

export const LoginAddress = Type.Object({
  url: Type.String({ description: 'Relative to this API; works once and for a minute, and leads to the dashboard' })
})
export type LoginAddress = Static<typeof LoginAddress>

export const SignUrl = Type.Object(
  {
    root: Root,
    path: Type.Optional(Type.String({ minLength: 1, maxLength: 4096, description: 'Of a folder: the file in it' })),
    expiresMs: Ends
  },
  { additionalProperties: false }
)
export type SignUrl = Static<typeof SignUrl>

export const SignedUrl = Type.Object({
  url: Type.String({ description: 'Relative to this API; read without a token until it ends' }),
  expiresMs: Ends
})
export type SignedUrl = Static<typeof SignedUrl>
