/** Who is in the world: all peers ever made, and of each content those that are present. */

import type { SimPeer } from './peer.ts'

interface Members {
  readonly byKey: Map<string, SimPeer>
  readonly present: SimPeer[]
  readonly seeders: SimPeer[]
}

export class Crowd {
  readonly peers: SimPeer[] = []
  readonly #contents: Members[] = []

  add(peer: SimPeer): void {
    const { byKey } = this.#membersOf(peer.content)
    if (byKey.has(peer.key)) throw new Error(`machine ${peer.key} shares content ${peer.content} twice`)
    byKey.set(peer.key, peer)
    this.peers.push(peer)
  }

  recordJoined(peer: SimPeer): void {
    const { present, seeders } = this.#membersOf(peer.content)
    present.push(peer)
    if (peer.isSeeder) seeders.push(peer)
  }

  recordLeft(peer: SimPeer): void {
    const { present } = this.#membersOf(peer.content)
    present.splice(present.indexOf(peer), 1)
  }

  peerOf(content: number, key: string): SimPeer | undefined {
    return this.#contents[content]?.byKey.get(key)
  }

  /** Peers of the content that joined and have not left. */
  presentOf(content: number): readonly SimPeer[] {
    return this.#membersOf(content).present
  }

  /** The first that ever seeded the content: the manifest names it. */
  firstSeederOf(content: number): SimPeer | undefined {
    return this.#membersOf(content).seeders[0]
  }

  #membersOf(content: number): Members {
    while (this.#contents.length <= content) this.#contents.push({ byKey: new Map(), present: [], seeders: [] })
    return this.#contents[content] as Members
  }
}
