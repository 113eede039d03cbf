/**
 * Prometheus metrics of a daemon. Every name is documented in docs/API.md; a test holds the two together.
 *
 * Invariants: one registry per daemon; label values are from closed sets (states, route patterns, status codes), never from clients.
 * Values that the queue knows are read when scraped. Called by http/ and the files front.
 */

import { Counter, collectDefaultMetrics, Gauge, Histogram, Registry } from 'prom-client'
import type { SwarmNode } from '../node/types.ts'
import type { Bans } from './bans.ts'
import type { LimitBoard } from './limits.ts'
import type { Contents } from './tasks/contents.ts'

interface MetricsInit {
  node: Pick<SwarmNode, 'uploads' | 'refusals'>
  contents: Contents
  limits: LimitBoard
  bans: Bans
}

export class DaemonMetrics {
  readonly registry = new Registry()
  readers = 0
  readonly #requests: Histogram<'method' | 'route' | 'status'>
  readonly #gatewayBytes: Counter

  constructor({ node, contents, limits, bans }: MetricsInit) {
    const registers = [this.registry]
    collectDefaultMetrics({ register: this.registry })
    this.#requests = new Histogram({
      name: 'swarm_http_request_duration_seconds',
      help: 'Time from a request to the end of its reply, by route and status',
      labelNames: ['method', 'route', 'status'],
      buckets: [0.005, 0.025, 0.1, 0.5, 2.5, 10, 60],
      registers
    })
    this.#gatewayBytes = new Counter({
      name: 'swarm_gateway_sent_bytes_total',
      help: 'Content bytes handed to gateway readers',
      registers
    })
    const gauge = (name: string, help: string, read: () => number): void => {
      new Gauge({
        name,
        help,
        registers,
        collect() {
          this.set(read())
        }
      })
    }
    const sum = (pick: (snapshot: { downloadRate: number; uploadRate: number; neighbours: number }) => number): number =>
      contents.transfers().reduce((total, transfer) => total + pick(transfer.snapshot()), 0)
    gauge('swarm_gateway_readers', 'Gateway readers being served now', () => this.readers)
    gauge('swarm_download_bytes_per_second', 'Payload arriving from peers, smoothed over some seconds', () =>
      sum(({ downloadRate }) => downloadRate)
    )
    gauge('swarm_upload_bytes_per_second', 'Payload going to peers, smoothed over some seconds', () =>
      sum(({ uploadRate }) => uploadRate)
    )
    gauge('swarm_uploads_active', 'Pieces being sent to peers now; the limit maxUploads bounds them', () => node.uploads().active)
    gauge('swarm_uploads_active_max', 'Most pieces that were being sent at once since the start', () => node.uploads().most)
    gauge('swarm_neighbours', 'Connected peers, over all contents', () => sum(({ neighbours }) => neighbours))
    gauge('swarm_contents_open', 'Contents that this node takes part in', () => contents.transfers().length)
    gauge('swarm_store_used_bytes', 'Disk that downloads take or have claimed', () => contents.usedBytes)
    gauge('swarm_store_quota_bytes', 'Disk quota for downloads; 0 is unlimited', () => limits.limits.quotaBytes)
    new Gauge({
      name: 'swarm_tasks',
      help: 'Tasks by state',
      labelNames: ['state'],
      registers,
      collect() {
        for (const [state, count] of Object.entries(contents.countByState())) this.set({ state }, count)
      }
    })
    new Gauge({
      name: 'swarm_limit',
      help: 'Limits in force, by name; 0 is unlimited',
      labelNames: ['name'],
      registers,
      collect() {
        for (const [name, value] of Object.entries(limits.inForce)) this.set({ name }, value as number)
      }
    })
    const refused = new Map<string, number>()
    new Counter({
      name: 'swarm_network_refusals_total',
      help: 'Connections, streams, messages and records of peers that were refused, by kind',
      labelNames: ['kind'],
      registers,
      collect() {
        for (const [kind, count] of node.refusals()) {
          this.inc({ kind }, count - (refused.get(kind) ?? 0))
          refused.set(kind, count)
        }
      }
    })
    new Gauge({
      name: 'swarm_bans_total',
      help: 'Peers that were banned, by reason',
      labelNames: ['reason'],
      registers,
      collect() {
        for (const [reason, count] of Object.entries(bans.counts)) this.set({ reason }, count)
      }
    })
    const counter = (
      name: string,
      help: string,
      pick: (totals: { downloaded: number; uploaded: number; wasted: number }) => number
    ): void => {
      let shown = 0
      new Counter({
        name,
        help,
        registers,
        collect() {
          const total = pick(contents.totals())
          this.inc(total - shown)
          shown = total
        }
      })
    }
    counter('swarm_downloaded_bytes_total', 'Payload received from peers, over all tasks', ({ downloaded }) => downloaded)
    counter('swarm_uploaded_bytes_total', 'Payload sent to peers, over all tasks', ({ uploaded }) => uploaded)
    counter('swarm_wasted_bytes_total', 'Payload received and thrown away (corrupt or not needed)', ({ wasted }) => wasted)
  }

  observeRequest(method: string, route: string, status: number, seconds: number): void {
    this.#requests.observe({ method, route, status: String(status) }, seconds)
  }

  readerCame(): void {
    this.readers++
  }

  readerLeft(): void {
    this.readers--
  }

  sent(bytes: number): void {
    this.#gatewayBytes.inc(bytes)
  }
}
