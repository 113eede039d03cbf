/** What the world drives as a peer: an engine, or something that passes for one among its neighbours. */

import type { Output, PeerKey } from '../engine/contract.ts'
import type { Swarm } from '../engine/swarm.ts'

/** `rejoin`: leave, and come back under another name. */
export type ActorOutput = Output | { readonly type: 'rejoin' }

export interface Actor extends Pick<Swarm, 'deadlineMs'> {
  handle(...input: Parameters<Swarm['handle']>): readonly ActorOutput[]
  accepts(peer: PeerKey, nowMs: number): boolean
}
