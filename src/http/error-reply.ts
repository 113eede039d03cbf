/**
 * Whatever is thrown, answered in the one shape of every error; only a bug of ours is logged as one.
 */

import type { FastifyError, FastifyInstance } from 'fastify'
import { faultOf } from '../daemon/fault.ts'
import { withoutQuery } from '../daemon/unsigned.ts'
import { httpStatusOf, InvalidOptionsError, NotFoundError, RequestRefusedError, SwarmError } from '../errors.ts'

export function answerErrors(app: FastifyInstance): void {
  app.setErrorHandler((thrown: FastifyError | Error, request, reply) => {
    const err = translate(thrown)
    const status = httpStatusOf(err)
    if (status >= 500 && !(err instanceof SwarmError))
      request.log.error({ err, url: withoutQuery(request.url) }, 'request failed')
    if (err instanceof RequestRefusedError && err.code === 'unauthorized') reply.header('www-authenticate', 'Bearer')
    if (status === 503) reply.header('retry-after', '5')
    if (status === 429 && err instanceof SwarmError)
      reply.header('retry-after', Math.ceil(Number(err.details.retryAfterMs ?? 1000) / 1000))
    void reply.removeHeader('content-length')
    return reply.code(status).type('application/json').send(faultOf(err))
  })
  app.setNotFoundHandler((request, reply) => {
    const path = withoutQuery(request.url).slice(0, 200)
    return reply.code(404).send(faultOf(new NotFoundError('there is nothing at this address', { method: request.method, path })))
  })
}

/** What Fastify and its plugins throw, as one of our errors. */
function translate(err: FastifyError | Error): Error {
  if (err instanceof SwarmError) return err
  const { code, statusCode, validation, validationContext } = err as FastifyError
  if (validation !== undefined) {
    const [fault] = validation
    const field = `${validationContext ?? 'request'}${fault?.instancePath ?? ''}`
    return new InvalidOptionsError(`${field}: ${fault?.message ?? err.message}`, { field, ...fault?.params })
  }
  if (statusCode === 413) return new RequestRefusedError('too_large', err.message)
  if (statusCode !== undefined && statusCode >= 400 && statusCode < 500)
    return new InvalidOptionsError(err.message, { reason: code })
  return err
}
