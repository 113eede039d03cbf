/**
 * Defaults and checks of {@link NodeOptions}; merged once, at the edge.
 */

import { InvalidOptionsError } from '../errors.ts'
import { defaultOf, parseValue, specOf } from '../options/kinds.ts'
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
    encryption: defaultOf('encryption'),
    uploadBytesPerSecond: defaultOf('upload-limit'),
    downloadBytesPerSecond: defaultOf('download-limit'),
    maxNeighbours: defaultOf('max-neighbours'),
    policy: defaultOf('policy'),
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
  checkAgainst('max-neighbours', resolved.maxNeighbours, 'maxNeighbours')
  checkAgainst('encryption', resolved.encryption, 'encryption')
  checkAgainst('policy', resolved.policy, 'policy')
  for (const label of Object.entries(resolved.labels)) checkAgainst('label', [label.join('=')], 'labels')
  checkOriginSettings(resolved.origin)
  return resolved
}

/** What programs give obeys the same table as flags do. */
function checkAgainst(option: string, value: unknown, field: string): void {
  parseValue(specOf(option), value, field)
}

/** Throws `InvalidOptionsError` naming the field. */
export function checkOriginSettings({ bytesPerSecond, connections }: Partial<OriginSettings>): void {
  if (bytesPerSecond !== undefined) checkRate(bytesPerSecond, 'origin.bytesPerSecond')
  if (connections !== undefined) checkAgainst('origin-connections', connections, 'origin.connections')
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
