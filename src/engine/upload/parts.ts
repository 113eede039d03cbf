/** What offering (offerer.ts) and sending (sender.ts) work on together. */

import type { Random } from '../../util/random.ts'
import type { RateBudget } from '../../util/rate-budget.ts'
import type { SwarmState } from '../state.ts'
import type { SendLedger } from './send-ledger.ts'
import type { Share } from './share.ts'
import type { UplinkModel } from './uplink-model.ts'

export interface UploadParts {
  readonly state: SwarmState
  readonly budgets: readonly RateBudget[]
  readonly random: Random
  readonly model: UplinkModel
  readonly ledger: SendLedger
  readonly share: Share
}
