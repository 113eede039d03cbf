/**
 * `swarm simulate`: real engines over a modelled network in virtual time; what came of it, beside the bound that no schedule beats.
 *
 * A failure prints the command that repeats it and exits with 70: it is a bug of ours.
 */

import { writeFile } from 'node:fs/promises'
import { StoreError, SwarmError } from '../errors.ts'
import { parseEngineOptions, type SimulationOptions } from '../sim/options.ts'
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
  originRate?: number
  latency?: number
  jitter?: number
  scenario?: ScenarioName
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
    originRate: flags.originRate,
    latencyMs: flags.latency,
    jitter: flags.jitter,
    scenario: flags.scenario,
    seed: flags.seed,
    engine: flags.engine === undefined ? undefined : parseEngineOptions(flags.engine),
    isChecked: flags.check
  })
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
    if (!(err instanceof SimulationFailure)) throw err
    const command = commandOf(err.options)
    throw new SwarmError('internal', `${err.message}\nrepeat it with: ${command}`, { command }, err)
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
