/** What a role is: how its peer differs from an honest one. */

import type { Geometry } from '../../content/geometry.ts'
import type { PeerKey } from '../../engine/contract.ts'
import type { Swarm } from '../../engine/swarm.ts'
import type { Random } from '../../util/random.ts'
import type { Actor } from '../actor.ts'
import type { PeerSpec } from '../peer.ts'

export interface ActorContext {
  readonly self: PeerKey
  readonly geometry: Geometry
  readonly random: Random
  /** Makes the engine of an honest peer in its place. */
  readonly makeSwarm: () => Swarm
}

export interface Role {
  /** False: honest, and merely slow or modest. */
  readonly isHostile: boolean
  /**
   * Changes what the peer is given: its machine, its engine's options. `slowness`: times slower than an
   * honest one.
   */
  readonly prepare?: (spec: PeerSpec, slowness: number) => PeerSpec
  /** Makes the actor that replaces the engine. */
  readonly act?: (context: ActorContext) => Actor
}
