/**
 * A logger for libp2p that says nothing and costs nothing.
 *
 * libp2p makes several loggers for each connection and stream, and `debug` matches each name against what is
 * wanted and asks about the terminal's colours: 7 % of the CPU of a node that meets many peers, although
 * nobody listens. Called by host.ts.
 */

import type { ComponentLogger, Logger } from '@libp2p/interface'

const QUIET: Logger = Object.assign(() => {}, {
  enabled: false,
  error: () => {},
  trace: () => {},
  newScope: () => QUIET
})

/** Undefined where somebody asked for logs (`DEBUG`): then libp2p's own. */
export function loggerUnlessWanted(wanted = process.env.DEBUG ?? ''): ComponentLogger | undefined {
  return wanted === '' ? { forComponent: () => QUIET } : undefined
}
