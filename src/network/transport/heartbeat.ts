/**
 * Ends connections whose other end is gone without a word.
 *
 * libp2p's own monitor asks on every connection at the same moment, also where bytes come in all the time;
 * each question is a stream with a negotiation of its own. In a fleet of 32 with three connections for each
 * pair of neighbours that was a quarter of all CPU. So: a question only where nothing was heard for an
 * interval, and never all at once; and connections that no peer stream needs (DHT and gossip hold one to each
 * of a fleet) one after the other, {@link RESTING_PER_INTERVAL} in an interval however many there are. What a
 * peer stream's round trip is its hellos tell. On the wire it is libp2p's ping. Created by host.ts.
 */

import type { Connection } from '@libp2p/interface'
import { PING_PROTOCOL } from '@libp2p/ping'
import { byteStream } from '@libp2p/utils'

const PING_BYTES = 32
/** With all of them asked in each interval, questions were 60 % of what 60 nodes said on 0.5 Mbit/s. */
const RESTING_PER_INTERVAL = 4

export interface HeartbeatInit {
  connections(): Connection[]
  /**
   * When something that counts as a sign of life came, on the clock of `performance.now()`; undefined: it has
   * no peer stream. Infinity: never ask.
   */
  heardMs(connection: Connection): number | undefined
  log(line: string): void
  /** A connection that is silent for longer is asked. */
  intervalMs: number
  /** Without an answer for this long it is ended: a starved machine or a full pipe may delay one. */
  timeoutMs: number
}

export class Heartbeat {
  readonly #init: HeartbeatInit
  /** When to look at a connection again. */
  readonly #dueMs = new WeakMap<Connection, number>()
  readonly #asking = new WeakSet<Connection>()
  /** No connection without a peer stream is asked before. */
  #nextRestingMs = 0
  readonly #timer: NodeJS.Timeout

  constructor(init: HeartbeatInit) {
    this.#init = init
    this.#timer = setInterval(() => this.#look(), init.intervalMs / 30).unref()
  }

  stop(): void {
    clearInterval(this.#timer)
  }

  #look(): void {
    const { intervalMs } = this.#init
    const nowMs = performance.now()
    let resting: Connection | undefined
    let restingDueMs = nowMs
    for (const connection of this.#init.connections()) {
      const dueMs = this.#dueMs.get(connection)
      if (dueMs === undefined) this.#dueMs.set(connection, nowMs + intervalMs * (1 + Math.random()))
      else if (nowMs >= dueMs) {
        const heardMs = this.#init.heardMs(connection)
        if (heardMs === undefined) {
          if (dueMs <= restingDueMs) {
            resting = connection
            restingDueMs = dueMs
          }
          continue
        }
        const isQuiet = nowMs - heardMs >= intervalMs
        this.#dueMs.set(connection, isQuiet ? nowMs + intervalMs : heardMs + intervalMs)
        if (isQuiet) void this.#ask(connection)
      }
    }
    if (resting === undefined || nowMs < this.#nextRestingMs) return
    this.#nextRestingMs = nowMs + intervalMs / RESTING_PER_INTERVAL
    this.#dueMs.set(resting, nowMs + intervalMs)
    void this.#ask(resting)
  }

  /** Never rejects. */
  async #ask(connection: Connection): Promise<void> {
    if (this.#asking.has(connection)) return
    this.#asking.add(connection)
    const signal = AbortSignal.timeout(this.#init.timeoutMs)
    let askedMs = performance.now()
    try {
      const stream = await connection.newStream(PING_PROTOCOL, { signal })
      try {
        const bytes = byteStream(stream)
        askedMs = performance.now()
        await Promise.all([
          bytes.write(crypto.getRandomValues(new Uint8Array(PING_BYTES)), { signal }),
          bytes.read({ bytes: PING_BYTES, signal })
        ])
        connection.rtt = performance.now() - askedMs
        await stream.close({ signal })
      } catch (err) {
        stream.abort(err as Error)
        throw err
      }
    } catch (err) {
      // "I do not know this protocol" is a sign of life too, after two round trips.
      if ((err as Error).name === 'UnsupportedProtocolError') connection.rtt = (performance.now() - askedMs) / 2
      else if (connection.status === 'open') {
        this.#init.log(`heartbeat: no answer from ${connection.remotePeer}: ${(err as Error).message}`)
        connection.abort(err as Error)
      }
    } finally {
      this.#asking.delete(connection)
    }
  }
}
