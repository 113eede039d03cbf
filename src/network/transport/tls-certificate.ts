/**
 * The certificates of libp2p's TLS handshake (github.com/libp2p/specs, tls/tls.md): self-signed, with an
 * extension that carries the peer's public key and its signature over the certificate's key.
 *
 * Made by hand in DER and checked with Node's own X.509: the usual library route loads a dozen packages at
 * start and takes tens of milliseconds per connection. One certificate serves all connections of a host,
 * which the specification allows; its key never leaves memory. Everything in a received certificate is
 * hostile until checked. Called by raw-tls.ts.
 */

import { generateKeyPairSync, randomBytes, sign, X509Certificate } from 'node:crypto'
import { publicKeyFromProtobuf, publicKeyToProtobuf } from '@libp2p/crypto/keys'
import type { PeerId, PrivateKey } from '@libp2p/interface'
import { peerIdFromCID } from '@libp2p/peer-id'
import { concatBytes, encodeUtf8 } from '../../util/bytes.ts'
import { DerReader, der, derInteger, derOid, derTime, TAG } from './der.ts'

/** libp2p's arc: 1.3.6.1.4.1.53594.1.1 */
const LIBP2P_EXTENSION = derOid([1, 3, 6, 1, 4, 1, 53594, 1, 1])
/** 2.5.29: the standard extensions, all of which may be present without meaning anything here. */
const STANDARD_EXTENSIONS = [0x55, 0x1d] as const
const ECDSA_WITH_SHA256 = der(TAG.sequence, derOid([1, 2, 840, 10045, 4, 3, 2]))
const SIGNATURE_PREFIX = encodeUtf8('libp2p-tls-handshake:')
/** A certificate counts for a century: it names a key, nobody revokes it, and it is gone with the process. */
const VALIDITY_MS = 100 * 365 * 86_400_000
/** Clocks differ; stock peers take the dates at their word. */
const BACKDATE_MS = 86_400_000
/**
 * A certificate that begins later than by our clock now is taken all the same when it is no more than this:
 * who it names does not hang on a date.
 */
const MAX_CLOCK_DIFFERENCE_MS = 3 * 86_400_000
/** Longest certificate looked at, in bytes. A valid one is below 1 KiB but for RSA peers. */
const MAX_CERTIFICATE_BYTES = 8 * 1024

export interface TlsCertificate {
  /** PEM. */
  readonly cert: string
  readonly key: string
}

