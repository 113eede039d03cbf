/**
 * Whether a command works through the daemon, and which one: the running one of this state folder, or the one
 * of `--daemon`.
 *
 * Options that shape a node (addresses, discovery, encryption) have no meaning for a node that runs already,
 * so giving one on the command line means a node of one's own, as `--no-daemon` does. In the environment they
 * do not: there they are meant for any node that is started. Callers: get, seed, status, scan.
 */

import { readFileSync } from 'node:fs'
import type { DaemonClient } from '../api/client/client.ts'
import { InvalidOptionsError, NotFoundError } from '../errors.ts'
import { resolveNodeOptions } from '../node/options.ts'
import { environmentName } from '../options/kinds.ts'
import { OPTIONS } from '../options/table.ts'
import { defined, flagValue, type NodeFlags } from './options.ts'
import type { Ui } from './ui.ts'

export interface DaemonClientFlags {
  stateDir?: string
  /** URL of a daemon; false for `--no-daemon`; true or absent: the one of this state folder if it runs. */
  daemon?: string | boolean
  /** File whose first line is its token; SWARM_TOKEN does as well. */
  tokenFile?: string
  /** Of the certificate of the daemon. */
  fingerprint?: string
}

/** The daemon to use, or undefined for a node of one's own. Throws when `--daemon <url>` does not answer. */
export async function daemonFor(flags: NodeFlags & DaemonClientFlags, ui: Ui): Promise<DaemonClient | undefined> {
  if (flags.daemon === false) return undefined
  const own = OPTIONS.find(
    ({ name, shapesNode }) =>
      shapesNode === true && flagValue(flags, name) !== undefined && process.env[environmentName(name)] === undefined
  )
  const client = await findClient(flags)
  if (client === undefined || own === undefined) return client
  ui.remark(`--${own.name} is for a node of its own: the daemon at ${client.url} is not used`)
  return undefined
}

/** The daemon, which must be there. Throws `NotFoundError` when none runs. */
export async function requireDaemon(flags: DaemonClientFlags): Promise<DaemonClient> {
  const client = await findClient(flags)
  if (client === undefined) throw new NotFoundError("no daemon runs here; start one with 'swarm daemon', or give --daemon <url>")
  return client
}

/** Throws `InvalidOptionsError` for a file that cannot be read. */
export function tokenOf({ tokenFile }: Pick<DaemonClientFlags, 'tokenFile'>): string | undefined {
  if (tokenFile === undefined) return process.env.SWARM_TOKEN || undefined
  try {
    return readFileSync(tokenFile, 'utf8').split('\n')[0]?.trim()
  } catch (err) {
    throw new InvalidOptionsError(`token-file: cannot be read: ${(err as Error).message}`, { field: 'token-file' }, err)
  }
}

async function findClient(flags: DaemonClientFlags): Promise<DaemonClient | undefined> {
  const { findDaemon } = await import('../api/client/client.ts')
  const url = typeof flags.daemon === 'string' ? flags.daemon : undefined
  return findDaemon({
    stateDir: resolveNodeOptions(defined({ stateDir: flags.stateDir })).stateDir,
    ...defined({ url, token: tokenOf(flags), fingerprint: flags.fingerprint })
  })
}
