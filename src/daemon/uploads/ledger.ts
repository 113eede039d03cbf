/**
 * The bytes of all uploads, in one account: what was promised and what was taken, against the quota, the
 * largest size and the disk.
 *
 * Invariants: a byte is debited before it is written, whatever way it comes and however many come side by
 * side; a promise holds its room only while bytes come, so that one who announces and never sends keeps
 * nobody out; a debit costs the same with one upload and with a thousand. Called by uploads.ts and the tus
 * front.
 */

import { statfsSync } from 'node:fs'
import { RequestRefusedError, StoreError } from '../../errors.ts'
import { formatBytes } from '../../util/sizes.ts'
import type { Debit } from '../content-service.ts'

interface LedgerInit {
  /** Where the bytes go. */
  folder: string
  /** Largest upload in bytes; 0: no limit but quota and disk. */
  maxBytes: number
  /** 0: none. */
  quotaBytes: () => number
  /** Of the quota, what is no upload's. */
  otherBytes: () => number
  nowMs?: () => number
  /** Room on the disk. */
  freeBytes?: (folder: string) => number
}

interface Account {
  /** Announced; undefined: not known. */
  length: number | undefined
  /** On disk and counting. */
  stored: number
  /** Being written. */
  inFlight: number
  /** Of what is being written, what takes the place of something stored. */
  replaced: number
  /** Until when the announced length holds its room. */
  promisedUntilMs: number
  /** What of it is in the sum of claims, and of that what is not on disk. */
  claimed: number
  unwritten: number
}

/** A promise without a byte for this long holds no room. */
const PROMISE_MS = 60_000
/** Left to the rest of the machine. */
const DISK_MARGIN_BYTES = 64 * 1024 * 1024
/** The disk, and what downloads have, are looked at this often. */
const LOOK_MS = 500
const SWEEP_MS = 5000

export class UploadLedger {
  readonly #init: LedgerInit
  readonly #accounts = new Map<string, Account>()
  #claimed = 0
  /** Of what is claimed, what is not on disk. */
  #unwritten = 0
  #sweptMs = 0
  #looked = { atMs: Number.NEGATIVE_INFINITY, other: 0, free: 0, writtenSince: 0 }

  constructor(init: LedgerInit) {
    this.#init = init
  }

  /** What uploads have, and were promised. */
  get claimedBytes(): number {
    return this.#claimed
  }

  /** An upload begins, or is there from before. Throws as `take` when the announced length has no room. */
  open(id: string, length: number | undefined, stored: number, { isNew }: { isNew: boolean }): void {
    if (isNew) this.checkRoom(length ?? 0)
    const account = {
      length,
      stored,
      inFlight: 0,
      replaced: 0,
      promisedUntilMs: this.#nowMs() + PROMISE_MS,
      claimed: 0,
      unwritten: 0
    }
    this.#accounts.set(id, account)
    this.#count(account)
  }

  close(id: string): void {
    const account = this.#accounts.get(id)
    if (account === undefined) return
    this.#accounts.delete(id)
    this.#claimed -= account.claimed
    this.#unwritten -= account.unwritten
  }

  /** The length became known (tus defers it). */
  announce(id: string, length: number | undefined): void {
    const account = this.#accounts.get(id)
    if (account === undefined || account.length === length) return
    account.length = length
    this.#count(account)
  }

  /**
   * Bytes begin to come for an upload; `replaced` of what it has go when they are settled. `announced`
   * (Content-Length) is judged at once.
   */
  begin(id: string, { replaced = 0, announced = 0 }: { replaced?: number; announced?: number } = {}): Debit {
    const account = this.#accounts.get(id) ?? this.#reopen(id)
    this.#checkOwn(account, announced - replaced)
    this.#checkClaim(this.#growth(account, announced))
    account.replaced += replaced
    let taken = 0
    let isSettled = false
    return {
      take: bytes => {
        this.#checkOwn(account, bytes)
        this.#checkClaim(this.#growth(account, bytes))
        account.inFlight += bytes
        taken += bytes
        this.#looked.writtenSince += bytes
        account.promisedUntilMs = this.#nowMs() + PROMISE_MS
        this.#count(account)
      },
      settle: kept => {
        if (isSettled) return
        isSettled = true
        account.inFlight -= taken
        account.replaced -= replaced
        account.stored += (kept?.bytes ?? 0) - (kept?.replaced ?? 0)
        if (this.#accounts.get(id) === account) this.#count(account)
      }
    }
  }

  /**
   * Throws as `take` when so many more bytes cannot be had: for one upload, within the quota, or on the disk.
   */
  checkRoom(bytes: number): void {
    this.#checkOwn({ length: undefined, stored: 0, inFlight: 0, replaced: 0 }, bytes)
    this.#checkClaim(bytes)
  }

  #reopen(id: string): Account {
    this.open(id, undefined, 0, { isNew: false })
    return this.#accounts.get(id) as Account
  }

