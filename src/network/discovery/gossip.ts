/**
 * Availability of peers that are not our neighbours: one gossipsub topic per root.
 *
 * - A topic is named by a hash of the root. Every connected node sees the names of our topics, and who knows
 *   a root can fetch the content: the plain root would leak it. What is said there is sealed for those who
 *   know the root (gossip-seal.ts).
 * - Messages are signed (StrictSign) and count only when their author is the peer that they speak of.
 *   Unsigned gossip would let anybody list any peer as a seeder, or as having nothing, and steer who dials
 *   whom. A signature costs about 2 ms of CPU per message, which is bearable because the engine coalesces
 *   these messages to one in many seconds per peer, and duplicates, what strangers say and what is too much
 *   are dropped before the check (gossip-gate.ts).
 * - A message is passed on only of authors that we have been connected to. It reaches their neighbours'
 *   neighbours; others hear of them by `peers` messages. So authors that are invented cost their inventor's
 *   neighbours something and nobody else.
 * - Anything malformed or spoofed is rejected, which also stops us passing it on and lowers the sender's
 *   score.
 * Called by the host.
 */

import { createHash } from 'node:crypto'
import { type GossipSub, type GossipsubOpts, type Message, type PublishResult, TopicValidatorResult } from '@libp2p/gossipsub'
import type { PeerId } from '@libp2p/interface'
import { peerIdFromMultihash } from '@libp2p/peer-id'
import { decode as decodeDigest } from 'multiformats/hashes/digest'
import { dhtKey } from '../../content/dht-key.ts'
import { ProtocolError } from '../../errors.ts'
import { decodeGossip, encodeGossip, MAX_GOSSIP_BYTES } from '../../wire/gossip.ts'
import type { AvailabilityGossip, GossipTopic } from '../types.ts'
import type { GossipGate } from './gossip-gate.ts'
import { GossipSeal, SEAL_BYTES } from './gossip-seal.ts'

/** Longer than any peer id. */
const MAX_PEER_ID_BYTES = 64
/** Room for protobuf framing around one payload. */
const RPC_OVERHEAD_BYTES = 4096
/** From a peer's subscription to the moment when it can be told something. */
const SUBSCRIBER_SETTLE_MS = 250
/** How often the mesh is looked after, and how often scores fade. */
const HEARTBEAT_MS = 5_000
const SCORE_DECAY_MS = 10_000
const MAX_OUTBOUND_BUFFER_BYTES = 4 * 1024 * 1024

/** `/swarm/availability/2/` and the DHT key of the root as text. */
export function topicOf(root: Uint8Array): string {
  return `/swarm/availability/2/${dhtKey(root)}`
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
  // A mesh of half the usual degree, which in a fleet that joins at once grows to its upper bound: what is
  // gossiped is told again later, and on slow links each copy stands before a piece (3 % of what 32 nodes
  // sent on 1 Mbit/s uplinks).
  D: 4,
  Dlo: 3,
  Dhi: 6,
  Dscore: 3,
  Dout: 1,
  Dlazy: 3,
  gossipFactor: 0.1,
  mcacheGossip: 2,
  // The default is each second, of both: a fifth of what a node does that receives at 1 Mbit/s, for messages
  // that come every few minutes.
  heartbeatInterval: HEARTBEAT_MS,
  // Those of the mesh get ours at once and pass it on; to all of the swarm would be the same bytes many times
  // over.
  floodPublish: false,
  // Peer exchange at prune would be unverified addresses; ours travel in `peers` messages and in gossip of
  // their owner.
  doPX: false,
  maxInboundDataLength: MAX_GOSSIP_BYTES + SEAL_BYTES + RPC_OVERHEAD_BYTES,
  maxOutboundBufferSize: MAX_OUTBOUND_BUFFER_BYTES,
  // Many peers behind one address (one host, NAT, containers) are the normal case here; the default excludes
  // them from every mesh.
  scoreParams: { IPColocationFactorWeight: 0, decayInterval: SCORE_DECAY_MS }
}

/**
 * The same with the score that the gate gives, by which gossipsub stops listening to a peer after some
 * faults.
 */
export function gossipsubOptions(gate: GossipGate): Partial<GossipsubOpts> {
  const { scoreParams } = GOSSIPSUB_OPTIONS
  return { ...GOSSIPSUB_OPTIONS, scoreParams: { ...scoreParams, appSpecificScore: peer => gate.scoreOf(peer) } }
}

/**
 * What gossipsub does with each message first, before its signature is checked; not published in its types.
 */
interface Internals {
  handleReceivedMessage(from: PeerId, message: RpcMessage): Promise<void>
  fastMsgIdCache?: { get(id: string): string | undefined }
}

interface RpcMessage {
  readonly topic: string
  readonly from?: Uint8Array
  readonly data?: Uint8Array
}

export interface GossipInit {
  readonly pubsub: GossipSub
  readonly self: string
  readonly gate: GossipGate
  log(line: string): void
  /** Where a connected peer is. */
  addressOf(peer: PeerId): string
}

interface Topic {
  readonly seal: GossipSeal
  readonly subscriptions: Set<Subscription>
}

export class Gossip {
  readonly #pubsub: GossipSub
  readonly #self: string
  readonly #log: (line: string) => void
  readonly #gate: GossipGate
  readonly #addressOf: (peer: PeerId) => string
  readonly #topics = new Map<string, Topic>()

