/** Shows live how the file spreads: a bar per node on a terminal, a line every few seconds elsewhere. */

import type { LiveView } from './run.ts'

const PLAIN_INTERVAL_S = 5
const BLOCKS = [' ', '▁', '▂', '▃', '▄', '▅', '▆', '▇', '█']

export class Live {
  readonly #client: string
  readonly #stream: NodeJS.WriteStream
  #plainS = Number.NEGATIVE_INFINITY
  #drawn = false

  constructor(client: string, stream: NodeJS.WriteStream) {
    this.#client = client
    this.#stream = stream
  }

  show(view: LiveView): void {
    const line = this.#line(view)
    if (this.#stream.isTTY) {
      this.#stream.write(`\r\x1b[K\x1b[?7l${line}\x1b[?7h`)
      this.#drawn = true
    } else if (view.seconds - this.#plainS >= PLAIN_INTERVAL_S) {
      this.#stream.write(`${line}\n`)
      this.#plainS = view.seconds
    }
  }

  note(text: string): void {
    this.end()
    this.#stream.write(`${this.#client}: ${text}\n`)
  }

  end(): void {
    if (this.#drawn) this.#stream.write('\r\x1b[K')
    this.#drawn = false
  }

  /** One block per node: its height is how much of the file the node has; x is a node that is down. */
  #line({ seconds, nodes }: LiveView): string {
    const bars = nodes
      .map(({ fraction, up }) => (up || fraction === 1 ? BLOCKS[Math.floor(fraction * (BLOCKS.length - 1))] : 'x'))
      .join('')
    const complete = nodes.filter(({ fraction }) => fraction === 1).length
    const mean = nodes.reduce((sum, { fraction }) => sum + fraction, 0) / Math.max(1, nodes.length)
    return `${this.#client} ${seconds.toFixed(0).padStart(4)} s  |${bars}|  ${(mean * 100).toFixed(0).padStart(3)} %  ${complete}/${nodes.length} complete`
  }
}
