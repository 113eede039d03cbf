/**
 * A certificate for HTTPS that nobody else vouches for: clients know it by its fingerprint.
 *
 * Made by hand in DER, as the certificates of peers are. Called by the daemon for `--tls-self-signed`.
 */

import { generateKeyPairSync, randomBytes, sign } from 'node:crypto'
import { isIP, isIPv6 } from 'node:net'
import { der, derInteger, derOid, derTime, TAG } from '../network/transport/der.ts'

const SET = 0x31
const UTF8_STRING = 0x0c
/** In the list of names, by their place in GeneralName of RFC 5280. */
const DNS_NAME = 0x82
const IP_ADDRESS = 0x87
const ECDSA_WITH_SHA256 = der(TAG.sequence, derOid([1, 2, 840, 10045, 4, 3, 2]))
const COMMON_NAME = derOid([2, 5, 4, 3])
const SUBJECT_ALT_NAME = derOid([2, 5, 29, 17])
const VALIDITY_MS = 10 * 365 * 86_400_000
/** Clocks differ. */
const BACKDATE_MS = 2 * 86_400_000

/** PEM. `names`: host names and IP addresses. */
export function createHttpsCertificate(names: readonly string[], nowMs = Date.now()): { cert: string; key: string } {
  const { publicKey, privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' })
  const commonName = der(TAG.sequence, COMMON_NAME, der(UTF8_STRING, new TextEncoder().encode('swarm daemon')))
  const name = der(TAG.sequence, der(SET, commonName))
  const altNames = der(TAG.sequence, ...names.map(encodeName))
  const serial = new Uint8Array(randomBytes(8))
  serial[0] = ((serial[0] as number) & 0x7f) | 0x40
  const tbs = der(
    TAG.sequence,
    der(TAG.context0, derInteger(Uint8Array.of(2))),
    derInteger(serial),
    ECDSA_WITH_SHA256,
    name,
    der(TAG.sequence, derTime(nowMs - BACKDATE_MS), derTime(nowMs + VALIDITY_MS)),
    name,
    new Uint8Array(publicKey.export({ type: 'spki', format: 'der' })),
    der(TAG.context3, der(TAG.sequence, der(TAG.sequence, SUBJECT_ALT_NAME, der(TAG.octetString, altNames))))
  )
  const signature = der(TAG.bitString, Uint8Array.of(0), new Uint8Array(sign('sha256', tbs, privateKey)))
  const base64 = Buffer.from(der(TAG.sequence, tbs, ECDSA_WITH_SHA256, signature))
    .toString('base64')
    .replace(/.{64}/g, '$&\n')
  return {
    cert: `-----BEGIN CERTIFICATE-----\n${base64}\n-----END CERTIFICATE-----\n`,
    key: privateKey.export({ type: 'pkcs8', format: 'pem' }).toString()
  }
}

function encodeName(name: string): Uint8Array {
  if (isIP(name) === 0) return der(DNS_NAME, new TextEncoder().encode(name))
  return der(IP_ADDRESS, isIPv6(name) ? ipv6Bytes(name) : Uint8Array.from(name.split('.').map(Number)))
}

function ipv6Bytes(address: string): Uint8Array {
  // The URL parser writes an address out in one way, without IPv4 in its end.
  const [head = '', tail = ''] = new URL(`http://[${address}]`).hostname.slice(1, -1).split('::')
  const left = head === '' ? [] : head.split(':')
  const right = tail === '' ? [] : tail.split(':')
  const groups = [...left, ...Array<string>(8 - left.length - right.length).fill('0'), ...right]
  return Uint8Array.from(groups.flatMap(group => [Number.parseInt(group, 16) >> 8, Number.parseInt(group, 16) & 0xff]))
}
