/**
 * Marks a TCP socket's packets as small and waited for. Linux' own queue (pfifo_fast) and many routers send
 * marked packets before others, as they do for a shell's keystrokes; where nobody looks at the mark nothing
 * changes. Used by raw-tls.ts and tls-connection.ts: other connections cannot take the mark back when they
 * carry pieces.
 */

import type { Socket } from 'node:net'

/** IPTOS_LOWDELAY (RFC 1349): of the marks in use the only one that pfifo_fast puts into its first band. */
const LOW_DELAY = 0x10
const NORMAL = 0

/**
 * Marks what is sent from now on, or no longer does. Does nothing where the system or Node cannot (before
 * Node 24).
 */
export function setLowDelay(socket: Socket, isLowDelay: boolean): void {
  try {
    socket.setTypeOfService?.(isLowDelay ? LOW_DELAY : NORMAL)
  } catch {
    // Not allowed here; or the socket is closed, and its user hears of that.
  }
}
