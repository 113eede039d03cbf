/** What answering offers (downloader.ts) and asking by ourselves (pull.ts) work on together. */

import type { Random } from '../../util/random.ts'
import type { RateBudget } from '../../util/rate-budget.ts'
import type { SwarmState } from '../state.ts'
import type { Demand } from './demand.ts'
import type { DownlinkModel } from './downlink-model.ts'
import type { Readers } from './readers.ts'
import type { RequestLedger } from './request-ledger.ts'

export interface DownloadParts {
  readonly state: SwarmState
  readonly random: Random
  readonly budgets: readonly RateBudget[]
  readonly model: DownlinkModel
  readonly ledger: RequestLedger
  readonly readers: Readers
  readonly demand: Demand
}
