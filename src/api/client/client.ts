/**
 * A daemon as the commands see it: finding the one of this user, and calling its API.
 *
 * Invariant: what the API refuses comes out as the same `SwarmError` that the node would have thrown, so that
 * exit codes agree. Called by the CLI; uses nothing of the daemon but its API.
 */

import type { IncomingMessage } from 'node:http'
import { readDaemonFile } from '../../daemon/daemon-file.ts'
import { NotFoundError, RequestRefusedError, SwarmError, type SwarmErrorCode } from '../../errors.ts'
import type { ErrorBody } from '../../http/route-schema.ts'
import type { CreatedToken, LoginAddress, NewToken, SignedUrl, SignUrl, TokenList, TokenView } from '../schema/access.ts'
import type { LimitsReply, PatchLimits } from '../schema/limits.ts'
import type { Probe, ScanReport, SwarmView } from '../schema/swarms.ts'
import type { AddTask, Hashing, Removed, Task, TaskList, UpdateTask } from '../schema/tasks.ts'
import { callDaemon, type DaemonAddress } from './http-call.ts'

/**
 * A daemon on a machine that is busy may need seconds; without an answer a command would start a node of its
 * own.
 */
const FIND_TIMEOUT_MS = 10_000
/**
 * The running daemon of this state folder, or the one at `url`; undefined when there is none (with `url`:
 * throws).
 */
export async function findDaemon({
  stateDir,
  url,
  token,
  fingerprint
}: {
  stateDir: string
  url?: string
  token?: string
  /** Of the certificate of the daemon at `url`. */
  fingerprint?: string
}): Promise<DaemonClient | undefined> {
  const content = await readDaemonFile(stateDir)
  if (url !== undefined) {
    // Our own daemon needs no token; nobody else is shown its secret.
    const isOurs = content !== undefined && sameAddress(content.url, url)
    const client = new DaemonClient({
      url,
      secret: token ?? (isOurs ? content.secret : undefined),
      fingerprint: fingerprint ?? (isOurs ? content.fingerprint : undefined)
    })
    if (!(await client.answers())) throw new RequestRefusedError('unavailable', `no daemon answers at ${url}`, { url })
    return client
  }
  if (content === undefined) return undefined
  const client = new DaemonClient(content)
  // After a kill -9 the file is still there, and another program may have taken the port: only ours knows the
  // secret.
  return (await client.answers()) ? client : undefined
}

export class DaemonClient {
  readonly url: string
  /** What is shown; undefined: nothing. */
  readonly secret: string | undefined
  readonly fingerprint: string | undefined

  constructor({ url, secret, fingerprint }: DaemonAddress) {
    this.url = url.replace(/\/$/, '')
    this.secret = secret
    this.fingerprint = fingerprint
  }

  async answers(): Promise<boolean> {
    try {
      const reply = await this.#send('GET', '/v1/limits', undefined, AbortSignal.timeout(FIND_TIMEOUT_MS))
      reply.resume()
      return isGood(reply) || reply.statusCode === 401 || reply.statusCode === 403
    } catch {
      return false
    }
  }

  addTask(task: AddTask, signal?: AbortSignal): Promise<Task> {
    return this.#call<Task>('POST', '/v1/tasks', task, signal)
  }

  async tasks(): Promise<Task[]> {
    return (await this.taskList()).tasks
  }

  /** Tasks, and what is being hashed. */
  taskList(): Promise<TaskList> {
    return this.#call<TaskList>('GET', '/v1/tasks')
  }

  task(id: string): Promise<Task> {
    return this.#call<Task>('GET', `/v1/tasks/${encodeURIComponent(id)}`)
  }

  updateTask(id: string, change: UpdateTask): Promise<Task> {
    return this.#call<Task>('PATCH', `/v1/tasks/${encodeURIComponent(id)}`, change)
  }

  act(id: string, action: 'pause' | 'resume' | 'cancel'): Promise<Task> {
    return this.#call<Task>('POST', `/v1/tasks/${encodeURIComponent(id)}/${action}`)
  }

  /** What was left on disk; undefined when nothing was. */
  async deleteTask(id: string, data: boolean): Promise<Removed | undefined> {
    return this.#call<Removed | undefined>('DELETE', `/v1/tasks/${encodeURIComponent(id)}?data=${data}`)
  }

  async manifest(id: string): Promise<string> {
    const reply = await this.#send('GET', `/v1/tasks/${encodeURIComponent(id)}/manifest`)
    if (!isGood(reply)) throw await errorOf(reply)
    return textOf(reply)
  }

  limits(): Promise<LimitsReply> {
    return this.#call<LimitsReply>('GET', '/v1/limits')
  }

