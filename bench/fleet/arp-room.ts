/**
 * Room in the kernel's neighbour (ARP) table for a fleet. One table serves all network namespaces of a
 * machine, and by default it holds 1024 entries: 33 nodes that all know each other fill it, and every further
 * node is cut off without a word (measured: 27 of 60 had received nothing after four minutes).
 */

import { readFile, writeFile } from 'node:fs/promises'

const FOLDER = '/proc/sys/net/ipv4/neigh/default/'
/**
 * Above the second the kernel throws entries out, at the third it refuses new ones. Raised from the last,
 * lowered from the first.
 */
const NAMES = ['gc_thresh3', 'gc_thresh2'] as const

/**
 * Runs `work` with room for each of `hosts` machines to know all others; afterwards the limits are as before.
 */
export async function withArpRoom<T>(hosts: number, say: (note: string) => void, work: () => Promise<T>): Promise<T> {
  const needed = hosts * hosts
  const raised: { name: string; before: string }[] = []
  try {
    for (const name of NAMES) {
      const before = await readFile(FOLDER + name, 'utf8')
      if (Number(before) >= needed) continue
      await writeFile(FOLDER + name, String(needed))
      raised.push({ name, before })
    }
  } catch (err) {
    say(`the kernel's neighbour table may be too small for ${hosts} machines: ${(err as Error).message}`)
  }
  try {
    return await work()
  } finally {
    for (const { name, before } of raised.reverse()) await writeFile(FOLDER + name, before).catch(() => {})
  }
}
