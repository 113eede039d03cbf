/**
 * What a download that its disk stopped fails with: of a full disk it says how much room is missing. Called
 * by transfers.
 */

import { statfsSync } from 'node:fs'
import { StoreError, SwarmError } from '../../errors.ts'
import { formatBytes } from '../../util/sizes.ts'

/** `path`: of the content; `bytesLeft`: still to be written. */
export function downloadFault(err: unknown, path: string, bytesLeft: number): SwarmError {
  const fault = err instanceof SwarmError ? err : new StoreError((err as Error).message, path, err)
  if (!(fault instanceof StoreError) || fault.errno !== 'ENOSPC') return fault
  const missingBytes = bytesLeft - freeBytesAt(fault.path)
  // Somebody made room meanwhile, or the system does not say.
  if (missingBytes <= 0) return fault
  const message = `the disk has no room for the ${formatBytes(bytesLeft)} still to come: ${formatBytes(missingBytes)} are missing; make room and resume`
  return new StoreError(message, fault.path, fault.cause, { missingBytes })
}

function freeBytesAt(path: string): number {
  try {
    const { bavail, bsize } = statfsSync(path)
    return bavail * bsize
  } catch {
    return Number.POSITIVE_INFINITY
  }
}