  setLimits(change: PatchLimits): Promise<LimitsReply> {
    return this.#call<LimitsReply>('PATCH', '/v1/limits', change)
  }

  scan(): Promise<ScanReport> {
    return this.#call<ScanReport>('POST', '/v1/scan')
  }

  probe(): Promise<Probe> {
    return this.#call<Probe>('GET', '/v1/probe')
  }

  swarm(root: string): Promise<SwarmView> {
    return this.#call<SwarmView>('GET', `/v1/swarms/${root}`)
  }

  createToken(token: NewToken): Promise<CreatedToken> {
    return this.#call<CreatedToken>('POST', '/v1/tokens', token)
  }

  async tokens(): Promise<TokenView[]> {
    return (await this.#call<TokenList>('GET', '/v1/tokens')).tokens
  }

  async revokeToken(idOrName: string): Promise<void> {
    await this.#call('DELETE', `/v1/tokens/${encodeURIComponent(idOrName)}`)
  }

  /** Relative to the daemon's address. */
  loginAddress(): Promise<LoginAddress> {
    return this.#call<LoginAddress>('POST', '/v1/login-addresses')
  }

  /** Relative to the daemon's address. */
  signUrl(wanted: SignUrl): Promise<SignedUrl> {
    return this.#call<SignedUrl>('POST', '/v1/urls', wanted)
  }

  /**
   * States of one task as they change, the present one first. Ends when the task is deleted; throws when the
   * daemon goes away.
   */
  async *follow(id: string, signal?: AbortSignal): AsyncGenerator<Task> {
    const reply = await this.#send('GET', `/v1/tasks/${encodeURIComponent(id)}/events`, undefined, signal)
    if (!isGood(reply)) throw await errorOf(reply)
    for await (const { event, data } of parseEvents(reply)) {
      if (event === 'removed') return
      if (event === 'task') yield JSON.parse(data) as Task
    }
    throw new RequestRefusedError('unavailable', 'the daemon ended the stream of events', { id })
  }

  /** How far the daemon is with what it hashes, as it goes on. Ends or throws when the daemon goes away. */
  async *hashing(signal?: AbortSignal): AsyncGenerator<Hashing> {
    const reply = await this.#send('GET', '/v1/events', undefined, signal)
    if (!isGood(reply)) throw await errorOf(reply)
    for await (const { event, data } of parseEvents(reply)) if (event === 'hashing') yield JSON.parse(data) as Hashing
  }

  #send(method: string, path: string, body?: unknown, signal?: AbortSignal): Promise<IncomingMessage> {
    const json = body === undefined ? {} : { body: JSON.stringify(body), headers: { 'content-type': 'application/json' } }
    return callDaemon(this, { method, path, signal, ...json })
  }

  async #call<T>(method: string, path: string, body?: unknown, signal?: AbortSignal): Promise<T> {
    const reply = await this.#send(method, path, body, signal)
    if (!isGood(reply)) throw await errorOf(reply)
    const text = await textOf(reply)
    return (text === '' ? undefined : JSON.parse(text)) as T
  }
}

function sameAddress(a: string, b: string): boolean {
  if (a.startsWith('unix:')) return a === b
  const [first, second] = [URL.parse(a), URL.parse(b)]
  return first !== null && second !== null && first.origin === second.origin
}

function isGood({ statusCode = 0 }: IncomingMessage): boolean {
  return statusCode >= 200 && statusCode < 300
}

async function textOf(reply: IncomingMessage): Promise<string> {
  const chunks: Uint8Array[] = []
  for await (const chunk of reply) chunks.push(chunk as Uint8Array)
  return Buffer.concat(chunks).toString('utf8')
}

async function errorOf(reply: IncomingMessage): Promise<SwarmError> {
  try {
    const { code, message, details } = JSON.parse(await textOf(reply)) as ErrorBody
    return new SwarmError(code as SwarmErrorCode, message, details)
  } catch {
    return new NotFoundError(`the daemon answered ${reply.statusCode} without saying why`, { status: reply.statusCode })
  }
}

/** The `text/event-stream` format, as far as our daemon uses it. */
async function* parseEvents(reply: IncomingMessage): AsyncGenerator<{ event: string; data: string }> {
  let text = ''
  for await (const chunk of reply.setEncoding('utf8')) {
    text += chunk as string
    for (let end = text.indexOf('\n\n'); end >= 0; end = text.indexOf('\n\n')) {
      const block = text.slice(0, end)
      text = text.slice(end + 2)
      const field = (name: string): string | undefined =>
        block
          .split('\n')
          .find(line => line.startsWith(`${name}: `))
          ?.slice(name.length + 2)
      const data = field('data')
      if (data !== undefined) yield { event: field('event') ?? 'message', data }
    }
  }
}
