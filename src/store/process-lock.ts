/**
 * One process at a time, by a small file that says which one: for an output, beside it, and for the identity
 * of a state folder.
 *
 * The lock of an output lies beside it and not in the state folder, since two nodes with separate state
 * folders may still be sent to the same output. A lock is stale when its process is gone (same host: by
 * process id, start time and boot), or, written on another host or in another container, when nobody touched
 * it for a while. One of this very process is stale once it was released: a folder that may not be written to
 * any more keeps its file. Called by the file store and the node.
 */

import { randomUUID } from 'node:crypto'
import fs from 'node:fs'
import { hostname } from 'node:os'
import { StoreError } from '../errors.ts'
import { errnoOf, isMissing, storeError } from './disk.ts'

/**
 * A living holder touches its lock this often; unseen for the longer time, one of another host counts as
 * dead. In milliseconds.
 */
const TOUCH_MS = 15_000
const FOREIGN_STALE_MS = 60_000
/** More rounds than this mean that others keep taking the lock first. */
const MAX_ROUNDS = 8

interface Holder {
  pid: number
  /** When the process started, in the kernel's own words; empty where the platform does not tell. */
  started: string
  boot: string
  host: string
  token: string
}

/** Tokens of the locks that this process holds now. */
const heldTokens = new Set<string>()

export interface ProcessLock {
  /** Gives it free. Idempotent; never throws. */
  release(): Promise<void>
}

/** Throws `StoreError` naming the process that writes to `output` already. */
export async function lockOutput(lockPath: string, output: string): Promise<ProcessLock> {
  const taken = await takeLock(lockPath, FOREIGN_STALE_MS)
  if (typeof taken !== 'string') return taken
  throw new StoreError(`${taken} is downloading to this output already`, output)
}

/**
 * The lock, or in words who holds it. A holder on another host, whose end nobody can see from here, counts as
 * dead when it has not touched the lock for `foreignStaleMs`. Throws `StoreError` where no lock can be
 * written or read.
 */
export async function takeLock(lockPath: string, foreignStaleMs: number): Promise<ProcessLock | string> {
  const own: Holder = {
    pid: process.pid,
    started: await processStart(process.pid),
    boot: await bootId(),
    host: hostname(),
    token: randomUUID()
  }
  for (let round = 0; round < MAX_ROUNDS; round++) {
    try {
      await fs.promises.writeFile(lockPath, `${JSON.stringify(own)}\n`, { flag: 'wx', mode: 0o644 })
      return held(lockPath, own)
    } catch (err) {
      if (errnoOf(err) !== 'EEXIST') throw storeError('cannot lock', lockPath, err)
    }
    const text = await readLock(lockPath)
    if (text === undefined) continue
    const holder = parseHolder(text)
    if (holder !== undefined && (await isAlive(holder, own, lockPath, foreignStaleMs))) {
      return holder.host === own.host ? `process ${holder.pid}` : `process ${holder.pid} on ${holder.host}`
    }
    // Empty or torn: its writer may be between creating and filling it; a dead one leaves it so for good.
    if (holder === undefined && (await ageMs(lockPath)) < 2_000) {
      await new Promise(resolve => setTimeout(resolve, 300))
      continue
    }
    await removeStale(lockPath, text, own.token)
  }
  throw new StoreError('other processes keep taking the lock', lockPath)
}

function held(lockPath: string, own: Holder): ProcessLock {
  heldTokens.add(own.token)
  const touch = setInterval(() => {
    const now = new Date()
    fs.promises.utimes(lockPath, now, now).catch(() => {})
  }, TOUCH_MS)
  touch.unref()
  let released = false
  return {
    async release() {
      if (released) return
      released = true
      heldTokens.delete(own.token)
      clearInterval(touch)
      const text = await readLock(lockPath).catch(() => undefined)
      if (text !== undefined && parseHolder(text)?.token === own.token)
        await fs.promises.rm(lockPath, { force: true }).catch(() => {})
    }
  }
}

async function readLock(lockPath: string): Promise<string | undefined> {
  try {
    return await fs.promises.readFile(lockPath, 'utf8')
  } catch (err) {
    if (isMissing(err)) return undefined
    throw storeError('cannot read lock', lockPath, err)
  }
}

async function ageMs(lockPath: string): Promise<number> {
  const stats = await fs.promises.stat(lockPath).catch(() => undefined)
  return stats === undefined ? 0 : Date.now() - stats.mtimeMs
}

/**
 * Moves the stale lock aside before deleting it, so that of two who found it stale only one deletes and
 * neither deletes a new lock.
 */
async function removeStale(lockPath: string, staleText: string, token: string): Promise<void> {
  const aside = `${lockPath}.${token}`
  try {
    await fs.promises.rename(lockPath, aside)
  } catch (err) {
    if (isMissing(err)) return
    throw storeError('cannot take over lock', lockPath, err)
  }
  const moved = await readLock(aside)
  // It was somebody's fresh lock: put it back unless yet another one is there.
  if (moved !== undefined && moved !== staleText) await fs.promises.link(aside, lockPath).catch(() => {})
  await fs.promises.rm(aside, { force: true }).catch(() => {})
}

async function isAlive(holder: Holder, own: Holder, lockPath: string, foreignStaleMs: number): Promise<boolean> {
  if (holder.host !== own.host) return (await ageMs(lockPath)) < foreignStaleMs
  if (holder.boot !== own.boot) return false
  if (holder.pid === own.pid && holder.started === own.started) return heldTokens.has(holder.token)
  try {
    process.kill(holder.pid, 0)
  } catch (err) {
    // EPERM: it lives and belongs to somebody else.
    if (errnoOf(err) !== 'EPERM') return false
  }
  return holder.started === '' || holder.started === (await processStart(holder.pid))
}

/**
 * Tells a process from a later one with the same id. Linux: start time in clock ticks since boot, field 22 of
 * /proc/<pid>/stat.
 */
async function processStart(pid: number): Promise<string> {
  const stat = await fs.promises.readFile(`/proc/${pid}/stat`, 'utf8').catch(() => '')
  // The second field, the command, may hold spaces and parentheses.
  return stat.slice(stat.lastIndexOf(')') + 2).split(' ')[19] ?? ''
}

async function bootId(): Promise<string> {
  return (await fs.promises.readFile('/proc/sys/kernel/random/boot_id', 'utf8').catch(() => '')).trim()
}

function parseHolder(text: string): Holder | undefined {
  try {
    const { pid, started, boot, host, token } = JSON.parse(text) as Partial<Holder>
    if (!Number.isSafeInteger(pid) || (pid as number) <= 0) return undefined
    if (typeof started !== 'string' || typeof boot !== 'string' || typeof host !== 'string' || typeof token !== 'string')
      return undefined
    return { pid: pid as number, started, boot, host, token }
  } catch {
    return undefined
  }
}
