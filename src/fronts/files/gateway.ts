/**
 * The gateway: contents over HTTP with ranges (RFC 9110), while the download still runs.
 *
 * Invariants: what is sent was verified; the pieces of the range asked for are fetched first; a slow reader
 * slows the fetch (the next piece is asked for when the last one was taken), one who leaves or takes nothing
 * ends it, and all together hold what reader-gate.ts allows. Served bytes never run in our origin (CSP
 * sandbox).
 */

import { randomBytes } from 'node:crypto'
import type { OutgoingHttpHeaders, ServerResponse } from 'node:http'
import type { Socket } from 'node:net'
import type { FastifyReply, FastifyRequest } from 'fastify'
import mime from 'mime'
import type { Manifest } from '../../content/manifest.ts'
import type { ContentService, OpenContent } from '../../daemon/content-service.ts'
import { NotFoundError, RangeNotSatisfiableError } from '../../errors.ts'
import { addressGroup, callerAddress } from '../../http/address-group.ts'
import { STALL_MS } from '../../http/bounds.ts'
import { type ByteRange, chooseRanges, evaluateConditions, ifRangeHolds } from './ranges.ts'
import type { ReaderGate, Turn } from './reader-gate.ts'

/** A file within a content: [offset, offset + length). */
interface ServedFile {
  name: string
  offset: number
  length: number
}

/** Who counts readers, and says when they may hold buffers. */
export interface GatewayMeter {
  readonly gate: ReaderGate
  readerCame(socket: Socket): void
  readerLeft(): void
  sent(bytes: number, socket: Socket): void
}

interface ServeInit {
  contents: ContentService
  meter: GatewayMeter
  root: string
  path: string
  download: boolean
  /** Called at the end with the content bytes sent. */
  onSent: (bytes: number) => void
}

export async function serveContent(
  request: FastifyRequest,
  reply: FastifyReply,
  { contents, meter, root, path, download, onSent }: ServeInit
): Promise<FastifyReply> {
  const content = contents.open(root)
  const file = findFile(content, path)
  const { headers } = request
  const validators = { etag: `"${root}"`, lastModifiedMs: content.lastModifiedMs }
  const type = mime.getType(file.name) ?? 'application/octet-stream'
  reply.headers({
    etag: validators.etag,
    'last-modified': new Date(validators.lastModifiedMs).toUTCString(),
    'cache-control': 'no-cache',
    'accept-ranges': 'bytes',
    // Content comes from strangers: it may be shown, but not act as if it were the dashboard.
    'content-security-policy': "sandbox; default-src 'none'; img-src 'self' data:; media-src 'self'; style-src 'unsafe-inline'"
  })
  const verdict = evaluateConditions(
    {
      ifMatch: headers['if-match'],
      ifNoneMatch: headers['if-none-match'],
      ifModifiedSince: headers['if-modified-since'],
      ifUnmodifiedSince: headers['if-unmodified-since']
    },
    validators
  )
  if (verdict !== 'go on') return reply.code(verdict).send()

  reply.header('content-disposition', disposition(file.name, download))
  // Range has a meaning for GET alone (RFC 9110, 14.2).
  const wantsRange = request.method === 'GET' && ifRangeHolds(one(headers['if-range']), validators)
  const choice = chooseRanges(wantsRange ? headers.range : undefined, file.length)
  if (choice.kind === 'unsatisfiable') {
    reply.header('content-range', `bytes */${file.length}`).removeHeader('content-disposition')
    throw new RangeNotSatisfiableError(`the content has ${file.length} bytes`, {
      range: headers.range?.slice(0, 200),
      length: file.length
    })
  }
  const ranges = choice.kind === 'whole' ? [{ start: 0, end: file.length }] : choice.ranges
  const [first] = ranges
  if (choice.kind === 'whole') reply.headers({ 'content-type': type, 'content-length': file.length })
  else if (ranges.length === 1 && first !== undefined) {
    reply
      .code(206)
      .headers({ 'content-type': type, 'content-length': first.end - first.start, 'content-range': contentRange(first, file) })
  }
  if (request.method === 'HEAD') return reply.send()
  const source = { contents, meter, content, file, onSent }
  if (choice.kind === 'whole' || ranges.length === 1) {
    return sendParts(reply, source, [{ range: first as ByteRange, head: undefined }])
  }

  const boundary = randomBytes(12).toString('hex')
  const parts = ranges.map(range => ({
    range,
    head: Buffer.from(`\r\n--${boundary}\r\ncontent-type: ${type}\r\ncontent-range: ${contentRange(range, file)}\r\n\r\n`)
  }))
  const tail = Buffer.from(`\r\n--${boundary}--\r\n`)
  const bytes = parts.reduce((sum, { range, head }) => sum + head.byteLength + range.end - range.start, tail.byteLength)
  reply.code(206).headers({ 'content-type': `multipart/byteranges; boundary=${boundary}`, 'content-length': bytes })
  return sendParts(reply, source, parts, tail)
}

