/**
 * Where a connection comes from, as far as limits care: its address, the network that it is in, and whether
 * that is ours.
 */

import { CODE_IP4, CODE_IP6, type Multiaddr } from '@multiformats/multiaddr'

export interface RemoteAddress {
  /** IPv4 /32 or IPv6 /64. */
  readonly address: string
  /** IPv4 /24 or IPv6 /48. */
  readonly prefix: string
  /** Loopback, link-local and private ranges. */
  readonly isPrivate: boolean
}

const UNKNOWN: RemoteAddress = { address: 'unknown', prefix: 'unknown', isPrivate: false }

/** Addresses that are no IP (a relay, a unix socket) count as one. */
export function remoteAddressOf(address: Multiaddr): RemoteAddress {
  for (const { code, value } of address.getComponents()) {
    if (value === undefined) continue
    if (code === CODE_IP4) return ofIp4(value)
    if (code === CODE_IP6) return ofIp6(value)
  }
  return UNKNOWN
}

/** The same as text, for counting. */
export function addressOf(connection: object): string {
  return fromOf(connection).address
}

/** Where a connection comes from, as far as it says. */
export function fromOf(connection: object | undefined): RemoteAddress {
  const { remoteAddr } = (connection ?? {}) as { remoteAddr?: Multiaddr }
  return remoteAddr === undefined ? UNKNOWN : remoteAddressOf(remoteAddr)
}

function ofIp4(text: string): RemoteAddress {
  const [a = 0, b = 0, c = 0] = text.split('.').map(Number)
  const isPrivate =
    a === 10 ||
    a === 127 ||
    (a === 172 && b >= 16 && b < 32) ||
    (a === 192 && b === 168) ||
    (a === 169 && b === 254) ||
    // Carrier-grade NAT, where the neighbours of one provider live.
    (a === 100 && b >= 64 && b < 128)
  return { address: text, prefix: `${a}.${b}.${c}.0/24`, isPrivate }
}

function ofIp6(text: string): RemoteAddress {
  const groups = groupsOf(text)
  // ::ffff:a.b.c.d
  if (groups.slice(0, 5).every(group => group === 0) && groups[5] === 0xffff) {
    const [high = 0, low = 0] = groups.slice(6)
    return ofIp4([high >> 8, high & 0xff, low >> 8, low & 0xff].join('.'))
  }
  const first = groups[0] ?? 0
  const isLoopback = groups.every((group, index) => group === (index === 7 ? 1 : 0))
  const hex = (count: number) => groups.slice(0, count).map(group => group.toString(16))
  return {
    address: isLoopback ? '::1' : `${hex(4).join(':')}::/64`,
    prefix: isLoopback ? '::1' : `${hex(3).join(':')}::/48`,
    isPrivate: isLoopback || (first & 0xfe00) === 0xfc00 || (first & 0xffc0) === 0xfe80
  }
}

/** The eight groups of an IPv6 address in any of its notations. */
function groupsOf(text: string): number[] {
  const withoutZone = (text.split('%')[0] ?? '').replace(
    /(\d{1,3})\.(\d{1,3})\.(\d{1,3})\.(\d{1,3})$/,
    (_, ...bytes: string[]) => {
      const [a = 0, b = 0, c = 0, d = 0] = bytes.slice(0, 4).map(Number)
      return `${(a * 256 + b).toString(16)}:${(c * 256 + d).toString(16)}`
    }
  )
  const [head = '', tail] = withoutZone.split('::')
  const parse = (part: string) => (part === '' ? [] : part.split(':').map(group => Number.parseInt(group, 16)))
  const before = parse(head)
  const after = parse(tail ?? '')
  const gap = tail === undefined ? 0 : Math.max(0, 8 - before.length - after.length)
  return [...before, ...new Array<number>(gap).fill(0), ...after]
}
