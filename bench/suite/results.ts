/** What a run of the suite found, as it is kept in JSON, and the arithmetic on it. */

import { execFile } from 'node:child_process'
import { readFile } from 'node:fs/promises'
import { availableParallelism, cpus, loadavg, release, totalmem } from 'node:os'
import { promisify } from 'node:util'

/** One run of one contestant. A field that the workload does not have is left out. */
export interface Sample {
  /** From the start of the process (of the first of several) to the end of what is measured. */
  readonly seconds: number
  /** Payload moved or hashed, over all receivers, per second. */
  readonly bytesPerSecond?: number
  /** Processor time of all processes, per GiB of payload. */
  readonly cpuSecondsPerGib?: number
  /** In a crowd: of one receiver, and the time in multiples of the least that its uplinks allow. */
  readonly cpuSecondsPerNode?: number
  readonly toBound?: number
  /** The same for an idle process: share of one core. */
  readonly coreShare?: number
  readonly seederPeakBytes?: number
  /** The largest of several receivers. */
  readonly getterPeakBytes?: number
  /** Memory gained over the time watched. */
  readonly growthBytes?: number
  /**
   * Processor time for one time that something is done, in milliseconds: the first times in a process, and
   * those after.
   */
  readonly firstCpuMs?: number
  readonly cpuMs?: number
  /** Longest time that the event loop stood still. */
  readonly stallMs?: number
}

export interface Row {
  readonly workload: string
  readonly contestant: string
  readonly samples: readonly Sample[]
  /** When it was measured, ISO. */
  readonly date: string
  /** Ours over the rival's in this run (of `ratioOf`); above 1 is better than the rival. */
  ratio?: number
}

export interface Results {
  readonly date: string
  readonly machine: Machine
  readonly versions: Readonly<Record<string, string>>
  /** Contestants and workloads left out, and why. */
  readonly skipped: readonly string[]
  readonly rows: readonly Row[]
}

export interface Machine {
  readonly cpu: string
  readonly cores: number
  readonly memoryBytes: number
  readonly kernel: string
  readonly disk: string
  /** Load over the minute before the run: above half a core the figures are lower bounds. */
  readonly loadBefore: number
}

export async function describeMachine(folder: string): Promise<Machine> {
  const { stdout } = await promisify(execFile)('df', ['--output=fstype', folder])
  return {
    cpu: cpus()[0]?.model ?? 'unknown',
    cores: availableParallelism(),
    memoryBytes: totalmem(),
    kernel: release(),
    disk: stdout.trim().split('\n').at(-1) ?? 'unknown',
    loadBefore: loadavg()[0] as number
  }
}

export function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b)
  const middle = sorted.length >> 1
  return sorted.length % 2 === 1 ? (sorted[middle] as number) : ((sorted[middle - 1] as number) + (sorted[middle] as number)) / 2
}

/** Median of a field over the samples that have it. */
export function medianOf(samples: readonly Sample[], field: keyof Sample): number | undefined {
  const values = samples.map(sample => sample[field]).filter(value => value !== undefined)
  return values.length === 0 ? undefined : median(values)
}

/** Largest less smallest, relative to the median. */
export function spreadOf(samples: readonly Sample[], field: keyof Sample): number | undefined {
  const values = samples.map(sample => sample[field]).filter(value => value !== undefined)
  return values.length < 2 ? undefined : (Math.max(...values) - Math.min(...values)) / median(values)
}

/** How good a row is, larger being better: a rate, or the inverse of a time. */
export function merit(samples: readonly Sample[]): number | undefined {
  const rate = medianOf(samples, 'bytesPerSecond')
  const seconds = medianOf(samples, 'seconds')
  return rate ?? (seconds === undefined ? undefined : 1 / seconds)
}

/** The new results with the rows of workloads that did not run this time as they were. */
export function mergeResults(old: Results, now: Results): Results {
  const measured = new Set(now.rows.map(({ workload }) => workload))
  const kept = old.rows.filter(({ workload }) => !measured.has(workload))
  return { ...now, versions: { ...old.versions, ...now.versions }, rows: [...kept, ...now.rows] }
}

export async function readResults(path: string): Promise<Results> {
  return JSON.parse(await readFile(path, 'utf8')) as Results
}