interface Part {
  range: ByteRange
  head: Uint8Array | undefined
}

interface Source {
  contents: ContentService
  meter: GatewayMeter
  content: OpenContent
  file: ServedFile
  onSent: (bytes: number) => void
}

/** Offered to the connection at once; until it takes them the reader's buffers are held. */
const SLICE_BYTES = 128 * 1024
/** What a reader reads from disk at once, at least. */
const RUN_BYTES = 1024 * 1024

/** Said of the content and not of an error. */
const OF_THE_CONTENT = ['etag', 'last-modified', 'accept-ranges', 'content-range', 'content-disposition', 'content-type']
/**
 * The first bytes are waited for this long before the status goes out: most of what can be wrong with a
 * content on disk shows by then.
 */
const FIRST_BYTES_MS = 1000

/**
 * Writes the parts to the connection, a slice at a time: the next one is asked for when the socket took the
 * last, so that a slow reader slows the fetch, and buffers can be used again. Fastify's stream would hold
 * several, each a fresh buffer.
 */
async function sendParts(
  reply: FastifyReply,
  { contents, meter, content, file, onSent }: Source,
  parts: readonly Part[],
  tail?: Uint8Array
): Promise<FastifyReply> {
  const { manifest } = content
  const { raw, request } = reply
  const { socket } = request.raw
  // Put off until bytes are there: what keeps them from coming is told by a status. For pieces that are still
  // to be fetched nobody waits.
  const begin = (): void => {
    clearTimeout(late)
    if (reply.sent) return
    reply.hijack()
    raw.writeHead(reply.statusCode, reply.getHeaders() as OutgoingHttpHeaders)
  }
  const late = setTimeout(() => {
    begin()
    raw.flushHeaders()
  }, FIRST_BYTES_MS)
  const left = new AbortController()
  raw.once('close', () => left.abort())
  const leave = contents.readerCame(manifest.root)
  meter.readerCame(socket)
  let sent = 0
  const took = (bytes: number): void => {
    sent += bytes
    meter.sent(bytes, socket)
  }
  const asked = {
    bytes: 2 * Math.min(Math.max(RUN_BYTES, manifest.pieceLength), manifest.length),
    group: addressGroup(socket.remoteAddress),
    address: callerAddress(request),
    drop: () => raw.destroy(),
    signal: left.signal
  }
  try {
    for (const { range, head } of parts) {
      let isBegun = false
      const prelude = async (): Promise<void> => {
        if (isBegun) return
        isBegun = true
        begin()
        if (head !== undefined) await writeBetween(raw, head)
      }
      const [start, end] = [file.offset + range.start, file.offset + range.end]
      for (let at = start; at < end; )
        at = await sendTurn(raw, content, { start: at, end }, await meter.gate.take(asked), { prelude, took })
      await prelude()
    }
    if (tail !== undefined) await writeBetween(raw, tail)
    raw.end()
  } catch (err) {
    if (!reply.sent && !left.signal.aborted) {
      for (const name of OF_THE_CONTENT) void reply.removeHeader(name)
      throw err
    }
    if (!reply.sent) reply.hijack()
    // The headers are out: a connection that ends early is how HTTP tells that the body is not whole.
    if (!left.signal.aborted) reply.log.warn({ err, root: manifest.root }, 'reader cut off')
    raw.destroy()
  } finally {
    clearTimeout(late)
    leave()
    meter.readerLeft()
    onSent(sent)
  }
  return reply
}

