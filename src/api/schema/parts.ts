/**
 * Pieces of the API's schemas. Rates are bytes per second, 0 is unlimited; times are milliseconds since the
 * epoch; a value that is not known (yet) is null.
 *
 * The schemas in this folder are what the API takes and gives, one file for each area; the OpenAPI document
 * is made from them, so descriptions are for its readers. The dashboard and the client import their types
 * alone.
 */

import { Type } from 'typebox'

export const Rate = (description: string) => Type.Number({ minimum: 0, maximum: 1e12, description })
export const Nullable = <T extends Type.TSchema>(schema: T) => Type.Union([schema, Type.Null()])
export const Time = (description: string) => Type.Number({ description: `${description}, in milliseconds since the epoch` })
export const Path = Type.String({ minLength: 1, maxLength: 4096 })
