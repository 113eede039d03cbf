/**
 * A link: the root of a content and hints, in one line that can be pasted.
 *
 *   swarm:<64 lower-case hex digits>[?name=..&length=..&peer=<multiaddr>&peer=..&origin=<url>]
 *
 * Values are percent-encoded UTF-8 (`+` stands for itself). Unknown keys are ignored. Only the root is
 * trusted; the rest are hints.
 */

import { InvalidManifestError } from '../errors.ts'
import { checkFileName } from './file-names.ts'
import { MAX_CONTENT_LENGTH } from './geometry.ts'
import { checkOrigin, checkPeerHint, MAX_ORIGINS, MAX_PEER_HINTS } from './hints.ts'
import type { Manifest } from './manifest.ts'

/** Longest link, in characters. */
export const MAX_LINK_LENGTH = 64 * 1024

export interface Link {
  /** 64 lower-case hex digits. */
  root: string
  /** What the content is called; a single safe path component. */
  name?: string
  /** Bytes in all, as claimed. */
  length?: number
  peers?: string[]
  origins?: string[]
}

const LINK = /^swarm:([0-9a-f]{64})(?:\?([\x21-\x7e]*))?$/

export function isLink(text: string): boolean {
  return text.startsWith('swarm:')
}

/** The link to a manifest (or link); `peers` replaces its hints when given. */
export function formatLink(source: Link | Manifest, peers: readonly string[] | undefined = source.peers): string {
  const query: string[] = []
  if (source.name !== undefined) query.push(`name=${encodeValue(source.name)}`)
  if (source.length !== undefined) query.push(`length=${source.length}`)
  for (const peer of peers ?? []) query.push(`peer=${encodeValue(peer)}`)
  for (const origin of source.origins ?? []) query.push(`origin=${encodeValue(origin)}`)
  return `swarm:${source.root}${query.length === 0 ? '' : `?${query.join('&')}`}`
}

/** Percent-encodes all but what reads well and cannot end a value. */
function encodeValue(value: string): string {
  return encodeURIComponent(value).replaceAll('%2F', '/').replaceAll('%3A', ':')
}

/** Reads a link that somebody else wrote. Throws `InvalidManifestError` and nothing else. */
export function parseLink(text: string): Link {
  if (text.length > MAX_LINK_LENGTH) throw new InvalidManifestError(`link is longer than ${MAX_LINK_LENGTH} characters`, 'link')
  const parts = LINK.exec(text)
  if (parts === null) throw new InvalidManifestError('not of the form swarm:<64 hex digits>[?key=value&..]', 'link')
  const link: Link = { root: parts[1] as string }
  const peers: string[] = []
  const origins: string[] = []
  for (const pair of (parts[2] ?? '').split('&')) {
    const equals = pair.indexOf('=')
    if (equals < 0) continue
    const key = pair.slice(0, equals)
    const raw = pair.slice(equals + 1)
    if (key === 'name') {
      if (link.name !== undefined) throw new InvalidManifestError('given twice', 'link name')
      link.name = decodeValue(raw, 'link name')
      checkFileName(link.name, 'link name')
    } else if (key === 'length') {
      if (link.length !== undefined) throw new InvalidManifestError('given twice', 'link length')
      link.length = parseLength(raw)
    } else if (key === 'peer') {
      if (peers.length === MAX_PEER_HINTS) throw new InvalidManifestError(`more than ${MAX_PEER_HINTS} peers`, 'link peer')
      const peer = decodeValue(raw, 'link peer')
      checkPeerHint(peer, 'link peer')
      peers.push(peer)
    } else if (key === 'origin') {
      if (origins.length === MAX_ORIGINS) throw new InvalidManifestError(`more than ${MAX_ORIGINS} origins`, 'link origin')
      const origin = decodeValue(raw, 'link origin')
      checkOrigin(origin, 'link origin')
      origins.push(origin)
    }
  }
  if (peers.length > 0) link.peers = peers
  if (origins.length > 0) link.origins = origins
  return link
}

function parseLength(raw: string): number {
  const length = /^(0|[1-9][0-9]{0,15})$/.test(raw) ? Number(raw) : Number.NaN
  if (!(length <= MAX_CONTENT_LENGTH))
    throw new InvalidManifestError(`not a length of 0 to ${MAX_CONTENT_LENGTH} bytes`, 'link length')
  return length
}

function decodeValue(raw: string, where: string): string {
  try {
    return decodeURIComponent(raw)
  } catch (err) {
    throw new InvalidManifestError('not percent-encoded UTF-8', where, err)
  }
}
