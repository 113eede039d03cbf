/** Uploads whose client and daemon are killed over and over, seen by a proxy between them. */

import assert from 'node:assert/strict'
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { readFile } from 'node:fs/promises'
import { createServer, type IncomingMessage, request, type Server, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import { after, before, describe, it } from 'node:test'
import { fileURLToPath } from 'node:url'
import { type DaemonProcess, eventually, MAIN, World } from '../fixture.ts'

const MIB = 1024 * 1024
const KILLS = 10
const CLIENT = fileURLToPath(new URL('upload-client.ts', import.meta.url))

/**
 * Passes requests on to the daemon, bodies one after the other, and notes what the daemon confirmed. When
 * armed, it calls back as soon as something new was confirmed and the next body has begun, and passes nothing
 * on until it is released.
 */
class Gate implements AsyncDisposable {
  target = ''
  /** Ranges that came again although the daemon had confirmed them to a client. */
  readonly sentTwice: string[] = []
  #parts = new Set<string>()
  #offsets = new Map<string, number>()
  #news = 0
  #armed: (() => void) | undefined
  #turn = Promise.resolve()
  readonly #server: Server

  private constructor(server: Server) {
    this.#server = server
  }

  static async open(): Promise<Gate> {
    const server = createServer((incoming, response) => void gate.#pass(incoming, response).catch(() => response.destroy()))
    const gate = new Gate(server)
    await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve))
    return gate
  }

  get url(): string {
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}`
  }

  /** Resolves in the middle of a body, once something new was confirmed. */
  arm(): Promise<void> {
    this.#news = 0
    return new Promise(resolve => {
      this.#armed = resolve
    })
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#server.closeAllConnections()
    await new Promise(resolve => this.#server.close(resolve))
  }

  async #pass(incoming: IncomingMessage, response: ServerResponse): Promise<void> {
    const { method = '', url = '', headers } = incoming
    const isBody = method === 'PUT' || method === 'PATCH'
    if (!isBody) return this.#forward(incoming, response)
    const before = this.#turn
    const { promise, resolve } = Promise.withResolvers<void>()
    this.#turn = promise
    await before
    try {
      if (method === 'PUT' && this.#parts.has(url)) this.sentTwice.push(url)
      const offset = Number(headers['upload-offset'])
      if (method === 'PATCH' && offset < (this.#offsets.get(url) ?? 0)) this.sentTwice.push(`${url} from ${offset}`)
      if (this.#news > 0 && this.#armed !== undefined) {
        this.#armed()
        this.#armed = undefined
      }
      await this.#forward(incoming, response)
    } finally {
      resolve()
    }
  }

  async #forward(incoming: IncomingMessage, response: ServerResponse): Promise<void> {
    const { method = '', url = '', headers } = incoming
    const done = Promise.withResolvers<void>()
    const onward = request(
      `${this.target}${url}`,
      { method, headers: { ...headers, host: new URL(this.target).host } },
      reply => {
        const { statusCode = 502 } = reply
        response.writeHead(statusCode, reply.headers)
        reply.pipe(response)
        reply.on('error', () => response.destroy())
        response.on('finish', () => {
          if (method === 'PUT' && statusCode === 200) this.#confirm(() => this.#parts.add(url))
          const offset = Number(reply.headers['upload-offset'])
          if (offset > (this.#offsets.get(url) ?? 0)) this.#confirm(() => this.#offsets.set(url, offset))
        })
      }
    )
    onward.on('error', () => response.destroy())
    response.on('close', () => {
      onward.destroy()
      done.resolve()
    })
    incoming.pipe(onward)
    await done.promise
  }

  #confirm(note: () => void): void {
    note()
    this.#news++
  }
}

describe('an upload killed ten times on either side', { timeout: 1_500_000 }, () => {
  let world: World
  before(async () => {
    world = await World.open()
  })
  after(() => world.close())

  const ways: readonly { way: string; bytes: number; args: (url: string, path: string, state: string) => string[] }[] = [
    { way: 'push', bytes: 22 * 8 * MIB, args: (url, path, state) => [MAIN, 'push', path, '--to', url, '--state-dir', state] },
    { way: 'tus', bytes: 44 * MIB + 7, args: (url, path, state) => [CLIENT, 'tus', url, path, `${state}.json`] },
    { way: 'parts', bytes: 44 * MIB + 7, args: (url, path, state) => [CLIENT, 'parts', url, path, state] }
  ]
  for (const { way, bytes, args } of ways) {
    it(`by ${way} is identical in the end, with nothing sent twice that was confirmed`, async () => {
      await using gate = await Gate.open()
      const path = await world.file(`${way}.bin`, bytes)
      const state = join(world.folder, `${way}-client`)
      const startDaemon = async (): Promise<DaemonProcess> => {
        const started = await world.process(`${way}-daemon`)
        gate.target = started.url
        return started
      }
      let daemon = await startDaemon()
      let said = ''
      const startClient = (): ChildProcess => {
        const child = spawn(process.execPath, args(gate.url, path, state), { stdio: ['ignore', 'ignore', 'pipe'] })
        child.stderr?.on('data', chunk => {
          said = (said + chunk).slice(-2000)
        })
        world.defer(async () => child.kill('SIGKILL'))
        return child
      }
      let client = startClient()
      // From its start on: it may end while its daemon is away.
      let gone = once(client, 'exit')
      for (let kill = 0; kill < 2 * KILLS; kill++) {
        await Promise.race([gate.arm(), gone.then(([code]) => assert.fail(`ended with ${code} after ${kill} kills: ${said}`))])
        if (kill % 2 === 0) {
          client.kill('SIGKILL')
          await gone
          client = startClient()
          gone = once(client, 'exit')
        } else {
          await daemon.kill('SIGKILL')
          daemon = await startDaemon()
        }
      }
      const [code] = (await gone) as [number]
      assert.equal(code, 0, said)
      assert.deepEqual(gate.sentTwice, [])
      await eventually(async () => (await daemon.client.tasks())[0]?.state === 'complete', 'the content is seeded')
      const [task] = await daemon.client.tasks()
      assert.ok((await readFile(task?.path as string)).equals(await readFile(path)))
    })
  }
})
