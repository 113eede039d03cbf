/**
 * libp2p's questions before a connection, answered by bans and limits. Used by host.ts.
 */

import type { ConnectionGater } from '@libp2p/interface'
import type { Bans } from './bans.ts'
import type { Doorkeeper } from './doorkeeper.ts'
import type { Refusals } from './refusals.ts'
import { addressOf } from './remote-address.ts'

export function gaterOf(bans: Bans, doorkeeper: Doorkeeper, refusals: Refusals): ConnectionGater {
  return {
    denyDialPeer: peer => bans.has(peer.toString()),
    // Loopback and private addresses are wanted: swarms live on LANs.
    denyDialMultiaddr: () => false,
    denyInboundConnection: connection => !doorkeeper.admit(connection),
    // The first moment at which the other side's identity is known.
    denyInboundEncryptedConnection: (peer, connection) => {
      const isBanned = bans.has(peer.toString())
      if (isBanned) refusals.count('banned', addressOf(connection))
      return isBanned
    },
    denyOutboundEncryptedConnection: peer => bans.has(peer.toString()),
    denyInboundUpgradedConnection: (peer, connection) => {
      doorkeeper.handleUpgraded(connection, peer.toString())
      return false
    }
  }
}
