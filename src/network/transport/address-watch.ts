/**
 * Notices within seconds that this machine's addresses changed (another network, a new lease), and ends the
 * connections that were bound to an address that is gone: TCP would keep them for minutes and a heartbeat for
 * one, while nothing moves. What is to be done about it follows by itself: peer streams end, their peers are
 * dialled again, and the DHT is told. Used by host.ts.
 */

import type { Socket } from 'node:net'
import { networkInterfaces } from 'node:os'
import type { Connection } from '@libp2p/interface'

/** A look costs 0.1 ms. */
const LOOK_MS = 2_000

export interface AddressWatchInit {
  connections(): Connection[]
  /** Addresses came or went. */
  onChange(): void
  log(line: string): void
  /** Addresses of this machine. @default those of its interfaces */
  addresses?: () => string[]
  /** @default LOOK_MS */
  intervalMs?: number
}

export class AddressWatch {
  readonly #init: AddressWatchInit
  readonly #addresses: () => string[]
  readonly #timer: NodeJS.Timeout
  #known: ReadonlySet<string>

  constructor(init: AddressWatchInit) {
    this.#init = init
    this.#addresses = init.addresses ?? ownAddresses
    this.#known = new Set(this.#addresses())
    this.#timer = setInterval(() => this.#look(), init.intervalMs ?? LOOK_MS).unref()
  }

  stop(): void {
    clearInterval(this.#timer)
  }

  #look(): void {
    const now = new Set(this.#addresses())
    const gone = new Set([...this.#known].filter(address => !now.has(address)))
    const hasChanged = gone.size > 0 || now.size > this.#known.size
    this.#known = now
    if (!hasChanged) return
    this.#init.log(`addresses: now ${[...now].join(', ')}`)
    for (const connection of this.#init.connections()) {
      const local = localAddressOf(connection)
      if (local !== undefined && gone.has(local)) connection.abort(new Error(`the address ${local} of this machine is gone`))
    }
    this.#init.onChange()
  }
}

function ownAddresses(): string[] {
  return Object.values(networkInterfaces()).flatMap(list => (list ?? []).map(({ address }) => address))
}

/** The end of a connection that is ours; undefined where libp2p does not let us see it. */
function localAddressOf(connection: Connection): string | undefined {
  const { maConn } = connection as { maConn?: { socket?: Socket } }
  return maConn?.socket?.localAddress?.replace(/^::ffff:(?=\d+\.)/, '')
}
