/**
 * `--origin-command`: asks a program of the user's for a fresh URL when an origin refuses the old one
 * (presigned URLs expire).
 */

import { exec } from 'node:child_process'

const TIMEOUT_MS = 30_000
const MAX_OUTPUT_BYTES = 64 * 1024

/**
 * Runs `command` by the shell; its first line of output is the new URL, an empty one says that there is none.
 */
export function freshUrlBy(command: string, signal: AbortSignal): (url: string, why: string) => Promise<string | undefined> {
  return (url, why) =>
    new Promise((resolve, reject) => {
      const env = { ...process.env, SWARM_ORIGIN_URL: url, SWARM_ORIGIN_FAULT: why }
      exec(command, { env, signal, timeout: TIMEOUT_MS, maxBuffer: MAX_OUTPUT_BYTES }, (err, stdout, stderr) => {
        const line = stdout.split('\n')[0]?.trim() ?? ''
        if (err !== null) reject(new Error(`the origin command failed: ${stderr.trim().slice(0, 200) || err.message}`))
        else resolve(line === '' ? undefined : line)
      })
    })
}
