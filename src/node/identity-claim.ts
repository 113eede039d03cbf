/**
 * One process per identity: the second process on a state folder is a peer of its own for as long as it runs.
 *
 * Two processes with one peer id cannot find each other (a `get` and a `seed` on one machine), and a dial of
 * that id reaches either. The identity goes to the first, and is free again with its end, however it
 * ended. A holder on another host or in another container counts as gone at once: a node that is restarted
 * in a fresh container has to be the peer that others know. Called by node.ts.
 */

import { chmod } from 'node:fs/promises'
import { join } from 'node:path'
import { type ProcessLock, takeLock } from '../store/process-lock.ts'
import { openStateFolder } from './state-folder.ts'

const LOCK_FILE = 'identity.lock'

export interface IdentityClaim {
  /** Who has the identity, in words: this node is a peer of its own. */
  readonly takenBy: string | undefined
  release(): Promise<void>
}

/**
 * Never throws: where no lock can be written nothing is known of others, and the code that reads the identity
 * says whether the folder can be used.
 */
export async function claimIdentity(stateDir: string): Promise<IdentityClaim> {
  let lock: ProcessLock | undefined
  try {
    await openStateFolder(stateDir)
    const taken = await takeLock(join(stateDir, LOCK_FILE), 0)
    if (typeof taken === 'string') return { takenBy: taken, release: async () => {} }
    lock = taken
    await chmod(join(stateDir, LOCK_FILE), 0o600)
  } catch {
    // As said above.
  }
  return { takenBy: undefined, release: async () => lock?.release() }
}
