/**
 * The key that makes this node the same peer after a restart.
 *
 * Invariants: the key file is readable by its owner only and appears whole or not at all (two processes that
 * start at once agree on one key). Called by the host.
 */

import { randomBytes } from 'node:crypto'
import { link, mkdir, open, readFile, unlink } from 'node:fs/promises'
import { join } from 'node:path'
import { generateKeyPair, generateKeyPairFromSeed, privateKeyFromProtobuf, privateKeyToProtobuf } from '@libp2p/crypto/keys'
import type { PrivateKey } from '@libp2p/interface'
import { StoreError } from '../errors.ts'
import { bytesEqual } from '../util/bytes.ts'

const KEY_FILE = 'identity.key'
/** Of an Ed25519 key in front of its public half. */
const SEED_BYTES = 32

/**
 * The key kept in `stateDir`, made on first use; a fresh one when `stateDir` is undefined. Throws
 * `StoreError`.
 */
export async function loadIdentity(stateDir: string | undefined): Promise<PrivateKey> {
  if (stateDir === undefined) return generateKeyPair('Ed25519')
  const path = join(stateDir, KEY_FILE)
  return (await readKey(path)) ?? (await createKey(stateDir, path))
}

async function readKey(path: string): Promise<PrivateKey | undefined> {
  let bytes: Uint8Array
  try {
    bytes = await readFile(path)
  } catch (err) {
    if ((err as { code?: string }).code === 'ENOENT') return undefined
    throw new StoreError('cannot read the identity key', path, err)
  }
  try {
    const key = privateKeyFromProtobuf(bytes)
    if (await isSound(key, bytes)) return key
  } catch (err) {
    throw damaged(path, err)
  }
  throw damaged(path, undefined)
}

/**
 * Whether nothing in the file was changed. It holds the public half as well, and a node with halves that do
 * not fit starts and is reached by nobody.
 */
async function isSound(key: PrivateKey, bytes: Uint8Array): Promise<boolean> {
  if (!bytesEqual(privateKeyToProtobuf(key), bytes)) return false
  if (key.type !== 'Ed25519') return true
  const again = await generateKeyPairFromSeed('Ed25519', key.raw.subarray(0, SEED_BYTES))
  return again.publicKey.equals(key.publicKey)
}

function damaged(path: string, cause: unknown): StoreError {
  return new StoreError('the identity key is damaged; put it back from a backup, or remove it to get a new peer id', path, cause)
}

async function createKey(stateDir: string, path: string): Promise<PrivateKey> {
  const key = await generateKeyPair('Ed25519')
  const temporary = `${path}.${randomBytes(6).toString('hex')}`
  try {
    await mkdir(stateDir, { recursive: true, mode: 0o700 })
    const file = await open(temporary, 'wx', 0o600)
    try {
      await file.writeFile(privateKeyToProtobuf(key))
      await file.sync()
    } finally {
      await file.close()
    }
    // link, not rename: it fails when another process was first, whose key is then ours too.
    await link(temporary, path)
    return key
  } catch (err) {
    if ((err as { code?: string }).code === 'EEXIST') {
      const theirs = await readKey(path)
      if (theirs !== undefined) return theirs
    }
    throw new StoreError('cannot keep the identity key', path, err)
  } finally {
    await unlink(temporary).catch(() => {})
  }
}
