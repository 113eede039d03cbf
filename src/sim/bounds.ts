/**
 * Lower bounds on the time that any schedule needs; what results are measured against. Times in ms, rates in
 * bytes per ms.
 */

/** How {@link equalUplinkBoundMs} is written in reports. */
export const EQUAL_UPLINKS = 'T* = (F/u)(1 + floor(log2 N)/M)'

/**
 * Equal uplinks, N leechers, M pieces: T* = (F/u)(1 + floor(log2 N)/M). Mundinger, Weber and Weiss, *Optimal
 * Scheduling of Peer-to-Peer File Dissemination* (Journal of Scheduling, 2008), theorem 1.
 */
export function equalUplinkBoundMs(contentBytes: number, uplink: number, leechers: number, pieces: number): number {
  return (contentBytes / uplink) * (1 + Math.floor(Math.log2(leechers)) / pieces)
}

/**
 * Any uplinks and downlinks, pieces infinitely small: the source must send everything once, the slowest
 * downlink must take everything, and all uplinks together must carry a copy for every leecher. Kumar and
 * Ross, *Peer-Assisted File Distribution: The Minimum Distribution Time* (HotWeb 2006).
 */
export function fluidBoundMs(
  contentBytes: number,
  seederUplinks: readonly number[],
  leechers: readonly { uplink: number; downlink: number }[]
): number {
  const sourceRate = seederUplinks.reduce((sum, uplink) => sum + uplink, 0)
  const totalRate = leechers.reduce((sum, { uplink }) => sum + uplink, sourceRate)
  const slowestDownlink = leechers.reduce((slowest, { downlink }) => Math.min(slowest, downlink), Number.POSITIVE_INFINITY)
  return Math.max(contentBytes / sourceRate, (leechers.length * contentBytes) / totalRate, contentBytes / slowestDownlink)
}