  constructor({ pubsub, self, gate, log, addressOf }: GossipInit) {
    this.#pubsub = pubsub
    this.#self = self
    this.#gate = gate
    this.#log = log
    this.#addressOf = addressOf
    this.#filter(pubsub as unknown as Internals)
    pubsub.addEventListener('subscription-change', event => {
      for (const { topic, subscribe } of event.detail.subscriptions) {
        if (subscribe) for (const subscription of this.#topics.get(topic)?.subscriptions ?? []) subscription.handleSubscriber()
      }
    })
  }

  join(root: Uint8Array, onGossip: (gossip: AvailabilityGossip) => void): GossipTopic {
    const topic = topicOf(root)
    let joined = this.#topics.get(topic)
    if (joined === undefined) {
      joined = { seal: new GossipSeal(root, topic), subscriptions: new Set() }
      this.#topics.set(topic, joined)
      this.#pubsub.topicValidators.set(topic, (from, message) => this.#validate(topic, from, message))
      this.#pubsub.subscribe(topic)
    }
    const { seal, subscriptions } = joined
    const publish = (message: Uint8Array) => this.#pubsub.publish(topic, seal.seal(message, this.#self))
    const subscription = new Subscription(publish, onGossip, this.#log, () => {
      subscriptions.delete(subscription)
      if (subscriptions.size > 0 || this.#topics.get(topic)?.subscriptions !== subscriptions) return
      this.#topics.delete(topic)
      this.#pubsub.unsubscribe(topic)
      this.#pubsub.topicValidators.delete(topic)
    })
    subscriptions.add(subscription)
    return subscription
  }

  /** Puts the gate before what gossipsub does with a message. */
  #filter(internals: Internals): void {
    const handle = internals.handleReceivedMessage.bind(internals)
    internals.handleReceivedMessage = async (from, message) => {
      if (this.#admits(internals, from, message)) await handle(from, message)
    }
  }

  #admits(internals: Internals, from: PeerId, message: RpcMessage): boolean {
    const topic = this.#topics.get(message.topic)
    if (topic === undefined) return false
    const id = GOSSIPSUB_OPTIONS.fastMsgIdFn?.(message as Parameters<NonNullable<GossipsubOpts['fastMsgIdFn']>>[0])
    if (id !== undefined && internals.fastMsgIdCache?.get(`${id}`) !== undefined) return true
    const author = authorOf(message)
    const isSealed = author !== undefined && topic.seal.open(message.data ?? new Uint8Array(0), author) !== undefined
    return this.#gate.admits(from.toString(), this.#addressOf(from), message.topic, author ?? '', isSealed)
  }

  /**
   * Runs once per new message, after its signature was checked; decides whether it is passed on, and delivers
   * it.
   */
  #validate(topic: string, from: PeerId, message: Message): TopicValidatorResult {
    const joined = this.#topics.get(topic)
    if (joined === undefined || message.type !== 'signed') return TopicValidatorResult.Ignore
    const author = message.from.toString()
    let gossip: AvailabilityGossip
    try {
      const opened = joined.seal.open(message.data, author)
      if (opened === undefined) throw new ProtocolError('not sealed by a member')
      gossip = decodeGossip(opened)
    } catch (err) {
      this.#log(`gossip: malformed message passed on by ${from}: ${(err as Error).message}`)
      return TopicValidatorResult.Reject
    }
    if (author !== gossip.peer) {
      this.#log(`gossip: message in the name of ${gossip.peer} that it did not sign, passed on by ${from}`)
      return TopicValidatorResult.Reject
    }
    if (gossip.peer === this.#self) return TopicValidatorResult.Ignore
    for (const subscription of joined.subscriptions) subscription.deliver(gossip)
    return this.#gate.hasMet(author) ? TopicValidatorResult.Accept : TopicValidatorResult.Ignore
  }
}

/** The author's peer id as text, as far as the message says; its signature is still to be checked. */
function authorOf({ from }: RpcMessage): string | undefined {
  if (from === undefined || from.byteLength > MAX_PEER_ID_BYTES) return undefined
  try {
    return peerIdFromMultihash(decodeDigest(from)).toString()
  } catch {
    return undefined
  }
}

class Subscription implements GossipTopic {
  readonly #publish: (message: Uint8Array) => Promise<PublishResult>
  readonly #onGossip: (gossip: AvailabilityGossip) => void
  readonly #log: (line: string) => void
  readonly #onLeave: () => void
  #left = false
  /** What nobody heard, or perhaps nobody; told again when somebody has subscribed. */
  #unheard: AvailabilityGossip | undefined
  #settling: NodeJS.Timeout | undefined

  constructor(
    publish: (message: Uint8Array) => Promise<PublishResult>,
    onGossip: (gossip: AvailabilityGossip) => void,
    log: (line: string) => void,
    onLeave: () => void
  ) {
    this.#publish = publish
    this.#onGossip = onGossip
    this.#log = log
    this.#onLeave = onLeave
  }

  async publish(gossip: AvailabilityGossip): Promise<void> {
    if (this.#left) return
    const { recipients } = await this.#publish(encodeGossip(gossip))
    this.#unheard = recipients.length === 0 || this.#settling !== undefined ? gossip : undefined
  }

  /**
   * A subscription can arrive before there is a way to answer it: what is published in that moment is lost,
   * without an error.
   */
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
