/**
 * What a download remembers between runs, in one small file of the state folder.
 *
 * The file is there only while nothing was written to the staged files since: it is written after their data
 * were flushed and removed before the next write. Its stamp of those files catches what others did to them.
 * So a state that reads well and agrees with the files can be believed; without one every byte is hashed
 * again. Called by the file store.
 */

import fs from 'node:fs'
import { join } from 'node:path'
import { Bitfield } from '../../content/bitfield.ts'
import type { HashFunction } from '../../content/hash.ts'
import { decodeHexInto, encodeHex, encodeUtf8 } from '../../util/bytes.ts'
import { removePath, replaceFile } from '../disk.ts'
import { type Stamp, stampText } from '../file-stamp.ts'
import { readReceipt } from './receipt.ts'

/**
 * 'staged': pieces wait beside the output. 'moving': files are on their way from there into an existing
 * folder. 'finished': the selected files are in place, and the rest of the boundary pieces is kept here.
 */
export type TransferPhase = 'staged' | 'moving' | 'finished'

export interface TransferState {
  phase: TransferPhase
  have: Bitfield
  /** Digest of the stamps of all files that hold pieces. */
  stamps: string
}

/** Everything else is in the folder's name (root, output, selection). */
const FORMAT = 'swarm transfer 1'

export function statePath(folder: string): string {
  return join(folder, 'state')
}

/** Undefined when there is none, or when it is damaged in any way. */
export async function readTransferState(
  folder: string,
  pieceCount: number,
  hash: HashFunction
): Promise<TransferState | undefined> {
  try {
    const text = await fs.promises.readFile(statePath(folder), 'utf8')
    const [format, checksum, phase, stamps, bits, ...rest] = text.split('\n')
    if (format !== FORMAT || rest.length !== 1 || stamps === undefined || bits === undefined) return undefined
    if (phase !== 'staged' && phase !== 'moving' && phase !== 'finished') return undefined
    if (checksum !== checksumOf([phase, stamps, bits], hash)) return undefined
    const bytes = new Uint8Array(Math.ceil(pieceCount / 8))
    if (bits.length !== bytes.byteLength * 2 || !decodeHexInto(bits, bytes, 0)) return undefined
    return { phase, stamps, have: Bitfield.fromBytes(bytes, pieceCount) }
  } catch {
    // Unreadable or malformed: the pieces are verified instead.
    return undefined
  }
}

/** Throws `StoreError`. */
export async function writeTransferState(folder: string, state: TransferState, hash: HashFunction): Promise<void> {
  const lines = [state.phase, state.stamps, encodeHex(state.have.toBytes())]
  const text = [FORMAT, checksumOf(lines, hash), ...lines, ''].join('\n')
  await replaceFile(statePath(folder), new TextEncoder().encode(text))
}

/** Of the stamps of the files that hold pieces. */
export function digestOf(stamps: readonly (Stamp | undefined)[], hash: HashFunction): string {
  const text = stamps.map(stamp => (stamp === undefined ? '-' : stampText(stamp))).join('\n')
  return encodeHex(hash(encodeUtf8(text)))
}

/**
 * A transfer untouched for this long is forgotten, in milliseconds: 90 days. Its staged bytes, if any, stay
 * and would be hashed again.
 */
const FORGET_MS = 90 * 24 * 3600 * 1000

/**
 * Removes what abandoned downloads and finished selections left in the state folder long ago. A receipt stays
 * as long as what it is about: without it nobody could tell that those files are ours. Never throws.
 */
export async function forgetOldTransfers(transfers: string, nowMs: number, hash: HashFunction): Promise<void> {
  const names = await fs.promises.readdir(transfers).catch(() => [])
  for (const name of names) {
    const folder = join(transfers, name)
    const inside = await fs.promises.readdir(folder).catch(() => [])
    const stats = await Promise.all(['', ...inside].map(entry => fs.promises.stat(join(folder, entry)).catch(() => undefined)))
    if (!stats.every(entry => entry === undefined || nowMs - entry.mtimeMs > FORGET_MS)) continue
    const receipt = await readReceipt(folder, hash)
    if (receipt !== undefined && fs.existsSync(receipt.output)) continue
    await removePath(folder).catch(() => {})
  }
}

function checksumOf(lines: readonly string[], hash: HashFunction): string {
  return encodeHex(hash(new TextEncoder().encode(lines.join('\n'))))
}
