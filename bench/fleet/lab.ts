/**
 * A laboratory: hosts with addresses and capped links, on which the runner (run.ts) starts nodes. Two kinds
 * exist, namespaces and containers; everything above this file is the same for both.
 *
 * Invariant of every lab: after `close`, and also when the rig is killed, nothing of it is left on the
 * machine.
 */

import { execFile } from 'node:child_process'
import { readFile } from 'node:fs/promises'
import { promisify } from 'node:util'

const execFileAsync = promisify(execFile)

export interface LinkCaps {
  /** Bits per second; undefined is uncapped. */
  readonly uplink: number | undefined
  readonly downlink: number | undefined
  /** Of TCP, towards the other hosts; undefined: this machine's. */
  readonly congestionControl: string | undefined
}

/** What to run on a host. Paths in `argv` and `env` are as the process sees them (see `LabHost.inside`). */
export interface ProcessSpec {
  /** A script of the rig's own folder to run with `argv`, instead of a program. */
  readonly script?: string
  readonly argv: readonly string[]
  readonly env?: Readonly<Record<string, string>>
}

export interface LabProcess {
  readonly pid: number
  readonly exited: Promise<{ code: number | null; signal: string | null }>
  kill(signal: 'SIGTERM' | 'SIGKILL' | 'SIGINT'): Promise<void>
}

/** Receives each line that a process prints. */
export type LineHandler = (line: string, stream: 'stdout' | 'stderr') => void

export interface LabHost {
  readonly name: string
  /** The host's own folder as the rig sees it. */
  readonly folder: string
  /** The address at which other hosts reach this one; known once a process was started there. */
  address(): string
  /** A path in the host's folder, as processes on the host see it. */
  inside(path: string): string
  start(spec: ProcessSpec, onLine: LineHandler): Promise<LabProcess>
  /** Bytes that crossed the host's link since it exists, as the link counts them. */
  traffic(): Promise<{ sent: number; received: number }>
  /**
   * Bytes sent so far, cheap to ask often; a large segment's headers count once, so it is a few percent below
   * `traffic`.
   */
  sentSoFar(): Promise<number>
}

export interface Lab {
  readonly kind: 'netns' | 'docker'
  /** A folder that all hosts see read-only at `sharedInside`: the file to seed, the start signal. */
  readonly shared: string
  readonly sharedInside: string
  /** How the program is run on a host: the argv in front of the command's own arguments. */
  readonly swarm: readonly string[]
  /** `diskBytes`: the host's folder is a file system of its own of that size. */
  addHost(name: string, caps: LinkCaps, diskBytes?: number): Promise<LabHost>
  /** Gives a host with a file system of its own more room. */
  growDisk(host: LabHost, diskBytes: number): Promise<void>
  /** Cuts these hosts off from all others. */
  partition(hosts: readonly LabHost[]): Promise<void>
  heal(): Promise<void>
  /** Ends everything and leaves nothing behind. Idempotent. */
  close(): Promise<void>
}

/** Runs a program to its end; throws with what it said on stderr. */
export async function run(command: string, ...args: string[]): Promise<string> {
  try {
    return (await execFileAsync(command, args, { maxBuffer: 64 << 20 })).stdout
  } catch (err) {
    const said = String((err as { stderr?: string }).stderr ?? '').trim()
    throw new Error(`${command} ${args.join(' ')}: ${said === '' ? (err as Error).message : said}`)
  }
}

/**
 * Single frames would be truer still, and cost the nodes' cores as much again: each is a packet to receive
 * and a read.
 */
const TRAIN_MS = 25
const FRAME_BYTES = 1514
/** What Linux takes by itself. */
const MAX_TRAIN_FRAMES = 65_535

/**
 * The commands that cap a link: HTB on the sending side of a veth, with the queue that Linux gives an
 * interface by itself (pfifo_fast: three first-in first-out queues by type of service). No smart queue is put
 * in, although it would flatter every client: many uplinks have none. What TCP hands over in one go is at
 * most {@link TRAIN_MS} of the link: with the usual 64 KB nothing could overtake it for a quarter of a second
 * at 2 Mbit/s, where a real interface cuts it up.
 */
