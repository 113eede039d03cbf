/** Scenarios in which a share of the leechers does not play by the rules. */

import type { RoleName } from '../roles/role-names.ts'
import type { Cast, Draft } from './cast.ts'

function withShare(cast: Cast, share: number, role: RoleName): Draft {
  return {
    peers: cast.crowd(index => (cast.isAmong(index, share) ? { role } : {})),
    boundMs: cast.boundOf(Math.round(cast.options.nodes * (1 - share)))
  }
}

export function corrupters(cast: Cast): Draft {
  return withShare(cast, 0.05, 'corrupter')
}

export function freeRiders(cast: Cast): Draft {
  return { ...withShare(cast, 0.2, 'free-rider'), engine: { policy: 'contributors' } }
}

export function silent(cast: Cast): Draft {
  return withShare(cast, 0.1, 'silent')
}
