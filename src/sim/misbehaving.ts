/** Which roles take part in a world beside the honest peers, and how many of each. */

import { InvalidOptionsError } from '../errors.ts'
import type { Random } from '../util/random.ts'
import type { PeerSpec } from './peer.ts'
import { ROLE_OF } from './roles/index.ts'
import { ROLE_NAMES, type RoleName } from './roles/role-names.ts'

export interface Misbehaving {
  readonly role: RoleName
  readonly count: number
  /** Times slower than an honest peer, where the role is slow. @default drawn from 10 to 200 for each */
  readonly slowness?: number
}

const SLOWNESSES = [10, 20, 50, 100, 200]
const MOST_PEERS = 100_000

/**
 * Roles from a text such as `mute:2,slow:1:50`: name, how many (1), times slower. Throws {@link
 * InvalidOptionsError}.
 */
export function parseMisbehaving(text: string): Misbehaving[] {
  return text.split(',').map(part => {
    const [name = '', countText = '1', slownessText, ...rest] = part.split(':')
    const count = Number(countText)
    const slowness = slownessText === undefined ? undefined : Number(slownessText)
    const isKnown = ROLE_NAMES.includes(name as RoleName)
    if (!isKnown) {
      throw new InvalidOptionsError(`there is no role '${name}'; there are ${ROLE_NAMES.join(', ')}`, { option: 'misbehaving' })
    }
    const isCount = countText !== '' && Number.isInteger(count) && count >= 1 && count <= MOST_PEERS
    const isSlowness = slowness === undefined || (slownessText !== '' && slowness >= 1 && Number.isFinite(slowness))
    if (!isCount || !isSlowness || rest.length > 0) {
      throw new InvalidOptionsError(`--misbehaving cannot be '${part}': it takes role, count and times slower, as in slow:2:50`, {
        option: 'misbehaving',
        value: part
      })
    }
    const role = name as RoleName
    return slowness === undefined ? { role, count } : { role, count, slowness }
  })
}

export function formatMisbehaving(misbehaving: readonly Misbehaving[]): string {
  return misbehaving
    .map(({ role, count, slowness }) => `${role}:${count}${slowness === undefined ? '' : `:${slowness}`}`)
    .join(',')
}

export function isAnyHostile(misbehaving: readonly Misbehaving[]): boolean {
  return misbehaving.some(({ role }) => ROLE_OF[role].isHostile)
}

/** The peers that play the roles. `make`: an honest peer's place with that number among them. */
export function castMisbehaving(
  misbehaving: readonly Misbehaving[],
  random: Random,
  make: (index: number) => PeerSpec
): PeerSpec[] {
  const peers: PeerSpec[] = []
  for (const { role, count, slowness } of misbehaving) {
    for (let i = 0; i < count; i++) {
      const drawn = random.pick(SLOWNESSES)
      const spec: PeerSpec = { ...make(peers.length), role }
      peers.push(ROLE_OF[role].prepare?.(spec, slowness ?? drawn) ?? spec)
    }
  }
  return peers
}
