/**
 * What a download put on disk, so that later we know our own: a file is ours to delete or to take back only
 * while it is what we wrote.
 *
 * The receipt is written before the files get their final names, and a rename changes none of what it holds;
 * so a crash leaves a receipt without files and never files without a receipt. The mark of the staging area
 * is there from its first file on. Both lie in the download's folder of the state folder. Called by the file
 * store, by removal and by repair.
 */

import fs from 'node:fs'
import { join, resolve } from 'node:path'
import type { HashFunction } from '../../content/hash.ts'
import type { Manifest } from '../../content/manifest.ts'
import { encodeHex, encodeUtf8 } from '../../util/bytes.ts'
import { replaceFile } from '../disk.ts'
import type { Selection } from '../selection.ts'
import { transfersFolder } from './paths.ts'

/** What a file looked like when we last wrote to it. Not the change time, which our own rename moves. */
export interface FileMark {
  size: bigint
  mtimeNs: bigint
  inode: bigint
  /**
   * Time of birth; 0 where the file system keeps none. Inodes are given out again at once, so it takes both
   * to know a file again.
   */
  birthNs: bigint
}

export interface Receipt {
  root: string
  name: string
  pieceLength: number
  /** Absolute. */
  output: string
  /** The globs that the download was given; undefined for all files, or when it was given a function. */
  only: readonly string[] | undefined
  /** In manifest order; undefined: not wanted. */
  files: readonly (FileMark | undefined)[]
  /**
   * Folders that we made, each by its names from the output on, joined by slashes; '' is the output itself.
   */
  folders: readonly string[]
}

const FORMAT = 'swarm receipt 1'

export function markOf(stats: Pick<fs.BigIntStats, 'size' | 'mtimeNs' | 'ino' | 'birthtimeNs'>): FileMark {
  return { size: stats.size, mtimeNs: stats.mtimeNs, inode: stats.ino, birthNs: stats.birthtimeNs }
}

/** Whether the regular file is still what we wrote. */
export function isMarked(stats: fs.BigIntStats, mark: FileMark | undefined): boolean {
  if (mark === undefined || !stats.isFile()) return false
  if (stats.ino !== mark.inode || stats.birthtimeNs !== mark.birthNs) return false
  return stats.size === mark.size && stats.mtimeNs === mark.mtimeNs
}

/**
 * Whether it is the file that we made, though somebody may have written to it since. False where that cannot
 * be known.
 */
export function isOurFile(stats: fs.BigIntStats, mark: FileMark | undefined): boolean {
  if (mark === undefined || !stats.isFile() || mark.birthNs === 0n) return false
  return stats.ino === mark.inode && stats.birthtimeNs === mark.birthNs
}

/** The receipt of these files as they are described by `marks` and `folders`. */
export function receiptOf(
  manifest: Manifest,
  output: string,
  selection: Selection,
  marks: readonly (FileMark | undefined)[],
  folders: readonly string[]
): Receipt {
  const { root, name, pieceLength } = manifest
  return { root, name, pieceLength, output: resolve(output), only: selection.globs, files: marks, folders }
}

/** Throws `StoreError`. */
export async function writeReceipt(folder: string, receipt: Receipt, hash: HashFunction): Promise<void> {
  const { files, ...head } = receipt
  const lines = [
    JSON.stringify(head),
    ...files.map(mark => (mark === undefined ? '-' : `${mark.size} ${mark.mtimeNs} ${mark.inode} ${mark.birthNs}`))
  ]
  const body = lines.join('\n')
  await replaceFile(receiptPath(folder), encodeUtf8(`${FORMAT}\n${encodeHex(hash(encodeUtf8(body)))}\n${body}\n`))
}

/** Undefined when there is none, or when it is damaged: then nothing counts as ours. */
export async function readReceipt(folder: string, hash: HashFunction): Promise<Receipt | undefined> {
  try {
    const text = await fs.promises.readFile(receiptPath(folder), 'utf8')
    const [format, checksum, ...lines] = text.split('\n')
    const body = lines.slice(0, -1).join('\n')
    if (format !== FORMAT || checksum !== encodeHex(hash(encodeUtf8(body)))) return undefined
    const head = JSON.parse(lines[0] as string) as Omit<Receipt, 'files'>
    return { ...head, only: head.only, files: lines.slice(1, -1).map(parseMark) }
  } catch {
    return undefined
  }
}

/** What this state folder put in place, as far as it remembers. Never throws. */
export async function* listReceipts(stateDir: string, hash: HashFunction): AsyncGenerator<Receipt> {
  const transfers = transfersFolder(stateDir)
  for (const name of await fs.promises.readdir(transfers).catch(() => [])) {
    const receipt = await readReceipt(join(transfers, name), hash)
    if (receipt !== undefined) yield receipt
  }
}

/** Where the receipt lies; without it a download's folder may be forgotten. */
export function receiptPath(folder: string): string {
  return join(folder, 'receipt')
}

/**
 * Notes that the staging area is ours, beside the last one: pieces on another file system are copied beside
 * the output first. By inode and time of birth; not by device, whose number may be another after a restart.
 * Not flushed: what a power cut loses here is found out by hashing.
 */
export async function markStaging(folder: string, stats: fs.BigIntStats): Promise<void> {
  await fs.promises.mkdir(folder, { recursive: true, mode: 0o700 })
  const last = (await stagingMarks(folder)).filter(mark => mark !== stagingMark(stats)).slice(-1)
  await fs.promises.writeFile(join(folder, 'staging'), [...last, stagingMark(stats), ''].join('\n'), { mode: 0o600 })
}

export async function isMarkedStaging(folder: string, stats: fs.BigIntStats): Promise<boolean> {
  return (await stagingMarks(folder)).includes(stagingMark(stats))
}

/** Nothing is staged any more. Never throws: a mark too many fits nothing. */
export async function forgetStaging(folder: string): Promise<void> {
  await fs.promises.rm(join(folder, 'staging'), { force: true }).catch(() => {})
}

async function stagingMarks(folder: string): Promise<string[]> {
  const text = await fs.promises.readFile(join(folder, 'staging'), 'utf8').catch(() => '')
  return text.split('\n').filter(line => line !== '')
}

function stagingMark({ ino, birthtimeNs }: fs.BigIntStats): string {
  return `${ino} ${birthtimeNs}`
}

function parseMark(line: string): FileMark | undefined {
  if (line === '-') return undefined
  const [size, mtimeNs, inode, birthNs] = line.split(' ').map(BigInt)
  if (size === undefined || mtimeNs === undefined || inode === undefined || birthNs === undefined)
    throw new RangeError(`no mark: ${line}`)
  return { size, mtimeNs, inode, birthNs }
}