export function shapeCommands(device: string, bitsPerSecond: number): [program: 'ip' | 'tc', ...args: string[]][] {
  const rate = `${Math.round(bitsPerSecond)}bit`
  const segments = Math.min(MAX_TRAIN_FRAMES, Math.max(1, Math.floor((bitsPerSecond * TRAIN_MS) / 1000 / (8 * FRAME_BYTES))))
  const shape = ['htb', 'rate', rate, 'burst', '15k', 'quantum', '15140']
  return [
    ['ip', 'link', 'set', 'dev', device, 'gso_max_segs', `${segments}`],
    ['tc', 'qdisc', 'replace', 'dev', device, 'root', 'handle', '1:', 'htb', 'default', '1'],
    ['tc', 'class', 'replace', 'dev', device, 'parent', '1:', 'classid', '1:1', ...shape],
    ['tc', 'qdisc', 'replace', 'dev', device, 'parent', '1:1', 'handle', '10:', 'pfifo_fast']
  ]
}

/**
 * The commands of `ip` (in the host's namespace) that set TCP's congestion control on the routes of `routes`,
 * the output of `ip -j route show`.
 */
export function congestionCommands(routes: string, device: string, name: string): string[][] {
  return (JSON.parse(routes) as { dst: string; prefsrc?: string; scope?: string }[])
    .filter(({ scope, prefsrc }) => scope === 'link' && prefsrc !== undefined)
    .map(({ dst, prefsrc }) => {
      const route = [dst, 'dev', device, 'proto', 'kernel', 'scope', 'link', 'src', prefsrc as string]
      return ['route', 'replace', ...route, 'congctl', name]
    })
}

/**
 * Bytes that HTB let through, link headers of every segment included, from `tc -s -j qdisc show`; undefined
 * without HTB.
 */
export function parseHtbBytes(json: string): number | undefined {
  const qdiscs = JSON.parse(json) as { kind?: string; bytes?: number }[]
  return qdiscs.find(({ kind }) => kind === 'htb')?.bytes
}

/**
 * A counter of the outer end of a host's link, where the host's sent bytes are received ones. 0 when the link
 * is gone.
 */
export async function deviceCounter(device: string, counter: 'rx_bytes' | 'tx_bytes'): Promise<number> {
  return Number(await readFile(`/sys/class/net/${device}/statistics/${counter}`, 'utf8').catch(() => 0))
}

export interface ProcessUsage {
  /** User and system time, in seconds. */
  readonly cpuSeconds: number
  /** Peak resident memory, in bytes. */
  readonly peakRssBytes: number
}

/** What a process used so far, from /proc; undefined once it is gone. */
export async function processUsage(pid: number): Promise<ProcessUsage | undefined> {
  try {
    const [stat, status] = await Promise.all([readFile(`/proc/${pid}/stat`, 'utf8'), readFile(`/proc/${pid}/status`, 'utf8')])
    // The second field, the name, may hold spaces: count from behind its closing parenthesis (man 5 proc).
    const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ')
    const ticks = Number(fields[11]) + Number(fields[12])
    const peakKib = Number(/^VmHWM:\s+(\d+) kB$/m.exec(status)?.[1] ?? 0)
    return { cpuSeconds: ticks / CLOCK_TICKS_PER_SECOND, peakRssBytes: peakKib * 1024 }
  } catch {
    return undefined
  }
}

/** USER_HZ: 100 on every Linux that Node runs on. */
const CLOCK_TICKS_PER_SECOND = 100

/** Cuts a byte stream into lines of at most 1 MiB; longer ones are cut. */
export function lineSplitter(onLine: (line: string) => void): (chunk: Uint8Array | string) => void {
  const decoder = new TextDecoder()
  let rest = ''
  return chunk => {
    rest += typeof chunk === 'string' ? chunk : decoder.decode(chunk, { stream: true })
    let end = rest.indexOf('\n')
    while (end >= 0) {
      onLine(rest.slice(0, end))
      rest = rest.slice(end + 1)
      end = rest.indexOf('\n')
    }
    if (rest.length > 1 << 20) rest = ''
  }
}
