/**
 * Near first: bytes should cross from one rack (zone, region) to another once, and spread inside it.
 *
 * Near peers are found through neighbours (`peers` says who is near) and most slots are kept for them
 * (neighbours.ts). A peer that takes a piece from afar tells those nearer (`taking`), and a leecher turns
 * down offers from afar of what somebody nearer has or is taking (download/near.ts).
 *
 * How far two peers stand from each other by their labels: 0 same host, 1 same rack, 2 same zone, 3 same
 * region, 4 elsewhere or unknown.
 */

const LEVELS = ['host', 'rack', 'zone', 'region'] as const
export const FARTHEST = LEVELS.length

type Labels = Readonly<Record<string, string>>

export function distanceOf(a: Labels, b: Labels): number {
  for (let level = 0; level < LEVELS.length; level++) {
    const name = LEVELS[level] as string
    const value = a[name]
    if (value === undefined || value !== b[name]) continue
    // The same rack name in two zones is two racks: wider labels that both give must agree.
    if (LEVELS.slice(level + 1).every(wider => a[wider] === undefined || b[wider] === undefined || a[wider] === b[wider]))
      return level
  }
  return FARTHEST
}
