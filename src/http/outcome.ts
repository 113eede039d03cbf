/**
 * What is recorded of an answered request: a metric, a line for debugging, a line of the audit log, and a
 * count of refusals.
 */

import type { FastifyReply, FastifyRequest } from 'fastify'
import type { AuditLog } from '../daemon/audit.ts'
import type { DaemonMetrics } from '../daemon/metrics.ts'
import type { Refusals } from '../daemon/refusals.ts'
import { withoutQuery } from '../daemon/unsigned.ts'
import { callerAddress } from './address-group.ts'

export interface OutcomeInit {
  audit: AuditLog | undefined
  refusals: Refusals
  metrics: Pick<DaemonMetrics, 'observeRequest'>
}

export function recordOutcome(request: FastifyRequest, reply: FastifyReply, init: OutcomeInit): void {
  const route = request.routeOptions.url ?? 'none'
  init.metrics.observeRequest(request.method, route, reply.statusCode, reply.elapsedTime / 1000)
  request.log.debug(
    {
      method: request.method,
      url: withoutQuery(request.url),
      status: reply.statusCode,
      ms: Math.round(reply.elapsedTime),
      from: callerAddress(request)
    },
    'request'
  )
  audit(request, reply.statusCode, init)
}

function audit(request: FastifyRequest, status: number, { audit, refusals }: OutcomeInit): void {
  const { caller, audited, params, routeOptions } = request
  const ip = callerAddress(request)
  const isRefused = status === 401 || status === 403 || status === 429
  if (status === 403) refusals.record('forbidden', ip)
  // A wrong token was counted where it was compared.
  if (status === 401 && request.headers.authorization === undefined && routeOptions.config?.isPublic !== true)
    refusals.record('unauthorized', ip)
  const { id, root } = (params ?? {}) as { id?: string; root?: string }
  const action = routeOptions.config?.audit ?? (isRefused ? 'refused' : undefined)
  if (action === undefined) return
  const target = audited?.target ?? root ?? id ?? null
  audit?.record({
    action,
    who: caller.name,
    token: caller.tokenId ?? null,
    from: ip,
    status,
    target,
    bytes: audited?.bytes ?? null
  })
}
