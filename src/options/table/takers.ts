/**
 * Groups of commands that take the same options.
 */

import type { Taker } from '../spec.ts'

export const NODE: Taker[] = ['seed', 'get']
export const NODE_AND_DAEMON: Taker[] = [...NODE, 'daemon']
export const AT_DAEMON: Taker[] = ['status', 'scan', 'task', 'task remove', 'token create', 'token', 'dashboard', 'url']
export const HASHING: Taker[] = ['seed', 'create', 'push']
export const EVERY: Taker[] = [...NODE, 'create', 'push', 'info', 'verify', 'daemon', ...AT_DAEMON, 'simulate']
