/**
 * What is shared in a measurement: a file or a folder of incompressible bytes, the same for every contestant,
 * and its torrent.
 */

import { execFile } from 'node:child_process'
import { createCipheriv, createHash } from 'node:crypto'
import { mkdir, open, stat, writeFile } from 'node:fs/promises'
import { basename, join } from 'node:path'
import { promisify } from 'node:util'

const exec = promisify(execFile)

const BLOCK_BYTES = 4 * 1024 * 1024

export interface Payload {
  readonly path: string
  readonly bytes: number
  /** Files within the folder, in order; undefined for a single file. */
  readonly files: readonly { path: string; bytes: number }[] | undefined
  /** Piece length of the torrent, the same as ours has. */
  readonly pieceBytes: number
}

/** Bytes that look random and are the same in every run. */
function keystream() {
  const cipher = createCipheriv('aes-128-ctr', new Uint8Array(16).fill(1), new Uint8Array(16))
  const zeros = new Uint8Array(BLOCK_BYTES)
  return (bytes: number): Uint8Array => cipher.update(zeros.subarray(0, bytes))
}

export async function makeFile(path: string, bytes: number, pieceBytes: number): Promise<Payload> {
  const next = keystream()
  await using file = await open(path, 'w')
  for (let done = 0; done < bytes; done += BLOCK_BYTES) await file.write(next(Math.min(BLOCK_BYTES, bytes - done)))
  await file.datasync()
  return { path, bytes, files: undefined, pieceBytes }
}

/** `count` files of `bytes` each, a hundred to a folder. */
export async function makeFolder(path: string, count: number, bytes: number, pieceBytes: number): Promise<Payload> {
  const next = keystream()
  const files: { path: string; bytes: number }[] = []
  for (let index = 0; index < count; index++) {
    const folder = `d${String(Math.floor(index / 100)).padStart(3, '0')}`
    if (index % 100 === 0) await mkdir(join(path, folder), { recursive: true })
    const name = join(folder, `f${String(index).padStart(5, '0')}`)
    await writeFile(join(path, name), next(bytes))
    files.push({ path: name, bytes })
  }
  return { path, bytes: count * bytes, files, pieceBytes }
}

/** Writes the payload's torrent (BitTorrent v1) beside it, unless it is there; gives its path. */
export async function torrentOf(payload: Payload, announce?: string): Promise<string> {
  const target = `${payload.path}${announce === undefined ? '' : '.announced'}.torrent`
  if ((await stat(target).catch(() => undefined)) !== undefined) return target
  const hashes: Buffer[] = []
  let hash = createHash('sha1')
  let inPiece = 0
  for await (const chunk of contents(payload)) {
    for (let offset = 0; offset < chunk.length; ) {
      const taken = Math.min(chunk.length - offset, payload.pieceBytes - inPiece)
      hash.update(chunk.subarray(offset, offset + taken))
      offset += taken
      inPiece += taken
      if (inPiece < payload.pieceBytes) continue
      hashes.push(hash.digest())
      hash = createHash('sha1')
      inPiece = 0
    }
  }
  if (inPiece > 0) hashes.push(hash.digest())
  const files = payload.files?.map(file => ({ length: file.bytes, path: file.path.split('/') }))
  const info = {
    ...(files === undefined ? { length: payload.bytes } : { files }),
    name: basename(payload.path),
    'piece length': payload.pieceBytes,
    pieces: Buffer.concat(hashes)
  }
  await writeFile(target, bencode(announce === undefined ? { info } : { announce, info }))
  return target
}

async function* contents({ path, files }: Payload): AsyncGenerator<Buffer> {
  for (const file of files?.map(file => join(path, file.path)) ?? [path]) {
    await using handle = await open(file)
    yield* handle.createReadStream({ highWaterMark: 1024 * 1024, autoClose: false })
  }
}

type Bencodable = number | string | Buffer | readonly Bencodable[] | { readonly [key: string]: Bencodable }

function bencode(value: Bencodable): Buffer {
  if (typeof value === 'number') return Buffer.from(`i${value}e`)
  if (typeof value === 'string') return bencode(Buffer.from(value))
  if (Buffer.isBuffer(value)) return Buffer.concat([Buffer.from(`${value.length}:`), value])
  const end = Buffer.from('e')
  if (Array.isArray(value)) return Buffer.concat([Buffer.from('l'), ...value.map(bencode), end])
  const entries = Object.entries(value).sort(([a], [b]) => (a < b ? -1 : 1))
  return Buffer.concat([Buffer.from('d'), ...entries.flatMap(([key, item]) => [bencode(key), bencode(item)]), end])
}

/** The bytes on disk are the seeder's. */
export async function verify(payload: Payload, output: string): Promise<void> {
  const [command, flag] = payload.files === undefined ? ['cmp', '-s'] : ['diff', '-rq']
  await exec(command as string, [flag as string, payload.path, output]).catch(err => {
    throw new Error(`${output} is not what was seeded: ${err.stdout ?? err.message}`)
  })
}
