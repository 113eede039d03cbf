/**
 * Links and manifests for listings: without origins whose URL carries a query or a user, for that is what
 * signs it.
 *
 * Who may look at tasks shall not be able to read the bucket behind them. Called by the queue's views and the
 * route of manifests.
 */

import { formatLink, parseLink } from '../content/link.ts'
import { formatManifest, type Manifest } from '../content/manifest.ts'

/** The query part of a URL, percent-encoded in a link or plain. */
const MAY_BE_SIGNED = /[?&]origin=[^&]*(?:%3f|\?|%40|@)/i
/** In a manifest as we write it, origins come before files and pieces. */
const ORIGINS_LINE = '\n  "origins": ['

export function unsignedLink(text: string): string {
  if (!MAY_BE_SIGNED.test(text)) return text
  const link = parseLink(text)
  return formatLink({ ...link, origins: unsigned(link.origins) })
}

export function unsignedManifest(text: string, parse: (text: string) => Manifest): string {
  if (!text.includes(ORIGINS_LINE)) return text
  const { origins, ...manifest } = parse(text)
  const left = unsigned(origins)
  return formatManifest(left.length === 0 ? manifest : { ...manifest, origins: left })
}

/** A request's address for logs: ours are signed, too. */
export function withoutQuery(url: string): string {
  const at = url.indexOf('?')
  return (at < 0 ? url : url.slice(0, at)).slice(0, 500)
}

function unsigned(origins: readonly string[] = []): string[] {
  return origins.filter(origin => {
    const url = URL.parse(origin)
    return url !== null && url.search === '' && url.username === '' && url.password === ''
  })
}
