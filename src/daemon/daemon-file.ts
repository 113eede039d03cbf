/**
 * How the commands of the same user find the running daemon: a file in the state folder with its address and
 * a secret of this run.
 *
 * Invariants: readable by its owner alone; written only once the daemon answers; a file left by a killed
 * daemon is told from a live one by asking. Called by start-daemon.ts (writes) and client.ts (reads).
 */

import { readFile, rename, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'

interface DaemonFile {
  url: string
  secret: string
  pid: number
  /** Of the certificate, with HTTPS. */
  fingerprint?: string | undefined
}

const FILE = 'daemon.json'

export async function writeDaemonFile(stateDir: string, content: DaemonFile): Promise<void> {
  const path = join(stateDir, FILE)
  const fresh = `${path}.${process.pid}`
  await writeFile(fresh, `${JSON.stringify(content)}\n`, { mode: 0o600 })
  await rename(fresh, path)
}

/** Removes the file if it is still ours. */
export async function removeDaemonFile(stateDir: string, pid: number): Promise<void> {
  if ((await readDaemonFile(stateDir))?.pid === pid) await rm(join(stateDir, FILE), { force: true })
}

/** Undefined when there is none, or it is not readable as one. */
export async function readDaemonFile(stateDir: string): Promise<DaemonFile | undefined> {
  try {
    const { url, secret, pid, fingerprint } = JSON.parse(await readFile(join(stateDir, FILE), 'utf8')) as Partial<DaemonFile>
    return typeof url === 'string' && typeof secret === 'string' && typeof pid === 'number'
      ? { url, secret, pid, fingerprint }
      : undefined
  } catch {
    return undefined
  }
}
