/**
 * Ctrl-C and SIGTERM: the first asks a command to stop cleanly (its signal aborts), the second ends the
 * process now with 130. Callers: every command that runs for longer than a moment.
 */

import type { Ui } from './ui.ts'

export interface Interrupt extends Disposable {
  readonly signal: AbortSignal
}

/** Listens until disposed. The abort reason is an `AbortError`, so an interrupted command exits with 130. */
export function interruptible(ui: Ui): Interrupt {
  const controller = new AbortController()
  const onSignal = (signal: NodeJS.Signals): void => {
    if (controller.signal.aborted) {
      ui.clear()
      process.exit(130)
    }
    ui.remark(`${signal}: stopping (once more to stop now)`)
    ui.event('stopping', { signal })
    controller.abort(new DOMException('interrupted', 'AbortError'))
  }
  process.on('SIGINT', onSignal)
  process.on('SIGTERM', onSignal)
  return {
    signal: controller.signal,
    [Symbol.dispose]() {
      process.off('SIGINT', onSignal)
      process.off('SIGTERM', onSignal)
    }
  }
}
