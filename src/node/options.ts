/**
 * Defaults and checks of {@link NodeOptions}; merged once, at the edge.
 */

import { InvalidOptionsError } from '../errors.ts'
import { defaultStateDir } from '../store/state-dir.ts'
import { splitPeerHint } from './address-book.ts'
import type { NodeOptions, OriginSettings } from './types.ts'

export type ResolvedNodeOptions = Readonly<NodeOptions>

/** Throws `InvalidOptionsError` naming the field. */
export function resolveNodeOptions(options: Partial<NodeOptions> = {}): ResolvedNodeOptions {
  const defined = Object.fromEntries(Object.entries(options).filter(([, value]) => value !== undefined)) as Partial<NodeOptions>
  const resolved: NodeOptions = {
    stateDir: defined.stateDir ?? defaultStateDir(),
    listen: ['/ip4/0.0.0.0/tcp/0'],
    announce: [],
    bootstrap: [],
    mdns: true,
    dht: true,
    servesDht: true,
    encryption: 'tls',
    uploadBytesPerSecond: 0,
    downloadBytesPerSecond: 0,
    maxNeighbours: 30,
    policy: 'cooperative',
    labels: {},
    origin: {},
    warn: () => {},
    ...defined
  }
  for (const field of ['listen', 'announce'] as const) {
    for (const address of resolved[field]) {
      if (!address.startsWith('/')) throw new InvalidOptionsError(`${field}: "${address}" is not a multiaddr`, { field })
    }
  }
  for (const address of resolved.bootstrap) parsePeerHint(address, 'bootstrap')
  for (const field of ['uploadBytesPerSecond', 'downloadBytesPerSecond'] as const) {
    checkRate(resolved[field], field)
  }
  if (!Number.isInteger(resolved.maxNeighbours) || resolved.maxNeighbours < 1 || resolved.maxNeighbours > 1000) {
    throw new InvalidOptionsError(`maxNeighbours: ${resolved.maxNeighbours} is not between 1 and 1000`, {
      field: 'maxNeighbours'
    })
  }
  if (resolved.encryption !== 'tls' && resolved.encryption !== 'noise') {
    throw new InvalidOptionsError(`encryption: "${resolved.encryption}" is neither tls nor noise`, { field: 'encryption' })
  }
  if (resolved.policy !== 'cooperative' && resolved.policy !== 'contributors') {
    throw new InvalidOptionsError(`policy: "${resolved.policy}" is neither cooperative nor contributors`, { field: 'policy' })
  }
  checkOriginSettings(resolved.origin)
  return resolved
}

/** Throws `InvalidOptionsError` naming the field. */
export function checkOriginSettings({ bytesPerSecond, connections }: Partial<OriginSettings>): void {
  if (bytesPerSecond !== undefined) checkRate(bytesPerSecond, 'origin.bytesPerSecond')
  if (connections !== undefined && !(Number.isInteger(connections) && connections >= 1 && connections <= 16)) {
    throw new InvalidOptionsError(`origin.connections: ${connections} is not between 1 and 16`, { field: 'origin.connections' })
  }
}

/** Bytes per second, 0 for unlimited. Throws `InvalidOptionsError` naming the field. */
export function checkRate(value: number, field: string): number {
  if (!Number.isFinite(value) || value < 0) throw new InvalidOptionsError(`${field}: ${value} is not a rate`, { field })
  return value
}

/** `<multiaddr>/p2p/<peer id>` into its parts. Throws `InvalidOptionsError` naming the field. */
export function parsePeerHint(text: string, field: string): { peer: string; address: string } {
  const hint = splitPeerHint(text)
  if (hint === undefined) {
    throw new InvalidOptionsError(`${field}: "${text}" is not a multiaddr that ends in /p2p/<peer id>`, { field })
  }
  return hint
}
