/**
 * Runs this program again inside fresh process, mount and network namespaces, so that the kernel itself
 * cleans up: when the inner program ends for whatever reason (also kill -9 of it, of `unshare`, or of the
 * outer program) every process, namespace, veth, bridge and file of the lab goes with it.
 */

import { spawn } from 'node:child_process'
import { Socket } from 'node:net'

const MARK = 'SWARM_RIG_SANDBOX'
/** The inner program reads this descriptor; its end says that the outer program is gone. */
const LIFELINE_FD = 3

/** Whether this process is the inner one. */
export function isInside(): boolean {
  return process.env[MARK] === '1'
}

/** Why namespaces cannot be had here, or undefined when they can. */
export async function sandboxFault(): Promise<string | undefined> {
  if (process.platform !== 'linux') return 'network namespaces exist on Linux only'
  return await new Promise(resolve => {
    const probe = spawn('unshare', [...namespaceFlags(), 'sh', '-c', 'ip link add type veth && tc qdisc show'], {
      stdio: ['ignore', 'ignore', 'pipe']
    })
    let said = ''
    probe.stderr.on('data', chunk => {
      said += String(chunk)
    })
    probe.on('error', err => resolve(`cannot run unshare: ${err.message}`))
    probe.on('close', code =>
      resolve(code === 0 ? undefined : `no rights to make network namespaces (run as root): ${said.trim()}`)
    )
  })
}

/**
 * Runs `script` with `args` inside; resolves with its exit code. Ctrl-C reaches the inner program, which ends
 * in order.
 */
export async function runInside(script: string, args: readonly string[]): Promise<number> {
  const child = spawn('unshare', [...namespaceFlags(), process.execPath, script, ...args], {
    stdio: ['inherit', 'inherit', 'inherit', 'pipe'],
    env: { ...process.env, [MARK]: '1' }
  })
  const lifeline = child.stdio[LIFELINE_FD] as NodeJS.WritableStream
  // The terminal sends Ctrl-C to the inner program too; this one only has to live until that one has ended.
  const stay = (): void => {}
  const end = (): void => {
    lifeline.end()
  }
  process.on('SIGINT', stay)
  process.on('SIGTERM', end)
  process.on('SIGHUP', end)
  try {
    return await new Promise((resolve, reject) => {
      child.on('error', reject)
      // Not 'close': the lifeline's end on this side stays open.
      child.on('exit', (code, signal) => resolve(code ?? (signal === 'SIGINT' ? 130 : 70)))
    })
  } finally {
    process.off('SIGINT', stay)
    process.off('SIGTERM', end)
    process.off('SIGHUP', end)
  }
}

/** Calls `gone` when the outer program has ended. Only inside. */
export function onOuterGone(gone: () => void): void {
  // A socket, not a file stream: a read that blocks a thread would keep this process from ending.
  const lifeline = new Socket({ fd: LIFELINE_FD })
  lifeline.on('close', gone)
  lifeline.on('error', gone)
  lifeline.resume()
}

function namespaceFlags(): string[] {
  const flags = ['--mount', '--net', '--pid', '--fork', '--kill-child=SIGKILL', '--mount-proc']
  return process.getuid?.() === 0 ? flags : ['--user', '--map-root-user', ...flags]
}
