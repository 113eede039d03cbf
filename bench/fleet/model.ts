/**
 * The same experiment in the simulator: what the model says that the fleet takes.
 *
 * The simulator's uplinks carry payload; the rig's carry frames. So the model is given the payload that the
 * frames leave room for: 1448 of every 1514 bytes (Ethernet, IPv4, TCP with timestamps, MTU 1500).
 */

import { simulate } from '../../src/sim/run.ts'
import { boundSeconds, type Experiment } from './experiment.ts'

const PAYLOAD_SHARE = 1448 / 1514
/** One way over a bridge of this machine. */
const LATENCY_MS = 1

/**
 * Seconds until all leechers are complete; undefined for scenarios whose time says nothing beside the bound.
 */
export function simulateSeconds(experiment: Experiment): number | undefined {
  if (!experiment.scenario.boundApplies || experiment.cold) return undefined
  const uplink = (experiment.uplinkBitsPerSecond / 8) * PAYLOAD_SHARE
  const result = simulate({
    nodes: experiment.leechers,
    contentBytes: experiment.sizeBytes,
    pieceLength: experiment.pieceBytes,
    uplink,
    downlink: experiment.symmetric ? uplink : 0,
    latencyMs: LATENCY_MS,
    links: 'queued',
    scenario: experiment.symmetric ? 'symmetric-caps' : 'flash-crowd',
    seed: String(experiment.seed),
    isChecked: false,
    deadlineMs: boundSeconds(experiment) * 1000 * experiment.patience
  })
  return result.completed === result.measured ? result.maxMs / 1000 : undefined
}
