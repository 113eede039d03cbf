/**
 * Keeps requests that somebody else made us send out of our own network: only public addresses may be
 * connected to.
 *
 * Invariant: names are judged by the very lookup that the socket uses, so that a name cannot change its mind
 * in between. Used for origins and for what a daemon fetches on behalf of clients.
 */

import { type LookupAddress, lookup } from 'node:dns'
import { BlockList, isIP, type LookupFunction } from 'node:net'
import { RequestRefusedError } from '../errors.ts'

const NOT_PUBLIC = new BlockList()
for (const [address, prefix] of [
  ['0.0.0.0', 8],
  ['10.0.0.0', 8],
  ['100.64.0.0', 10],
  ['127.0.0.0', 8],
  ['169.254.0.0', 16],
  ['172.16.0.0', 12],
  ['192.0.0.0', 24],
  ['192.0.2.0', 24],
  ['192.88.99.0', 24],
  ['192.168.0.0', 16],
  ['198.18.0.0', 15],
  ['198.51.100.0', 24],
  ['203.0.113.0', 24],
  ['224.0.0.0', 3]
] as const) {
  NOT_PUBLIC.addSubnet(address, prefix, 'ipv4')
}
/**
 * Of IPv6 only 2000::/3 is public, and in it these are not what they seem: documentation, Teredo and 6to4
 * (which embed IPv4).
 */
const PUBLIC_V6 = new BlockList()
PUBLIC_V6.addSubnet('2000::', 3, 'ipv6')
const NOT_PUBLIC_V6 = new BlockList()
for (const [address, prefix] of [
  ['2001:db8::', 32],
  ['2001::', 23],
  ['2002::', 16]
] as const) {
  NOT_PUBLIC_V6.addSubnet(address, prefix, 'ipv6')
}

export function isPublicAddress(address: string): boolean {
  const family = isIP(address)
  if (family === 4) return !NOT_PUBLIC.check(address, 'ipv4')
  if (family !== 6) return false
  return PUBLIC_V6.check(address, 'ipv6') && !NOT_PUBLIC_V6.check(address, 'ipv6')
}

/**
 * Throws `RequestRefusedError` for a literal address that is not public; names are judged by {@link
 * lookupPublic}.
 */
export function checkPublicHost(url: URL): void {
  const host = url.hostname.replace(/^\[|\]$/g, '')
  if (isIP(host) !== 0 && !isPublicAddress(host)) throw notAllowed(host)
}

/**
 * As `dns.lookup`, but fails when any address of the name is not public: a name may have several, and answers
 * change.
 */
export const lookupPublic: LookupFunction = (hostname, options, callback) => {
  lookup(hostname, { ...options, all: true }, (err, found) => {
    const addresses = found as LookupAddress[]
    if (err !== null) callback(err, [])
    else if (addresses.some(({ address }) => !isPublicAddress(address))) callback(notAllowed(hostname), [])
    else if (options.all === true) callback(null, addresses)
    else callback(null, addresses[0]?.address ?? '', addresses[0]?.family)
  })
}

function notAllowed(host: string): RequestRefusedError {
  return new RequestRefusedError(
    'forbidden',
    `${host} is not a public address; the operator can allow it (option allow-private-urls)`,
    { host }
  )
}
