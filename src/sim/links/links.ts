/** What carries pieces and messages between simulated machines; the models of it are in this folder. */

import type { Message } from '../../wire/messages.ts'
import type { Disk } from '../disk.ts'
import type { Engines } from '../engines.ts'
import type { SimPeer } from '../peer.ts'
import type { Schedule } from '../schedule.ts'
import type { RackLinks } from './racks.ts'

export interface LinksParts {
  readonly schedule: Schedule
  readonly engines: Engines
  readonly disk: Disk
  /** Called when a piece left an uplink. */
  readonly recordSent: (peer: SimPeer) => void
}

export interface Links {
  readonly racks: RackLinks
  /** Bytes of small messages so far. */
  readonly messageBytes: number
  send(peer: SimPeer, key: string, message: Message): void
  /** To every neighbour. */
  broadcast(peer: SimPeer, messages: readonly Message[]): void
  /** Sends the piece; its sender hears `pieceServed` when the uplink is done with it. */
  serve(peer: SimPeer, key: string, piece: number, bytes: number, isUrgent: boolean): void
  /** Takes back a piece that has not begun. */
  cancel(peer: SimPeer, key: string, piece: number): void
  /** What `from` has not sent `to` yet is lost. */
  drop(from: SimPeer, to: SimPeer): void
  /** What `from` has not sent anybody yet is lost. */
  dropAll(from: SimPeer): void
}
