/**
 * Health, as the API gives it.
 */

import { Type } from 'typebox'

export const Health = Type.Object({ status: Type.Literal('ok') })
export const Readiness = Type.Object({
  status: Type.Union([Type.Literal('ready'), Type.Literal('starting'), Type.Literal('stopping')]),
  restoring: Type.Integer({ description: 'Contents still to be opened after the start' })
})
