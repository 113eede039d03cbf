/**
 * Every option, once: flags, environment, configuration file, checks and their errors, `--help`, the tables
 * of docs/CLI.md and docs/API.md and the schema of the configuration file are made from this table. A new
 * option is an entry here and the code that uses it.
 *
 * Data only, because the command line loads it for every command.
 */

import type { OptionSpec } from './spec.ts'
import { CONTENT } from './table/content.ts'
import { ACCESS, DAEMON } from './table/daemon.ts'
import { NETWORK } from './table/network.ts'
import { REQUESTS, SHARED } from './table/shared.ts'
import { SIMULATION } from './table/simulation.ts'

export const OPTIONS: readonly OptionSpec[] = [
  ...CONTENT,
  ...ACCESS,
  ...DAEMON,
  ...SIMULATION,
  ...REQUESTS,
  ...NETWORK.map(spec => ({ ...spec, group: 'Network' as const })),
  ...SHARED
]
