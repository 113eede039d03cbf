/**
 * What a command says and where: results on stdout, remarks and progress on stderr, or with `--json` one
 * object per line on stdout.
 *
 * Invariants: in JSON mode nothing but JSON reaches stdout and nothing at all reaches stderr; `--quiet`
 * leaves one line per result and the errors; live lines are drawn only on a terminal, never interleave with
 * other output, and are gone when the command ends. Every text that may come from outside (names, peers'
 * reasons) loses its control characters here. Callers: every command.
 */

export interface UiOptions {
  readonly json: boolean
  readonly quiet: boolean
  readonly verbose: boolean
  readonly stdout: UiStream
  readonly stderr: UiStream
  /** Milliseconds, monotonic. */
  readonly nowMs: () => number
}

/** The part of a tty.WriteStream that the Ui uses. */
export interface UiStream {
  write(text: string): unknown
  readonly isTTY?: boolean
}

const TTY_INTERVAL_MS = 100
const PLAIN_INTERVAL_MS = 5000
const JSON_INTERVAL_MS = 1000

/**
 * Text without control characters (escape sequences in a hostile name would otherwise reach the terminal).
 */
export function printable(text: string): string {
  // biome-ignore lint/suspicious/noControlCharactersInRegex: they are what is being removed
  return text.replace(/[\u0000-\u001f\u007f-\u009f\u2028\u2029\u202a-\u202e\u2066-\u2069]/g, '\ufffd')
}

/** `[#####-----]`, `fraction` 0..1. */
export function bar(fraction: number, width = 24): string {
  const filled = Math.floor(Math.min(1, Math.max(0, fraction)) * width)
  return `[${'#'.repeat(filled)}${'-'.repeat(width - filled)}]`
}

export class Ui {
  readonly #options: UiOptions
  #live: readonly string[] = []
  #drawn = 0
  #progressAtMs = Number.NEGATIVE_INFINITY

  constructor(options: UiOptions) {
    this.#options = options
  }

  get json(): boolean {
    return this.#options.json
  }

  get quiet(): boolean {
    return this.#options.quiet
  }

  get verbose(): boolean {
    return this.#options.verbose
  }

  /** One machine-readable line, with `--json` only. */
  event(event: string, fields: object = {}): void {
    if (this.#options.json) this.#options.stdout.write(`${JSON.stringify({ event, ...fields })}\n`)
  }

  /** A line of the result, on stdout. Silent with `--json` and `--quiet`. */
  result(text: string): void {
    if (!this.#options.json && !this.#options.quiet) this.#print(this.#options.stdout, text)
  }

  /** The one line that `--quiet` leaves of a result (a path, a link), on stdout. */
  essential(text: string): void {
    if (!this.#options.json && this.#options.quiet) this.#print(this.#options.stdout, text)
  }

  /** Something a person watching wants to know, on stderr. Silent with `--json` and `--quiet`. */
  remark(text: string): void {
    if (!this.#options.json && !this.#options.quiet) this.#print(this.#options.stderr, text)
  }

  /** A remark for `--verbose` only. */
  detail(text: string): void {
    if (this.#options.verbose) this.remark(text)
  }

  /** Said even with `--quiet`: errors and warnings. */
  warning(text: string): void {
    if (!this.#options.json) this.#print(this.#options.stderr, `swarm: ${text}`)
  }

  /**
   * Where a running job stands: redrawn in place on a terminal (10/s at most), a line every 5 s elsewhere, an
   * event `progress` every second with `--json`. The callbacks run only when something is due. `final` always
   * gets through (but is not drawn on a terminal, where the result that follows says it better).
   */
  progress(lines: () => readonly string[], fields: () => object, final = false): void {
    const { json, quiet, stderr, nowMs } = this.#options
    if (quiet && !json) return
    const tty = !json && stderr.isTTY === true
    const now = nowMs()
    const intervalMs = json ? JSON_INTERVAL_MS : tty ? TTY_INTERVAL_MS : PLAIN_INTERVAL_MS
    if (!final && now - this.#progressAtMs < intervalMs) return
    if (json) this.event('progress', fields())
    else if (tty) this.#draw(final ? [] : lines())
    // The first plain line waits one interval: a job that is done before needs none.
    else if (!final && this.#progressAtMs !== Number.NEGATIVE_INFINITY) stderr.write(`${printable(lines().join('  '))}\n`)
    this.#progressAtMs = now
  }

  /** Removes the live lines. */
  clear(): void {
    this.#draw([])
  }

  #print(stream: UiStream, text: string): void {
    const live = this.#live
    this.#draw([])
    stream.write(`${text.split('\n').map(printable).join('\n')}\n`)
    this.#draw(live)
  }

  #draw(lines: readonly string[]): void {
    const { stderr } = this.#options
    if (stderr.isTTY !== true || (this.#drawn === 0 && lines.length === 0)) return
    // Back to the first live line, clear to the end of the screen, write without wrapping (the terminal
    // clips), wrap again.
    const up = this.#drawn > 1 ? `\x1b[${this.#drawn - 1}A` : ''
    stderr.write(`${up}\r\x1b[J${lines.length > 0 ? `\x1b[?7l${lines.map(printable).join('\n')}\x1b[?7h` : ''}`)
    this.#live = lines
    this.#drawn = lines.length
  }
}