  #checkOwn(account: Pick<Account, 'length' | 'stored' | 'inFlight' | 'replaced'>, more: number): void {
    const { maxBytes } = this.#init
    const most = Math.min(account.length ?? Number.POSITIVE_INFINITY, maxBytes || Number.POSITIVE_INFINITY)
    const bytes = account.stored + account.inFlight - account.replaced + more
    if (bytes <= most) return
    throw new RequestRefusedError(
      'too_large',
      `${formatBytes(bytes)} are more than was announced or allowed (${formatBytes(most)})`,
      {
        maxBytes: most
      }
    )
  }

  /** Whether quota and disk have room for so much more than is claimed. */
  #checkClaim(more: number): void {
    if (more <= 0) return
    this.#sweep()
    const { other, free } = this.#look()
    const quota = this.#init.quotaBytes()
    const used = other + this.#claimed
    if (quota > 0 && used + more > quota) {
      throw new RequestRefusedError(
        'too_large',
        `the disk quota of ${formatBytes(quota)} has no room for ${formatBytes(more)} more`,
        { quota, used, missingBytes: used + more - quota }
      )
    }
    this.#checkFree(more, free)
  }

  /** Throws `StoreError` (ENOSPC) when the disk has no room for so much and what is promised. */
  checkDisk(more: number): void {
    this.#checkFree(more, this.#look().free)
  }

  #checkFree(more: number, free: number): void {
    const missing = this.#unwritten + more + DISK_MARGIN_BYTES - (free - this.#looked.writtenSince)
    if (missing <= 0) return
    const message = `the disk has no room for ${formatBytes(more)} more: ${formatBytes(missing)} are missing; make room and send it again`
    throw new StoreError(message, this.#init.folder, { code: 'ENOSPC' }, { missingBytes: missing })
  }

  /** By how much so many bytes exceed what the upload has claimed. */
  #growth(account: Account, bytes: number): number {
    return Math.max(0, account.stored + account.inFlight + bytes - account.claimed)
  }

  #count(account: Account): void {
    const written = account.stored + account.inFlight
    const promised = account.promisedUntilMs > this.#nowMs() ? (account.length ?? 0) : 0
    const claimed = Math.max(written, promised)
    this.#claimed += claimed - account.claimed
    this.#unwritten += claimed - written - account.unwritten
    account.claimed = claimed
    account.unwritten = claimed - written
  }

  /** Promises that nobody keeps end. */
  #sweep(): void {
    const nowMs = this.#nowMs()
    if (nowMs - this.#sweptMs < SWEEP_MS) return
    this.#sweptMs = nowMs
    for (const account of this.#accounts.values()) this.#count(account)
  }

  #look(): { other: number; free: number } {
    const nowMs = this.#nowMs()
    if (nowMs - this.#looked.atMs >= LOOK_MS) {
      const { folder, otherBytes, freeBytes = freeBytesOf } = this.#init
      this.#looked = { atMs: nowMs, other: otherBytes(), free: freeBytes(folder), writtenSince: 0 }
    }
    return this.#looked
  }

  #nowMs(): number {
    return this.#init.nowMs?.() ?? performance.now()
  }
}

function freeBytesOf(folder: string): number {
  try {
    const { bavail, bsize } = statfsSync(folder)
    return bavail * bsize
  } catch {
    // Writing will tell what is wrong with the folder.
    return Number.POSITIVE_INFINITY
  }
}
