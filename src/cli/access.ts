/**
 * `swarm token create|list|revoke`, `swarm dashboard` and `swarm url`: giving others, or a browser, a way
 * into the daemon.
 */

import { spawn } from 'node:child_process'
import { mkdir, writeFile } from 'node:fs/promises'
import { join, resolve } from 'node:path'
import type { TokenView } from '../api/schema/access.ts'
import { resolveNodeOptions } from '../node/options.ts'
import { type CommonFlags, defined } from './options.ts'
import { pickTask } from './task.ts'
import type { Ui } from './ui.ts'
import { type DaemonClientFlags, requireDaemon } from './use-daemon.ts'

export interface AccessFlags extends CommonFlags, DaemonClientFlags {
  scope?: string[]
  content?: string[]
  folder?: string[]
  /** From now, in ms. */
  expires?: number
  open?: boolean
}

type Scopes = TokenView['scopes']

const DEFAULT_URL_MS = 3600_000

export async function createToken(name: string, flags: AccessFlags, ui: Ui): Promise<number> {
  const client = await requireDaemon(flags)
  const made = await client.createToken({
    name,
    scopes: (flags.scope ?? ['read']) as Scopes,
    ...defined({
      roots: flags.content,
      folders: flags.folder?.map(folder => resolve(folder)),
      expiresMs: flags.expires === undefined ? undefined : Date.now() + flags.expires
    })
  })
  ui.event('token', made)
  ui.essential(made.token)
  ui.result(made.token)
  ui.remark(`${describeToken(made)}; it is shown this once`)
  return 0
}

export async function listTokens(flags: AccessFlags, ui: Ui): Promise<number> {
  const client = await requireDaemon(flags)
  const tokens = await client.tokens()
  ui.event('tokens', { tokens })
  for (const token of tokens) {
    ui.essential(token.id)
    ui.result(`${token.id}  ${describeToken(token)}`)
  }
  return 0
}

export async function revokeToken(name: string, flags: AccessFlags, ui: Ui): Promise<number> {
  const client = await requireDaemon(flags)
  await client.revokeToken(name)
  ui.event('revoked', { token: name })
  ui.essential(name)
  ui.result(`revoked   ${name}`)
  return 0
}

export async function dashboard(flags: AccessFlags, ui: Ui): Promise<number> {
  const client = await requireDaemon(flags)
  const url = client.url + (await client.loginAddress()).url
  ui.event('dashboard', { url })
  ui.essential(url)
  ui.result(url)
  ui.remark('logs a browser in once, within a minute')
  if (flags.open !== false && !ui.json && process.stdout.isTTY === true) await openBrowser(url, flags)
  return 0
}

export async function signUrl(name: string, path: string | undefined, flags: AccessFlags, ui: Ui): Promise<number> {
  const client = await requireDaemon(flags)
  const { root } = pickTask(await client.tasks(), name)
  const signed = await client.signUrl({ root, expiresMs: Date.now() + (flags.expires ?? DEFAULT_URL_MS), ...defined({ path }) })
  const url = client.url + signed.url
  ui.event('url', { root, url, expiresMs: signed.expiresMs })
  ui.essential(url)
  ui.result(url)
  ui.remark(`anybody may read it until ${new Date(signed.expiresMs).toISOString()}`)
  return 0
}

function describeToken({ name, scopes, roots, folders, expiresMs }: TokenView): string {
  const places = [...roots.map(root => root.slice(0, 12)), ...folders]
  const reach = places.length === 0 ? 'all contents' : places.join(', ')
  const ends =
    expiresMs === null
      ? 'never expires'
      : `${expiresMs <= Date.now() ? 'expired' : 'expires'} ${new Date(expiresMs).toISOString()}`
  return `${name}: ${scopes.join(', ')} on ${reach}, ${ends}`
}

/**
 * By a page of our own that leads there: every user of the machine sees what a browser is started with, and
 * could be faster. Where there is no browser nothing happens: the address was printed.
 */
async function openBrowser(url: string, flags: AccessFlags): Promise<void> {
  const { stateDir } = resolveNodeOptions(defined({ stateDir: flags.stateDir }))
  const page = join(stateDir, 'login.html')
  await mkdir(stateDir, { recursive: true, mode: 0o700 })
  await writeFile(page, `<!doctype html><meta http-equiv="refresh" content="0; url=${url}">\n`, { mode: 0o600 })
  const [program, ...args] =
    process.platform === 'darwin' ? ['open'] : process.platform === 'win32' ? ['cmd', '/c', 'start', ''] : ['xdg-open']
  const child = spawn(program as string, [...args, page], { stdio: 'ignore', detached: true })
  child.on('error', () => {})
  child.unref()
}
