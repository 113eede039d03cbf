/** All checkers of a simulation, fresh for one run. Completion by a deadline is checked by run.ts itself. */

import type { SimulationOptions } from '../options.ts'
import { AcceptsOnce } from './accepts-once.ts'
import { AsksHolders } from './asks-holders.ts'
import { BansEnd } from './bans-end.ts'
import { BoundsHeld } from './bounds-held.ts'
import type { Checker } from './checker.ts'
import { RequestsSettle } from './requests-settle.ts'
import { TellsNeighbours } from './tells-neighbours.ts'
import { VerifiedFirst } from './verified-first.ts'

export function allCheckers(options: SimulationOptions): Checker[] {
  return [
    new VerifiedFirst(),
    new AsksHolders(),
    new AcceptsOnce(),
    new RequestsSettle(options),
    new TellsNeighbours(),
    new BoundsHeld(options),
    new BansEnd()
  ]
}
