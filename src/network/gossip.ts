/**
 * Availability of peers that are not our neighbours: one gossipsub topic per root.
 *
 * - A topic is named by a hash of the root. Every connected node sees the names of our topics, and who knows a root can fetch the
 *   content: the plain root would leak it.
 * - Messages are signed (StrictSign) and count only when their author is the peer that they speak of. Unsigned gossip would let anybody
 *   list any peer as a seeder, or as having nothing, and steer who dials whom. A signature costs about 2 ms of CPU per message, which is
 *   bearable because the engine coalesces these messages to one in many seconds per peer and duplicates are dropped before the check.
 * - Anything malformed or spoofed is rejected, which also stops us passing it on and lowers the sender's score.
 * Called by the host.
 */

import { createHash } from 'node:crypto'
import { type GossipSub, type GossipsubOpts, type Message, TopicValidatorResult } from '@libp2p/gossipsub'
import type { PeerId } from '@libp2p/interface'
import { dhtKey } from '../content/dht-key.ts'
import { decodeGossip, encodeGossip, MAX_GOSSIP_BYTES } from '../wire/gossip.ts'
import type { AvailabilityGossip, GossipTopic } from './types.ts'

/** Room for protobuf framing around one payload. */
const RPC_OVERHEAD_BYTES = 4096
/** From a peer's subscription to the moment when it can be told something. */
const SUBSCRIBER_SETTLE_MS = 250
/** How often the mesh is looked after, and how often scores fade. */
const HEARTBEAT_MS = 5_000
const SCORE_DECAY_MS = 10_000
const MAX_OUTBOUND_BUFFER_BYTES = 4 * 1024 * 1024

/** `/swarm/availability/1/` and the DHT key of the root as text. */
export function topicOf(root: Uint8Array): string {
  return `/swarm/availability/1/${dhtKey(root)}`
}

/** Options for the gossipsub service; the reasons are in the header and beside each. */
export const GOSSIPSUB_OPTIONS: Partial<GossipsubOpts> = {
  globalSignaturePolicy: 'StrictSign',
  // Checked before the signature: duplicates, most of what arrives, cost a hash only.
  fastMsgIdFn: message =>
    createHash('sha1')
      .update(message.from ?? '')
      .update(message.seqno ?? '')
      .update(message.signature ?? '')
      .update(message.data ?? '')
      .digest('base64'),
  allowPublishToZeroTopicPeers: true,
  ignoreDuplicatePublishError: true,
  fallbackToFloodsub: false,
  emitSelf: false,
  // A mesh of half the usual degree, which in a fleet that joins at once grows to its upper bound: what is gossiped is told again later, and on
  // slow links each copy stands before a piece (3 % of what 32 nodes sent on 1 Mbit/s uplinks).
  D: 4,
  Dlo: 3,
  Dhi: 6,
  Dscore: 3,
  Dout: 1,
  Dlazy: 3,
  gossipFactor: 0.1,
  mcacheGossip: 2,
  // The default is each second, of both: a fifth of what a node does that receives at 1 Mbit/s, for messages that come every few minutes.
  heartbeatInterval: HEARTBEAT_MS,
  // Those of the mesh get ours at once and pass it on; to all of the swarm would be the same bytes many times over.
  floodPublish: false,
  // Peer exchange at prune would be unverified addresses; ours travel in `peers` messages and in gossip of their owner.
  doPX: false,
  maxInboundDataLength: MAX_GOSSIP_BYTES + RPC_OVERHEAD_BYTES,
  maxOutboundBufferSize: MAX_OUTBOUND_BUFFER_BYTES,
  // Many peers behind one address (one host, NAT, containers) are the normal case here; the default excludes them from every mesh.
  scoreParams: { IPColocationFactorWeight: 0, decayInterval: SCORE_DECAY_MS }
}

export class Gossip {
  readonly #pubsub: GossipSub
  readonly #self: string
  readonly #log: (line: string) => void
  readonly #topics = new Map<string, Set<Subscription>>()

