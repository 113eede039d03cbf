/**
 * Whom an address stands for when connections and places are shared out. Pure. Called by connections.ts and
 * reader-gate.ts.
 *
 * Invariant: one holder of an IPv6 prefix counts once, for a /64 is what one customer or machine has.
 */

import type { IncomingMessage } from 'node:http'
import { isIPv6 } from 'node:net'

/** Of a unix socket, where everybody is a user of this machine. */
export const LOCAL_GROUP = 'local'

/** Who connected. */
export function callerAddress({ raw }: { readonly raw: IncomingMessage }): string {
  return raw.socket.remoteAddress ?? LOCAL_GROUP
}

export function addressGroup(address: string | undefined): string {
  if (address === undefined) return LOCAL_GROUP
  const mapped = /^::ffff:(\d+\.\d+\.\d+\.\d+)$/i.exec(address)?.[1]
  if (mapped !== undefined) return mapped
  if (!isIPv6(address)) return address
  const [head = '', tail = ''] = (address.split('%')[0] as string).split('::')
  const left = head === '' ? [] : head.split(':')
  const right = tail === '' ? [] : tail.split(':')
  const parts = address.includes('::') ? [...left, ...Array<string>(8 - left.length - right.length).fill('0'), ...right] : left
  return `${parts.slice(0, 4).join(':')}::/64`
}
