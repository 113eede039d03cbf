/**
 * `swarm simulate`: real engines over a modelled network in virtual time; what came of it, beside the bound
 * that no schedule beats.
 *
 * A failure prints the command that repeats it and exits with 70: it is a bug of ours.
 */

import { writeFile } from 'node:fs/promises'
import { StoreError, SwarmError } from '../errors.ts'
import { type Comparison, compareBeside } from '../sim/beside.ts'
import { parseMisbehaving } from '../sim/misbehaving.ts'
import { type LinksModel, parseEngineOptions, resolveSimulationOptions, type SimulationOptions } from '../sim/options.ts'
import { commandOf, Simulation, SimulationFailure, type SimulationResult } from '../sim/run.ts'
import type { ScenarioName } from '../sim/scenario-names.ts'
import { formatDuration } from '../util/sizes.ts'
import { type CommonFlags, defined } from './options.ts'
import { bar, type Ui } from './ui.ts'

export interface SimulateFlags extends CommonFlags {
  nodes?: number
  size?: number
  pieceLength?: number
  uplink?: number
  downlink?: number
  seederUplink?: number
  links?: LinksModel
  originRate?: number
  latency?: number
  jitter?: number
  scenario?: ScenarioName
  misbehaving?: string
  seed?: string
  engine?: string[]
  check: boolean
  plot?: string
}

export async function simulate(flags: SimulateFlags, ui: Ui): Promise<number> {
  const options: Partial<SimulationOptions> = defined({
    nodes: flags.nodes,
    contentBytes: flags.size,
    pieceLength: flags.pieceLength,
    uplink: flags.uplink,
    downlink: flags.downlink,
    seederUplink: flags.seederUplink,
    links: flags.links,
    originRate: flags.originRate,
    latencyMs: flags.latency,
    jitter: flags.jitter,
    scenario: flags.scenario,
    misbehaving: flags.misbehaving === undefined ? undefined : parseMisbehaving(flags.misbehaving),
    seed: flags.seed,
    engine: flags.engine === undefined ? undefined : parseEngineOptions(flags.engine),
    isChecked: flags.check
  })
  if (options.misbehaving !== undefined) return simulateBeside(options, ui)
  const simulation = new Simulation(options)
  const result = await runShowing(simulation, ui)
  ui.clear()
  if (flags.plot !== undefined) await writePlot(result, flags.plot)
  const { series: _, ...figures } = result
  ui.event('simulated', { ...figures, command: commandOf(simulation.options) })
  report(result, ui)
  if (flags.plot !== undefined) ui.result(`plot         ${flags.plot}`)
  ui.remark(`again        ${commandOf(simulation.options)}`)
  return 0
}

/** Runs the world with the misbehaving and without, and says what they cost each honest peer. */
function simulateBeside(options: Partial<SimulationOptions>, ui: Ui): number {
  const { beside, worst, costs, medianRatio, allowedRatio } = compareOrExplain(options)
  const command = commandOf(resolveSimulationOptions(options))
  const { series: _, ...figures } = beside
  ui.event('simulated', { ...figures, beside: { costs, allowedRatio }, command })
  report(beside, ui)
  const time = (ms: number): string => (Number.isFinite(ms) ? `${(ms / 1000).toFixed(2)} s` : 'for ever')
  ui.result(`${'at worst'.padEnd(12)} ${worst.peer} takes ${time(worst.besideMs)}, alone ${time(worst.aloneMs)}`)
  const ratios = `${worst.ratio.toFixed(2)} at worst, ${medianRatio.toFixed(2)} in the middle, ${allowedRatio} allowed`
  ui.result(`${'beside/alone'.padEnd(12)} ${ratios}`)
  ui.remark(`again        ${command}`)
  return 0
}

function compareOrExplain(options: Partial<SimulationOptions>): Comparison {
  try {
    return compareBeside(options)
  } catch (err) {
    throw explained(err)
  }
}

/** A failed simulation as an error that says how to repeat it. */
function explained(err: unknown): unknown {
  if (!(err instanceof SimulationFailure)) return err
  const command = commandOf(err.options)
  return new SwarmError('internal', `${err.message}\nrepeat it with: ${command}`, { command }, err)
}

async function runShowing(simulation: Simulation, ui: Ui): Promise<SimulationResult> {
  try {
    while (!simulation.advance()) {
      const { virtualMs, completed, nodes, steps } = simulation.progress
      ui.progress(
        () => [
          `simulating  ${bar(completed / nodes)} ${completed} of ${nodes} complete  ${formatDuration(virtualMs)} of virtual time  ${steps} events`
        ],
        () => ({ phase: 'simulating', virtualMs: Math.round(virtualMs), completed, nodes, steps })
      )
      // Lets a signal and the terminal in.
      await new Promise(resolve => setImmediate(resolve))
    }
    return simulation.result()
  } catch (err) {
    throw explained(err)
  }
}

async function writePlot(result: SimulationResult, path: string): Promise<void> {
  const { plotSvg } = await import('./simulate-plot.ts')
  await writeFile(path, plotSvg(result)).catch(err => {
    throw new StoreError('cannot write the plot', path, err)
  })
}

function report(result: SimulationResult, ui: Ui): void {
  const line = (name: string, text: string): void => ui.result(`${name.padEnd(12)} ${text}`)
  const percent = (share: number): string => `${(share * 100).toFixed(2)} %`
  const time = (ms: number): string => `${(ms / 1000).toFixed(2)} s`
  line('scenario', `${result.scenario}, seed ${result.seed}: ${result.nodes} leechers, ${result.pieces} pieces`)
  line('complete', `${result.completed} of ${result.measured}`)
  line('bound', `${time(result.boundMs)}   ${result.boundName}`)
  line('p50', time(result.p50Ms))
  line('p99', `${time(result.p99Ms)}   ${result.p99Ratio.toFixed(3)} of the bound`)
  line('max', `${time(result.maxMs)}   ${result.ratio.toFixed(3)} of the bound`)
  line('seeder sent', `${result.seederCopies.toFixed(3)} copies`)
  if (result.originCopies !== undefined) line('origin sent', `${result.originCopies.toFixed(3)} copies`)
  if (result.crossRackCopies !== undefined) line('cross-rack', `${result.crossRackCopies.toFixed(3)} copies per rack`)
  if (result.playback !== undefined) {
    const { startMs, stalls, stalledMs } = result.playback
    line('playback', `began after ${startMs.toFixed(0)} ms, stood still ${stalls} times, ${stalledMs.toFixed(0)} ms in all`)
  }
  line('wasted', percent(result.wastedShare))
  line('uplinks idle', percent(result.idleShare))
  line('messages', `${percent(result.controlShare)} of the payload`)
}