  constructor(pubsub: GossipSub, self: string, log: (line: string) => void) {
    this.#pubsub = pubsub
    this.#self = self
    this.#log = log
    pubsub.addEventListener('subscription-change', event => {
      for (const { topic, subscribe } of event.detail.subscriptions) {
        if (subscribe) for (const subscription of this.#topics.get(topic) ?? []) subscription.handleSubscriber()
      }
    })
  }

  join(root: Uint8Array, onGossip: (gossip: AvailabilityGossip) => void): GossipTopic {
    const topic = topicOf(root)
    let subscriptions = this.#topics.get(topic)
    if (subscriptions === undefined) {
      subscriptions = new Set()
      this.#topics.set(topic, subscriptions)
      this.#pubsub.topicValidators.set(topic, (from, message) => this.#validate(topic, from, message))
      this.#pubsub.subscribe(topic)
    }
    const joined = subscriptions
    const subscription = new Subscription(this.#pubsub, topic, onGossip, this.#log, () => {
      joined.delete(subscription)
      if (joined.size > 0 || this.#topics.get(topic) !== joined) return
      this.#topics.delete(topic)
      this.#pubsub.unsubscribe(topic)
      this.#pubsub.topicValidators.delete(topic)
    })
    joined.add(subscription)
    return subscription
  }

  /** Runs once per new message, after its signature was checked; decides whether it is passed on, and delivers it. */
  #validate(topic: string, from: PeerId, message: Message): TopicValidatorResult {
    let gossip: AvailabilityGossip
    try {
      gossip = decodeGossip(message.data)
    } catch (err) {
      this.#log(`gossip: malformed message passed on by ${from}: ${(err as Error).message}`)
      return TopicValidatorResult.Reject
    }
    if (message.type !== 'signed' || message.from.toString() !== gossip.peer) {
      this.#log(`gossip: message in the name of ${gossip.peer} that it did not sign, passed on by ${from}`)
      return TopicValidatorResult.Reject
    }
    if (gossip.peer === this.#self) return TopicValidatorResult.Ignore
    for (const subscription of this.#topics.get(topic) ?? []) subscription.deliver(gossip)
    return TopicValidatorResult.Accept
  }
}

class Subscription implements GossipTopic {
  readonly #pubsub: GossipSub
  readonly #topic: string
  readonly #onGossip: (gossip: AvailabilityGossip) => void
  readonly #log: (line: string) => void
  readonly #onLeave: () => void
  #left = false
  /** What nobody heard, or perhaps nobody; told again when somebody has subscribed. */
  #unheard: AvailabilityGossip | undefined
  #settling: NodeJS.Timeout | undefined

  constructor(
    pubsub: GossipSub,
    topic: string,
    onGossip: (gossip: AvailabilityGossip) => void,
    log: (line: string) => void,
    onLeave: () => void
  ) {
    this.#pubsub = pubsub
    this.#topic = topic
    this.#onGossip = onGossip
    this.#log = log
    this.#onLeave = onLeave
  }

  async publish(gossip: AvailabilityGossip): Promise<void> {
    if (this.#left) return
    const { recipients } = await this.#pubsub.publish(this.#topic, encodeGossip(gossip))
    this.#unheard = recipients.length === 0 || this.#settling !== undefined ? gossip : undefined
  }

  /** A subscription can arrive before there is a way to answer it: what is published in that moment is lost, without an error. */
  handleSubscriber(): void {
    this.#settling ??= setTimeout(() => {
      this.#settling = undefined
      if (this.#unheard === undefined) return
      this.publish(this.#unheard).catch(err => this.#log(`gossip: could not publish: ${(err as Error).message}`))
    }, SUBSCRIBER_SETTLE_MS).unref()
  }

  deliver(gossip: AvailabilityGossip): void {
    if (this.#left) return
    try {
      this.#onGossip(gossip)
    } catch (err) {
      this.#log(`gossip: handler failed: ${(err as Error).stack}`)
    }
  }

  leave(): void {
    if (this.#left) return
    this.#left = true
    clearTimeout(this.#settling)
    this.#onLeave()
  }
}