/** A fresh P-256 key and a certificate that binds it to the peer's identity. */
export async function createCertificate(identity: PrivateKey): Promise<TlsCertificate> {
  const { publicKey, privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' })
  const spki = new Uint8Array(publicKey.export({ type: 'spki', format: 'der' }))
  const proof = await identity.sign(concatBytes([SIGNATURE_PREFIX, spki]))
  const extension = der(
    TAG.sequence,
    LIBP2P_EXTENSION,
    der(TAG.boolean, Uint8Array.of(0xff)),
    der(
      TAG.octetString,
      der(TAG.sequence, der(TAG.octetString, publicKeyToProtobuf(identity.publicKey)), der(TAG.octetString, proof))
    )
  )
  const name = der(TAG.sequence)
  const nowMs = Date.now()
  const tbs = der(
    TAG.sequence,
    der(TAG.context0, derInteger(Uint8Array.of(2))),
    derInteger(serialNumber()),
    ECDSA_WITH_SHA256,
    name,
    der(TAG.sequence, derTime(nowMs - BACKDATE_MS), derTime(nowMs + VALIDITY_MS)),
    name,
    spki,
    der(TAG.context3, der(TAG.sequence, extension))
  )
  const signature = sign('sha256', tbs, privateKey)
  const certificate = der(TAG.sequence, tbs, ECDSA_WITH_SHA256, der(TAG.bitString, Uint8Array.of(0), new Uint8Array(signature)))
  const base64 = Buffer.from(certificate).toString('base64').replace(/.{64}/g, '$&\n')
  return {
    cert: `-----BEGIN CERTIFICATE-----\n${base64}\n-----END CERTIFICATE-----\n`,
    key: privateKey.export({ type: 'pkcs8', format: 'pem' }).toString()
  }
}

/** Positive, without a leading zero byte, as DER wants it. */
function serialNumber(): Uint8Array {
  const bytes = new Uint8Array(randomBytes(8))
  bytes[0] = ((bytes[0] as number) & 0x7f) | 0x40
  return bytes
}

/**
 * Whom a certificate vouches for. Throws when it vouches for nobody: malformed, out of date, not self-signed,
 * or not signed by that peer. `onClockDifference` hears when it begins, or ended, at another time by our
 * clock than can be, by at least how many milliseconds.
 */
export async function verifyCertificate(
  raw: Uint8Array,
  nowMs: number,
  onClockDifference: (ms: number) => void = () => {}
): Promise<PeerId> {
  if (raw.byteLength > MAX_CERTIFICATE_BYTES) throw new Error(`certificate of ${raw.byteLength} bytes`)
  const certificate = new X509Certificate(raw)
  checkDates(certificate, nowMs, onClockDifference)
  if (certificate.issuer !== certificate.subject || !certificate.verify(certificate.publicKey)) {
    throw new Error('certificate is not self-signed')
  }
  const { spki, extension } = parseCertificate(raw)
  const value = new DerReader(extension).enter(TAG.sequence)
  const publicKey = publicKeyFromProtobuf(value.take(TAG.octetString))
  const proof = value.take(TAG.octetString)
  if (!(await publicKey.verify(concatBytes([SIGNATURE_PREFIX, spki]), proof))) {
    throw new Error('certificate is not signed by the peer that it names')
  }
  return peerIdFromCID(publicKey.toCID())
}

function checkDates(
  { validFromDate, validToDate }: X509Certificate,
  nowMs: number,
  onClockDifference: (ms: number) => void
): void {
  const fromMs = validFromDate.getTime()
  const toMs = validToDate.getTime()
  // Dates that cannot be read are no numbers, which every comparison would let through.
  if (!(fromMs <= toMs)) throw new Error('certificate has impossible dates')
  const earlyMs = Math.max(fromMs - nowMs, nowMs - toMs)
  if (earlyMs <= 0) return
  onClockDifference(earlyMs)
  if (earlyMs <= MAX_CLOCK_DIFFERENCE_MS) return
  const what = fromMs > nowMs ? 'is not valid yet' : 'has expired'
  throw new Error(`certificate ${what}, by ${hoursOf(earlyMs)} of our clock: one of the two clocks is wrong`)
}

/** A span of time in hours, as text. */
export function hoursOf(ms: number): string {
  return `${Math.round(ms / 3_600_000)} h`
}

/** The certificate's key (with its DER head) and the value of libp2p's extension. */
function parseCertificate(raw: Uint8Array): { spki: Uint8Array; extension: Uint8Array } {
  const tbs = new DerReader(raw).enter(TAG.sequence).enter(TAG.sequence)
  tbs.take(TAG.context0)
  tbs.take(TAG.integer)
  for (const _ of ['signature', 'issuer', 'validity', 'subject']) tbs.take(TAG.sequence)
  const spki = tbs.takeWhole(TAG.sequence)
  let extension: Uint8Array | undefined
  const list = tbs.enter(TAG.context3).enter(TAG.sequence)
  while (!list.atEnd) {
    const entry = list.enter(TAG.sequence)
    const oid = entry.takeWhole(TAG.oid)
    const isCritical = entry.peek() === TAG.boolean && entry.take(TAG.boolean)[0] !== 0
    const value = entry.take(TAG.octetString)
    if (Buffer.compare(oid, LIBP2P_EXTENSION) === 0) extension ??= value
    else if (isCritical && !isStandard(oid)) throw new Error('certificate has a critical extension that is not understood')
  }
  if (extension === undefined) throw new Error('certificate names no peer')
  return { spki, extension }
}

function isStandard(oid: Uint8Array): boolean {
  return oid[2] === STANDARD_EXTENSIONS[0] && oid[3] === STANDARD_EXTENSIONS[1]
}
