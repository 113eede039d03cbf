/**
 * Where the members of a swarm stand: all on loopback, or each in a network namespace behind a link of its
 * own.
 */

import { NetnsLab } from '../fleet/netns-lab.ts'

/** In bits per second; undefined: as fast as the machine. */
export interface Link {
  readonly down?: number
  readonly up?: number
}

export interface Place {
  /** Argv in front of a program's own that runs it there. */
  readonly prefix: readonly string[]
  /** Multiaddr to listen on. */
  readonly listen: string
}

export interface Ground extends AsyncDisposable {
  place(name: string, link: Link | undefined): Promise<Place>
}

/** Makes the ground of one run. */
export type OpenGround = () => Promise<Ground>

export const openLoopback: OpenGround = async () => ({
  place: async () => ({ prefix: [], listen: '/ip4/127.0.0.1/tcp/0' }),
  [Symbol.asyncDispose]: async () => {}
})

/** A namespace for each member. Only inside the rig's sandbox. */
export const openNamespaces: OpenGround = async () => {
  const lab = await NetnsLab.open([])
  return {
    async place(name, link) {
      // Plain Linux, which most of a fleet is, has CUBIC.
      const host = await lab.addHost(name, { uplink: link?.up, downlink: link?.down, congestionControl: 'cubic' })
      return { prefix: ['nsenter', `--net=/run/netns/${name}`, '--'], listen: `/ip4/${host.address()}/tcp/0` }
    },
    [Symbol.asyncDispose]: async () => await lab.close()
  }
}
