/**
 * Which readers of the gateway hold buffers now: all of them together within one budget, in turns.
 *
 * Invariants: what is held never exceeds the budget, but for one reader that needs more than all of it; a
 * turn ends after `TURN_MS` when others wait; next is the address with the fewest turns, then who waited
 * longest; who takes no byte is ended after `STALL_MS`, or after `CONTENDED_STALL_MS` when others wait.
 * Called by gateway.ts.
 */

import { STALL_MS } from '../../http/bounds.ts'

interface ReaderGateInit {
  budgetBytes: number
  /** A reader that stalled is ended: its address. */
  onStalled: (address: string) => void
  nowMs?: () => number
}

export interface Turn {
  /** Aborted when the reader waits for pieces while others could go on. */
  readonly signal: AbortSignal
  /** Bytes are offered to the connection from now on. */
  writing(): void
  /** They were taken. */
  taken(): void
  /** To read into, half of the bytes asked for each. */
  readonly buffers: readonly [Uint8Array, Uint8Array]
  /** Whether it is somebody else's turn now. */
  readonly isOver: boolean
  end(): void
}

export interface ReaderRequest {
  bytes: number
  group: string
  address: string
  /** Ends the reader's connection. */
  drop: () => void
  /** When the reader has left. */
  signal: AbortSignal
}

export const READER_BUDGET_BYTES = 64 * 1024 * 1024
/** Together with slices of 128 KiB a floor of 64 KiB/s, while others wait. */
export const CONTENDED_STALL_MS = 2000
export const TURN_MS = 250
const TICK_MS = 100

interface Waiting {
  readonly request: ReaderRequest
  readonly admit: (turn: RunningTurn) => void
}

export class ReaderGate {
  readonly #init: ReaderGateInit
  readonly #running = new Set<RunningTurn>()
  #waiting: Waiting[] = []
  /**
   * Buffers of turns that ended, for the next: fresh ones would pile up until the garbage collector comes by.
   */
  #spare: RunningTurn['buffers'][] = []
  #heldBytes = 0
  #ticker: NodeJS.Timeout | undefined

  constructor(init: ReaderGateInit) {
    this.#init = init
  }

  get heldBytes(): number {
    return this.#heldBytes
  }

  get hasWaiting(): boolean {
    return this.#waiting.length > 0
  }

  /** Resolves when it is the reader's turn; rejects with the signal's reason when it leaves before. */
  take(request: ReaderRequest): Promise<Turn> {
    request.signal.throwIfAborted()
    return new Promise((resolve, reject) => {
      const leave = (): void => {
        this.#waiting = this.#waiting.filter(each => each !== waiting)
        reject(request.signal.reason)
      }
      const waiting: Waiting = {
        request,
        admit: turn => {
          request.signal.removeEventListener('abort', leave)
          resolve(turn)
        }
      }
      request.signal.addEventListener('abort', leave, { once: true })
      this.#waiting.push(waiting)
      this.#admit()
    })
  }

  nowMs(): number {
    return this.#init.nowMs?.() ?? performance.now()
  }

  release(turn: RunningTurn): void {
    if (!this.#running.delete(turn)) return
    this.#heldBytes -= turn.request.bytes
    this.#spare.push(turn.buffers)
    this.#admit()
  }

  #buffersOf(bytes: number): RunningTurn['buffers'] {
    const half = Math.ceil(bytes / 2)
    const found = this.#spare.findIndex(([first]) => first.byteLength === half)
    const [same] = found < 0 ? [] : this.#spare.splice(found, 1)
    if (same !== undefined) return same
    // What is spare counts as well, and nobody needs these sizes now.
    const room = this.#init.budgetBytes - this.#heldBytes - bytes
    const isOver = (): boolean => this.#spare.reduce((sum, [first]) => sum + 2 * first.byteLength, 0) > room
    while (this.#spare.length > 0 && isOver()) this.#spare.shift()
    return [Buffer.allocUnsafeSlow(half), Buffer.allocUnsafeSlow(half)]
  }

  #admit(): void {
    for (let next = this.#next(); next !== undefined; next = this.#next()) {
      if (this.#running.size > 0 && this.#heldBytes + next.request.bytes > this.#init.budgetBytes) break
      const admitted = next
      this.#waiting = this.#waiting.filter(each => each !== admitted)
      const { bytes } = admitted.request
      const turn = new RunningTurn(this, admitted.request, this.#buffersOf(bytes))
      this.#running.add(turn)
      this.#heldBytes += bytes
      admitted.admit(turn)
    }
    if (this.#running.size === 0) {
      clearInterval(this.#ticker)
      this.#ticker = undefined
      this.#spare = []
    } else if (this.#ticker === undefined) {
      this.#ticker = setInterval(() => this.tick(), TICK_MS)
      this.#ticker.unref()
    }
  }

  /** Who waits at the address with the fewest turns, the longest first. */
  #next(): Waiting | undefined {
    const turns = new Map<string, number>()
    for (const { request } of this.#running) turns.set(request.group, (turns.get(request.group) ?? 0) + 1)
    let best: Waiting | undefined
    for (const waiting of this.#waiting) {
      const fewer = (turns.get(waiting.request.group) ?? 0) < (turns.get(best?.request.group ?? '') ?? 0)
      if (best === undefined || fewer) best = waiting
    }
    return best
  }

  /** Ends who stalls, and turns that wait for pieces. */
  tick(): void {
    const nowMs = this.nowMs()
    for (const turn of [...this.#running]) {
      const idleMs = nowMs - turn.movedMs
      if (!turn.isWriting) {
        if (this.hasWaiting && nowMs - turn.beganMs >= TURN_MS) turn.interrupt()
      } else if (idleMs >= STALL_MS || (this.hasWaiting && idleMs >= CONTENDED_STALL_MS)) {
        this.#init.onStalled(turn.request.address)
        turn.request.drop()
        turn.end()
      }
    }
  }
}

class RunningTurn implements Turn {
  readonly request: ReaderRequest
  readonly buffers: Turn['buffers']
  readonly beganMs: number
  movedMs: number
  isWriting = false
  readonly #gate: ReaderGate
  readonly #abort = new AbortController()

  constructor(gate: ReaderGate, request: ReaderRequest, buffers: Turn['buffers']) {
    this.#gate = gate
    this.buffers = buffers
    this.request = request
    this.beganMs = gate.nowMs()
    this.movedMs = this.beganMs
  }

  get signal(): AbortSignal {
    return this.#abort.signal
  }

  get isOver(): boolean {
    return this.#gate.hasWaiting && this.#gate.nowMs() - this.beganMs >= TURN_MS
  }

  writing(): void {
    this.isWriting = true
    this.movedMs = this.#gate.nowMs()
  }

  taken(): void {
    this.isWriting = false
    this.movedMs = this.#gate.nowMs()
  }

  interrupt(): void {
    this.#abort.abort()
  }

  end(): void {
    this.#gate.release(this)
  }
}
