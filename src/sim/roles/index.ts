/** The roles by name. */

import { claimer, dribbler, saysFull } from './claimers.ts'
import { freeRider, silent } from './filtered.ts'
import { limited, only, slow, slowDisk, stopped } from './honest.ts'
import type { Role } from './role.ts'
import type { RoleName } from './role-names.ts'
import { greedy, neverSaysHave, sybil, takesThree } from './takers.ts'
import { keeperInventor, mute, takesAll } from './talkers.ts'

export const ROLE_OF: Readonly<Record<RoleName, Role>> = {
  slow,
  limited,
  'slow-disk': slowDisk,
  only,
  stopped,
  // An engine like any other; what it sends turns out to be corrupt where it is verified (disk.ts).
  corrupter: { isHostile: true },
  'free-rider': freeRider,
  silent,
  mute,
  'takes-three': takesThree,
  'never-says-have': neverSaysHave,
  'says-full': saysFull,
  greedy,
  claimer,
  dribbler,
  'takes-all': takesAll,
  'keeper-inventor': keeperInventor,
  sybil
}
