/**
 * Options of `swarm simulate`.
 */

import { SCENARIO_NAMES } from '../../sim/scenario-names.ts'
import type { OptionSpec } from '../spec.ts'

/** The simulator's; what holds by default is in sim/options.ts, and a test compares. */
export const SIMULATION: readonly OptionSpec[] = [
  {
    name: 'nodes',
    kind: 'count',
    value: 'n',
    min: '1',
    max: '100000',
    default: '100',
    takers: ['simulate'],
    text: 'leechers; a seeder comes on top'
  },
  { name: 'size', kind: 'size', value: 'size', min: '1', default: '1GiB', takers: ['simulate'], text: 'of the content' },
  { name: 'uplink', kind: 'rate', value: 'rate', min: '1', default: '100mbit', takers: ['simulate'], text: 'of each node' },
  { name: 'downlink', kind: 'rate', value: 'rate', takers: ['simulate'], text: 'of each node (default: no limit)' },
  {
    name: 'seeder-uplink',
    kind: 'rate',
    value: 'rate',
    takers: ['simulate'],
    text: 'of the seeder (default: that of the others)'
  },
  {
    name: 'links',
    kind: 'choice',
    value: 'model',
    choices: ['simple', 'queued'],
    default: 'simple',
    takers: ['simulate'],
    text: 'whole pieces one after another, or packets through queues'
  },
  {
    name: 'origin-rate',
    kind: 'rate',
    value: 'rate',
    takers: ['simulate'],
    text: 'what an origin sends in all (default: there is no origin)'
  },
  {
    name: 'latency',
    kind: 'duration',
    value: 'duration',
    max: '60s',
    min: '0s',
    default: '10ms',
    takers: ['simulate'],
    text: 'one way between any two nodes'
  },
  {
    name: 'jitter',
    kind: 'share',
    value: 'share',
    min: '0',
    max: '1',
    default: '0.2',
    takers: ['simulate'],
    text: 'largest deviation of a latency, as a share of it'
  },
  {
    name: 'scenario',
    kind: 'choice',
    value: 'name',
    choices: SCENARIO_NAMES,
    default: 'flash-crowd',
    takers: ['simulate'],
    text: 'what happens'
  },
  {
    name: 'misbehaving',
    kind: 'text',
    value: 'roles',
    takers: ['simulate'],
    text: 'peers on top of the others that play roles, as in mute:2,slow:1:50 (two mute, one 50 times slower); told is what the others take beside them and alone'
  },
  {
    name: 'seed',
    kind: 'text',
    value: 'text',
    default: '1',
    takers: ['simulate'],
    text: 'where randomness comes from: same seed, same result'
  },
  {
    name: 'engine',
    kind: 'text',
    value: 'name=value',
    repeats: 'whole',
    takers: ['simulate'],
    text: 'option of every engine, such as policy=contributors or pieceOrder=random'
  },
  {
    name: 'no-check',
    kind: 'switch',
    takers: ['simulate'],
    text: 'leave out the checkers, which cost most of the time in large worlds'
  },
  { name: 'plot', kind: 'text', value: 'file', takers: ['simulate'], text: 'draw completion, copies and uplink use as SVG' }
]
