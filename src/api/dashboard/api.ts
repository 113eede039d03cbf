/**
 * What the page asks of the daemon that served it. Same origin only; a token is shown once and lives on as a
 * cookie.
 */

import type { ErrorBody } from '../../http/route-schema.ts'
import type { LimitsReply, PatchLimits } from '../schema/limits.ts'
import type { Probe, SwarmView } from '../schema/swarms.ts'
import type { AddTask, Removed, Task, UpdateTask } from '../schema/tasks.ts'
import type { UploadList } from '../schema/uploads.ts'

/** An answer that was an error, in the API's one shape. */
export class ApiError extends Error {
  readonly status: number
  readonly body: ErrorBody

  constructor(status: number, body: ErrorBody) {
    super(body.message)
    this.status = status
    this.body = body
  }
}

async function call<T>(method: string, path: string, body?: unknown): Promise<T> {
  const response = await fetch(path, {
    method,
    ...(body === undefined ? {} : { headers: { 'content-type': 'application/json' }, body: JSON.stringify(body) })
  })
  if (response.status === 204) return undefined as T
  const json: unknown = await response
    .json()
    .catch(() => ({ code: 'internal', message: `the daemon answered ${response.status}`, details: {} }))
  if (!response.ok) throw new ApiError(response.status, json as ErrorBody)
  return json as T
}

const task = (id: string): string => `/v1/tasks/${encodeURIComponent(id)}`

export const api = {
  addTask: (body: AddTask) => call<Task>('POST', '/v1/tasks', body),
  updateTask: (id: string, change: UpdateTask) => call<Task>('PATCH', task(id), change),
  act: (id: string, action: 'pause' | 'resume' | 'cancel') => call<Task>('POST', `${task(id)}/${action}`),
  deleteTask: (id: string, data: boolean) => call<Removed | undefined>('DELETE', `${task(id)}?data=${data}`),
  swarm: (root: string) => call<SwarmView>('GET', `/v1/swarms/${root}`),
  probe: () => call<Probe>('GET', '/v1/probe'),
  limits: () => call<LimitsReply>('GET', '/v1/limits'),
  setLimits: (change: PatchLimits) => call<LimitsReply>('PATCH', '/v1/limits', change),
  scan: () => call<{ added: string[]; known: number; problems: { manifest: string; message: string }[] }>('POST', '/v1/scan'),
  uploads: () => call<UploadList>('GET', '/v1/uploads'),
  logIn: (token: string) => call<{ authenticated: boolean }>('POST', '/v1/session', { token })
}