/** Sends until the end of the range or of the turn, which it ends; resolves with where it came to. */
async function sendTurn(
  raw: ServerResponse,
  content: OpenContent,
  { start, end }: ByteRange,
  turn: Turn,
  { prelude, took }: { prelude: () => Promise<void>; took: (bytes: number) => void }
): Promise<number> {
  let at = start
  const left = new AbortController()
  const leave = (): void => left.abort()
  raw.once('close', leave)
  const signal = AbortSignal.any([left.signal, turn.signal])
  try {
    for await (const chunk of content.read({ start, end, signal, buffers: turn.buffers })) {
      for (let offset = 0; offset < chunk.byteLength; offset += SLICE_BYTES) {
        const slice = chunk.subarray(offset, offset + SLICE_BYTES)
        turn.writing()
        await prelude()
        await write(raw, slice)
        turn.taken()
        at += slice.byteLength
        took(slice.byteLength)
      }
      if (turn.isOver) break
    }
  } catch (err) {
    if (left.signal.aborted || !turn.signal.aborted) throw err
  } finally {
    raw.off('close', leave)
    turn.end()
  }
  return at
}

/** What is between contents needs no turn; who does not take it is ended all the same. */
async function writeBetween(raw: ServerResponse, bytes: Uint8Array): Promise<void> {
  // Node ends a connection whose time is over when nobody else listens for that.
  raw.socket?.setTimeout(STALL_MS)
  await write(raw, bytes)
  raw.socket?.setTimeout(0)
}

/** Resolves when the operating system took the bytes; rejects when the connection ended. */
function write(raw: ServerResponse, chunk: Uint8Array): Promise<void> {
  return new Promise((resolve, reject) => {
    raw.write(chunk, err => (err == null ? resolve() : reject(err)))
  })
}

/** Where each file of a folder lies; made once per manifest. */
const layouts = new WeakMap<Manifest, Map<string, ServedFile>>()

/** The file that a URL names. Names are looked up in the manifest, never on disk. */
function findFile({ manifest, aliases }: OpenContent, path: string): ServedFile {
  if (manifest.files === undefined) {
    const name = aliases.includes(path) ? path : manifest.name
    if (path === '' || path === name) return { name, offset: 0, length: manifest.length }
    throw new NotFoundError(`the content is one file, "${manifest.name}"`, { root: manifest.root, path })
  }
  let layout = layouts.get(manifest)
  if (layout === undefined) {
    layout = new Map()
    let offset = 0
    for (const file of manifest.files) {
      layout.set(file.path, { name: file.path.split('/').at(-1) ?? file.path, offset, length: file.length })
      offset += file.length
    }
    layouts.set(manifest, layout)
  }
  const file =
    layout.get(path) ?? (path.startsWith(`${manifest.name}/`) ? layout.get(path.slice(manifest.name.length + 1)) : undefined)
  if (file === undefined)
    throw new NotFoundError('the folder has no such file; /v1/swarms/<root> lists them', { root: manifest.root, path })
  return file
}

function contentRange({ start, end }: ByteRange, file: ServedFile): string {
  return `bytes ${start}-${end - 1}/${file.length}`
}

/** RFC 6266: a plain name for old clients, the real one in UTF-8. */
function disposition(name: string, download: boolean): string {
  const plain = name.replace(/[^\x20-\x7e]|["\\%]/g, '_')
  const encoded = encodeURIComponent(name).replace(/['()*]/g, char => `%${char.charCodeAt(0).toString(16).toUpperCase()}`)
  return `${download ? 'attachment' : 'inline'}; filename="${plain}"; filename*=UTF-8''${encoded}`
}

function one(value: string | string[] | undefined): string | undefined {
  return Array.isArray(value) ? value[0] : value
}
