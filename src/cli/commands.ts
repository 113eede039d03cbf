/**
 * Which commands there are. Their options come from the table (src/options).
 *
 * Each command's code is imported only when it runs, so that `--help` and `info` load neither libp2p nor the
 * store. Caller: program.ts.
 */

import { type Command, InvalidArgumentError } from 'commander'
import { type CommonFlags, withOptions } from './options.ts'
import type { TaskAction } from './task.ts'
import type { Ui } from './ui.ts'
import type { DaemonClientFlags } from './use-daemon.ts'

export type Execute = (flags: CommonFlags, command: (ui: Ui) => Promise<number>) => Promise<void>

const SOURCE = "manifest file, '-' for standard input, http(s) URL of one, or link (swarm:…)"
const TASK = 'its id or root, or the beginning of one, or its name'

export function addCommands(program: Command, execute: Execute): void {
  addContentCommands(program, execute)
  addDaemonCommands(program, execute)
  addTaskCommands(program, execute)
  addAccessCommands(program, execute)
  const simulate = program
    .command('simulate')
    .description('run thousands of real engines over a modelled network in virtual time, and hold the result to the bound')
    .action(flags => execute(flags, async ui => (await import('./simulate.ts')).simulate(flags, ui)))
  withOptions(simulate, 'simulate')
}

/** Making, fetching and looking at contents. */
function addContentCommands(program: Command, execute: Execute): void {
  const command = (name: string, description: string): Command => program.command(name).description(description)
  const seed = command('seed', 'hash a file or folder in place, write its manifest, print a link, and serve until stopped')
    .argument('<path>', "file or folder, or '-' for standard input")
    .action((path, flags) => execute(flags, async ui => (await import('./seed.ts')).seed(path, flags, ui)))
  withOptions(seed, 'seed')

  const get = command('get', 'fetch the content of a manifest or link from everybody who has some of it')
    .argument('<source>', SOURCE)
    .action((source, flags) => execute(flags, async ui => (await import('./get.ts')).get(source, flags, ui)))
  withOptions(get, 'get')

  const create = command('create', 'write the manifest of a file, a folder or what a URL gives, without serving it')
    .argument('<path>', 'file, folder, or http(s) URL (streamed, nothing is kept)')
    .action((path, flags) => execute(flags, async ui => (await import('./create.ts')).create(path, flags, ui)))
  withOptions(create, 'create')

  const push = command('push', 'bring a file to a daemon, which seeds it; only what is not there yet travels')
    .argument('<file>', 'file')
    .action((path, flags) => execute(flags, async ui => (await import('./push.ts')).push(path, flags, ui)))
  withOptions(push, 'push')

  const info = command('info', 'show what a manifest or link says')
    .argument('<source>', SOURCE)
    .action((source, flags) => execute(flags, async ui => (await import('./info.ts')).info(source, flags, ui)))
  withOptions(info, 'info')

  const verify = command('verify', 'check a file or folder against a manifest and say which pieces are bad')
    .argument('<manifest>', "manifest file, '-' for standard input, or http(s) URL of one")
    .argument('[path]', 'file or folder (default: its name in the current folder)')
    .action((source, path, flags) => execute(flags, async ui => (await import('./verify.ts')).verify(source, path, flags, ui)))
  withOptions(verify, 'verify')
}

function addDaemonCommands(program: Command, execute: Execute): void {
  const daemon = program
    .command('daemon')
    .description('run a node with an HTTP API, a range gateway and a dashboard, until stopped')
    .action(flags => execute(flags, async ui => (await import('./daemon.ts')).daemon(flags, ui)))
  withOptions(daemon, 'daemon')

  const status = program
    .command('status')
    .description('show what the daemon does, live on a terminal')
    .action(flags => execute(flags, async ui => (await import('./status.ts')).status(flags, ui)))
  withOptions(status, 'status')

  const scan = program
    .command('scan')
    .description('have the daemon seed files that lie beside their manifests in its folders')
    .action(flags => execute(flags, async ui => (await import('./scan.ts')).scan(flags, ui)))
  withOptions(scan, 'scan')
}

function addTaskCommands(program: Command, execute: Execute): void {
  const task = program.command('task').description("pause, resume, cancel, remove or rank one of the daemon's tasks")
  const onTask = (action: string, description: string): Command =>
    task.command(action).description(description).argument('<task>', TASK)
  const act = (name: string, flags: CommonFlags & DaemonClientFlags, action: TaskAction): Promise<void> =>
    execute(flags, async ui => (await import('./task.ts')).task(name, action, flags, ui))
  for (const [type, description] of [
    ['pause', 'stop it for now; what is there stays'],
    ['resume', 'go on with one that is paused, cancelled or failed'],
    ['cancel', 'give it up; what is there stays']
  ] as const) {
    onTask(type, description).action((name, flags) => act(name, flags, { type }))
  }
  onTask('remove', 'forget it').action((name, flags) => act(name, flags, { type: 'remove', data: flags.data === true }))
  onTask('priority', 'higher goes first')
    .argument('<number>', '-1000 to 1000; new tasks have 0', integer)
    .action((name, priority, flags) => act(name, flags, { type: 'priority', priority }))
  for (const each of task.commands) withOptions(each, each.name() === 'remove' ? 'task remove' : 'task')
}

/** Giving others, or a browser, a way into the daemon. */
function addAccessCommands(program: Command, execute: Execute): void {
  const load = () => import('./access.ts')
  const token = program.command('token').description('make, list and revoke tokens of the daemon')
  token
    .command('create')
    .description('make one, and print it this once')
    .argument('<name>', 'what the audit log calls its holder')
    .action((name, flags) => execute(flags, async ui => (await load()).createToken(name, flags, ui)))
  token
    .command('list')
    .description('show them, without what only their holders know')
    .action(flags => execute(flags, async ui => (await load()).listTokens(flags, ui)))
  token
    .command('revoke')
    .description('end one now')
    .argument('<token>', 'its name or id')
    .action((name, flags) => execute(flags, async ui => (await load()).revokeToken(name, flags, ui)))
  for (const each of token.commands) withOptions(each, each.name() === 'create' ? 'token create' : 'token')

  const dashboard = program
    .command('dashboard')
    .description("open the daemon's dashboard, logged in")
    .action(flags => execute(flags, async ui => (await load()).dashboard(flags, ui)))
  withOptions(dashboard, 'dashboard')

  const url = program
    .command('url')
    .description('print an address of one content that needs no token')
    .argument('<task>', TASK)
    .argument('[path]', 'of a folder: the file in it')
    .action((name, path, flags) => execute(flags, async ui => (await load()).signUrl(name, path, flags, ui)))
  withOptions(url, 'url')
}

function integer(text: string): number {
  const value = Number(text)
  if (text.trim() === '' || !Number.isSafeInteger(value)) throw new InvalidArgumentError('Give a whole number.')
  return value
}
