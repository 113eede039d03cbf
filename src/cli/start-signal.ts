/**
 * `SWARM_START_FILE`: a node that is loaded waits until this file exists, so that a fleet can begin at one
 * moment, whatever its processes cost to start (benchmarks, roll-outs). Without the variable nothing waits.
 * Caller: get.ts.
 */

import { existsSync } from 'node:fs'
import { setTimeout as sleep } from 'node:timers/promises'
import type { SwarmNode } from '../node/types.ts'
import type { Ui } from './ui.ts'

/**
 * Polled, not watched: a file that another container or machine makes on a shared folder raises no event
 * here. And polled without promises: those of `access`, rejected fifty times a second, took 32 waiting nodes
 * 0.9 of a core.
 */
const INTERVAL_MS = 20

/** Resolves at once when no start file is named, else when it exists; rejects when aborted. */
export async function startSignal(path: string | undefined, node: SwarmNode, signal: AbortSignal, ui: Ui): Promise<void> {
  if (path === undefined || path === '') return
  ui.event('waiting', { peer: node.peer, addresses: node.addresses(), startFile: path })
  ui.remark(`waiting for ${path}`)
  while (!existsSync(path)) await sleep(INTERVAL_MS, undefined, { signal })
}
