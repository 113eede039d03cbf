/**
 * One origin of a content as it is known so far, and whether what it answers is still the same file. Used by
 * origin-fetcher.ts.
 */

import { OriginError } from '../errors.ts'
import { displayUrl, type OriginAnswer } from './http-client.ts'

export interface KnownOrigin {
  url: string
  etag: string | undefined
  lastModified: string | undefined
  fault: OriginError | undefined
}

/** The length must be the content's; what else identifies the file must stay what it was. */
export function checkIdentity(origin: KnownOrigin, answer: OriginAnswer, length: number): void {
  const shown = displayUrl(origin.url)
  const end = (what: string): never => {
    answer.body.on('error', () => {}).destroy()
    throw changed(shown, what)
  }
  if (answer.length !== undefined && answer.length !== length) {
    end(`it is ${answer.length} bytes long, the manifest says ${length}`)
  }
  if (origin.etag !== undefined && answer.etag !== origin.etag) end(`its ETag was ${origin.etag} and is ${answer.etag ?? 'gone'}`)
  else if (origin.etag === undefined && origin.lastModified !== undefined && answer.lastModified !== origin.lastModified) {
    end(`its Last-Modified was ${origin.lastModified} and is ${answer.lastModified ?? 'gone'}`)
  }
  origin.etag = answer.etag
  origin.lastModified = answer.lastModified
}

export function newOrigin(url: string): KnownOrigin {
  return { url, etag: undefined, lastModified: undefined, fault: undefined }
}

export function changed(url: string, what: string): OriginError {
  return new OriginError(
    'changed',
    `${url} is not what the manifest describes (any more): ${what}; make a new manifest of it, or give another origin`,
    {
      url
    }
  )
}
