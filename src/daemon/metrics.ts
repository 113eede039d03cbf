/**
 * Prometheus metrics of a daemon. Every name is documented in docs/API.md; a test holds the two together.
 *
 * Invariants: one registry per daemon; label values are from closed sets (states, route patterns, status
 * codes), never from clients. Values that the queue knows are read when scraped. Called by http/ and the
 * files front.
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
  readonly #requests = new Histogram({
    name: 'swarm_http_request_duration_seconds',
    help: 'Time from a request to the end of its reply, by route and status',
    labelNames: ['method', 'route', 'status'],
    buckets: [0.005, 0.025, 0.1, 0.5, 2.5, 10, 60],
    registers: [this.registry]
  })
  readonly #gatewayBytes = new Counter({
    name: 'swarm_gateway_sent_bytes_total',
    help: 'Content bytes handed to gateway readers',
    registers: [this.registry]
  })

  constructor({ node, contents, limits, bans }: MetricsInit) {
    collectDefaultMetrics({ register: this.registry })
    const shown = new Shown(this.registry)
    shown.one('swarm_gateway_readers', 'Gateway readers being served now', () => this.readers)
    showNode(shown, node)
    showContents(shown, contents)
    shown.one('swarm_store_quota_bytes', 'Disk quota for downloads; 0 is unlimited', () => limits.limits.quotaBytes)
    shown.each('swarm_limit', 'Limits in force, by name; 0 is unlimited', 'name', () => Object.entries(limits.inForce))
    shown.each('swarm_bans_total', 'Peers that were banned, by reason', 'reason', () => Object.entries(bans.counts))
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

/** Metrics whose values are known elsewhere and read when scraped. */
class Shown {
  readonly #registers: Registry[]

  constructor(registry: Registry) {
    this.#registers = [registry]
  }

  one(name: string, help: string, read: () => number): void {
    new Gauge({
      name,
      help,
      registers: this.#registers,
      collect() {
        this.set(read())
      }
    })
  }

  each(name: string, help: string, label: string, read: () => Iterable<[string, number]>): void {
    new Gauge({
      name,
      help,
      labelNames: [label],
      registers: this.#registers,
      collect() {
        for (const [key, value] of read()) this.set({ [label]: key }, value)
      }
    })
  }

  /** Of a total that only grows. */
  total(name: string, help: string, read: () => number): void {
    let shown = 0
    new Counter({
      name,
      help,
      registers: this.#registers,
      collect() {
        const total = read()
        this.inc(total - shown)
        shown = total
      }
    })
  }

  totals(name: string, help: string, label: string, read: () => Iterable<[string, number]>): void {
    const shown = new Map<string, number>()
    new Counter({
      name,
      help,
      labelNames: [label],
      registers: this.#registers,
      collect() {
        for (const [key, total] of read()) {
          this.inc({ [label]: key }, total - (shown.get(key) ?? 0))
          shown.set(key, total)
        }
      }
    })
  }
}

function showNode(shown: Shown, node: MetricsInit['node']): void {
  shown.one(
    'swarm_uploads_active',
    'Pieces being sent to peers now; the limit maxUploads bounds them',
    () => node.uploads().active
  )
  shown.one('swarm_uploads_active_max', 'Most pieces that were being sent at once since the start', () => node.uploads().most)
  shown.totals(
    'swarm_network_refusals_total',
    'Connections, streams, messages and records of peers that were refused, by kind',
    'kind',
    () => node.refusals()
  )
}

function showContents(shown: Shown, contents: Contents): void {
  const sum = (pick: (snapshot: { downloadRate: number; uploadRate: number; neighbours: number }) => number): number =>
    contents.transfers().reduce((total, transfer) => total + pick(transfer.snapshot()), 0)
  shown.one('swarm_download_bytes_per_second', 'Payload arriving from peers, smoothed over some seconds', () =>
    sum(({ downloadRate }) => downloadRate)
  )
  shown.one('swarm_upload_bytes_per_second', 'Payload going to peers, smoothed over some seconds', () =>
    sum(({ uploadRate }) => uploadRate)
  )
  shown.one('swarm_neighbours', 'Connected peers, over all contents', () => sum(({ neighbours }) => neighbours))
  shown.one('swarm_contents_open', 'Contents that this node takes part in', () => contents.transfers().length)
  shown.one('swarm_store_used_bytes', 'Disk that downloads take or have claimed', () => contents.usedBytes)
  shown.each('swarm_tasks', 'Tasks by state', 'state', () => Object.entries(contents.countByState()))
  shown.total('swarm_downloaded_bytes_total', 'Payload received from peers, over all tasks', () => contents.totals().downloaded)
  shown.total('swarm_uploaded_bytes_total', 'Payload sent to peers, over all tasks', () => contents.totals().uploaded)
  shown.total(
    'swarm_wasted_bytes_total',
    'Payload received and thrown away (corrupt or not needed)',
    () => contents.totals().wasted
  )
}
