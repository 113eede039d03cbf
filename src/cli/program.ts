/**
 * The command line: which commands and options there are, and turning what a command throws into a message and an exit code.
 *
 * Each command's code is imported only when it runs, so that `--help` and `info` load neither libp2p nor the store. Caller: main.ts.
 */

import { readFileSync } from 'node:fs'
import { Command, CommanderError } from 'commander'
import { ERROR_TABLE, exitCodeOf, SwarmError } from '../errors.ts'
import { SCENARIO_NAMES } from '../sim/scenario-names.ts'
import {
  type CommonFlags,
  dropUnsetSwitches,
  integer,
  OPTIONS,
  withCommonOptions,
  withDaemonClientOptions,
  withDaemonOptions,
  withNodeOptions,
  withTokenOptions
} from './options.ts'
import type { TaskAction } from './task.ts'
import { Ui } from './ui.ts'
import type { DaemonClientFlags } from './use-daemon.ts'

/** Runs one command line (without node and script) and resolves with the exit code. */
export async function run(args: readonly string[]): Promise<number> {
  process.stdout.on('error', endOnBrokenPipe)
  process.stderr.on('error', endOnBrokenPipe)
  const json = args.includes('--json') || !/^(0|false|no|)$/i.test(process.env.SWARM_JSON ?? '')
  let ui = makeUi({ json })
  let exitCode = 0
  const program = buildProgram(json, (flags, command) => {
    ui = makeUi(flags)
    return command(ui).then(code => {
      exitCode = code
    })
  })
  dropUnsetSwitches(program, process.env)
  try {
    await program.parseAsync(args, { from: 'user' })
    return exitCode
  } catch (err) {
    ui.clear()
    if (err instanceof CommanderError) return reportUsage(err, ui)
    return reportError(err, ui)
  }
}

type Runner = (flags: CommonFlags, command: (ui: Ui) => Promise<number>) => Promise<void>

function buildProgram(json: boolean, execute: Runner): Command {
  const program = new Command('swarm')
    .description('Gets one file or folder onto every machine, peer to peer, without a tracker.')
    .version(packageVersion())
    .exitOverride()
    // Flag and variable share one name, which the footer says once instead of every line.
    .configureHelp({
      optionDescription: ({ description, argChoices }) => (argChoices ? `${description} (${argChoices.join(', ')})` : description)
    })
    .showHelpAfterError("'swarm --help' and 'swarm <command> --help' tell what there is")
    .configureOutput({
      writeErr: text => void (json || process.stderr.write(text)),
      outputError: (text, write) => write(text.replace(/^error: /, 'swarm: '))
    })
  const command = (name: string, description: string): Command => program.command(name).description(description)

  const seed = command('seed', 'hash a file or folder in place, write its manifest, print a link, and serve until stopped')
    .argument('<path>', "file or folder, or '-' for standard input")
    .addOption(OPTIONS.output('where the manifest goes (default: <name>.swarm in the current folder)'))
    .addOption(OPTIONS.force('overwrite a file that is no manifest'))
    .addOption(OPTIONS.name())
    .addOption(OPTIONS.pieceLength())
    .addOption(OPTIONS.origin('HTTP(S) URL of the same content to name in manifest and link'))
    .addOption(OPTIONS.rehash())
    .action((path, flags) => execute(flags, async ui => (await import('./seed.ts')).seed(path, flags, ui)))
  withCommonOptions(withDaemonClientOptions(withNodeOptions(seed), { canDoWithout: true }))

  const get = command('get', 'fetch the content of a manifest or link from everybody who has some of it')
    .argument('<source>', "manifest file, '-' for standard input, http(s) URL of one, or link (swarm:…)")
    .addOption(OPTIONS.output('file to write, or folder to put it into (default: the current folder)'))
    .addOption(OPTIONS.only())
    .addOption(OPTIONS.force('overwrite an existing, different output'))
    .addOption(OPTIONS.peer('peer to connect to'))
    .addOption(OPTIONS.origin('HTTP(S) URL that holds the content, asked for what peers lack'))
    .addOption(OPTIONS.originCommand())
    .addOption(OPTIONS.originLimit())
    .addOption(OPTIONS.originConnections())
    .addOption(OPTIONS.timeout())
    .addOption(OPTIONS.seed())
    .addOption(OPTIONS.noLinger())
    .action((source, flags) => execute(flags, async ui => (await import('./get.ts')).get(source, flags, ui)))
  withCommonOptions(withDaemonClientOptions(withNodeOptions(get), { canDoWithout: true }))

  const create = command('create', 'write the manifest of a file, a folder or what a URL gives, without serving it')
    .argument('<path>', 'file, folder, or http(s) URL (streamed, nothing is kept)')
    .addOption(OPTIONS.output("where the manifest goes, '-' for standard output (default: <name>.swarm in the current folder)"))
    .addOption(OPTIONS.force('overwrite a file that is no manifest'))
    .addOption(OPTIONS.name())
    .addOption(OPTIONS.pieceLength())
    .addOption(OPTIONS.peer('peer to name in the manifest'))
    .addOption(OPTIONS.origin('HTTP(S) URL of the same content to name in the manifest'))
    .addOption(OPTIONS.keep())
    .addOption(OPTIONS.rehash())
    .action((path, flags) => execute(flags, async ui => (await import('./create.ts')).create(path, flags, ui)))
  withCommonOptions(create)

  const push = command('push', 'bring a file to a daemon, which seeds it; only what is not there yet travels')
    .argument('<file>', 'file')
    .addOption(OPTIONS.to())
    .addOption(OPTIONS.name())
    .addOption(OPTIONS.pieceLength())
    .action((path, flags) => execute(flags, async ui => (await import('./push.ts')).push(path, flags, ui)))
  withCommonOptions(withTokenOptions(push))

  const info = command('info', 'show what a manifest or link says')
    .argument('<source>', "manifest file, '-' for standard input, http(s) URL of one, or link (swarm:…)")
    .action((source, flags) => execute(flags, async ui => (await import('./info.ts')).info(source, flags, ui)))
  withCommonOptions(info)

  const verify = command('verify', 'check a file or folder against a manifest and say which pieces are bad')
    .argument('<manifest>', "manifest file, '-' for standard input, or http(s) URL of one")
    .argument('[path]', 'file or folder (default: its name in the current folder)')
    .action((source, path, flags) => execute(flags, async ui => (await import('./verify.ts')).verify(source, path, flags, ui)))
  withCommonOptions(verify)

  const daemon = command('daemon', 'run a node with an HTTP API, a range gateway and a dashboard, until stopped').action(flags =>
    execute(flags, async ui => (await import('./daemon.ts')).daemon(flags, ui))
  )
  withCommonOptions(withDaemonOptions(daemon))

  const status = command('status', 'show what the daemon does, live on a terminal')
    .option('--once', 'say it once and end')
    .action(flags => execute(flags, async ui => (await import('./status.ts')).status(flags, ui)))
  withCommonOptions(withDaemonClientOptions(status, { canDoWithout: false }))

  const scan = command('scan', 'have the daemon seed files that lie beside their manifests in its folders').action(flags =>
    execute(flags, async ui => (await import('./scan.ts')).scan(flags, ui))
  )
  withCommonOptions(withDaemonClientOptions(scan, { canDoWithout: false }))

  const task = command('task', "pause, resume, cancel, remove or rank one of the daemon's tasks")
  const onTask = (action: string, description: string): Command =>
    task.command(action).description(description).argument('<task>', 'its id or root, or the beginning of one, or its name')
  const act = (name: string, flags: CommonFlags & DaemonClientFlags, action: TaskAction): Promise<void> =>
    execute(flags, async ui => (await import('./task.ts')).task(name, action, flags, ui))
  for (const [type, description] of [
    ['pause', 'stop it for now; what is there stays'],
    ['resume', 'go on with one that is paused, cancelled or failed'],
    ['cancel', 'give it up; what is there stays']
  ] as const) {
    onTask(type, description).action((name, flags) => act(name, flags, { type }))
  }
  onTask('remove', 'forget it')
    .option('--data', 'also delete what was downloaded')
    .action((name, flags) => act(name, flags, { type: 'remove', data: flags.data === true }))
  onTask('priority', 'higher goes first')
    .argument('<number>', '-1000 to 1000; new tasks have 0', integer)
    .action((name, priority, flags) => act(name, flags, { type: 'priority', priority }))
  for (const each of task.commands) withCommonOptions(withDaemonClientOptions(each, { canDoWithout: false }))

  addAccessCommands(command, execute)

  const simulate = command(
    'simulate',
    'run thousands of real engines over a modelled network in virtual time, and hold the result to the bound'
  )
    .addOption(OPTIONS.nodes())
    .addOption(OPTIONS.size())
    .addOption(OPTIONS.pieceLength())
    .addOption(OPTIONS.uplink())
    .addOption(OPTIONS.downlink())
    .addOption(OPTIONS.seederUplink())
    .addOption(OPTIONS.links(['simple', 'queued']))
    .addOption(OPTIONS.originRate())
    .addOption(OPTIONS.latency())
    .addOption(OPTIONS.jitter())
    .addOption(OPTIONS.scenario(SCENARIO_NAMES))
    .addOption(OPTIONS.misbehaving())
    .addOption(OPTIONS.randomSeed())
    .addOption(OPTIONS.engine())
    .addOption(OPTIONS.noCheck())
    .addOption(OPTIONS.plot())
    .action(flags => execute(flags, async ui => (await import('./simulate.ts')).simulate(flags, ui)))
  withCommonOptions(simulate)

  return program.addHelpText('after', HELP_FOOTER)
}

/** Giving others, or a browser, a way into the daemon. */
function addAccessCommands(command: (name: string, description: string) => Command, execute: Runner): void {
  const load = () => import('./access.ts')
  const token = command('token', 'make, list and revoke tokens of the daemon')
  token
    .command('create')
    .description('make one, and print it this once')
    .argument('<name>', 'what the audit log calls its holder')
    .addOption(OPTIONS.scope())
    .addOption(OPTIONS.content())
    .addOption(OPTIONS.folder())
    .addOption(OPTIONS.expires('it ends after this long, such as 30d (default: never)'))
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
  const dashboard = command('dashboard', "open the daemon's dashboard, logged in")
    .option('--no-open', 'only print the address')
    .action(flags => execute(flags, async ui => (await load()).dashboard(flags, ui)))
  const url = command('url', 'print an address of one content that needs no token')
    .argument('<task>', 'its id or root, or the beginning of one, or its name')
    .argument('[path]', 'of a folder: the file in it')
    .addOption(OPTIONS.expires('it ends after this long, 30d at most (default: 1h)'))
    .action((name, path, flags) => execute(flags, async ui => (await load()).signUrl(name, path, flags, ui)))
  for (const each of [...token.commands, dashboard, url])
    withCommonOptions(withDaemonClientOptions(each, { canDoWithout: false }))
}

const HELP_FOOTER = `
Example, on one machine and then on any number of others:
  swarm seed disk.img
  swarm get 'swarm:…'

Options marked * repeat. Every option can come from the environment: --state-dir is SWARM_STATE_DIR, --no-mdns is SWARM_NO_MDNS=1.
Exit codes: 0 done, 1 not found or not intact, 2 usage, 3 bad manifest or link, 4 no peers or no progress, 5 disk, 70 bug, 130 stopped.`

function makeUi(flags: CommonFlags): Ui {
  if (flags.verbose === true) process.env.DEBUG ||= 'swarm:*'
  return new Ui({
    json: flags.json === true,
    quiet: flags.quiet === true,
    verbose: flags.verbose === true || (process.env.DEBUG ?? '') !== '',
    stdout: process.stdout,
    stderr: process.stderr,
    nowMs: () => performance.now()
  })
}

/** Commander has said what is wrong (or shown help); this adds the code, and the JSON line where that is the language. */
function reportUsage(err: CommanderError, ui: Ui): number {
  if (err.exitCode === 0) return 0
  const { exit } = ERROR_TABLE.invalid_options
  const message = err.code === 'commander.help' ? 'no command given' : err.message.replace(/^error: /, '')
  ui.event('error', { code: 'invalid_options', message, details: {}, exitCode: exit })
  return exit
}

function reportError(err: unknown, ui: Ui): number {
  const exitCode = exitCodeOf(err)
  const message = err instanceof Error ? err.message : String(err)
  const code = err instanceof SwarmError ? err.code : exitCode === ERROR_TABLE.aborted.exit ? 'aborted' : 'internal'
  ui.event('error', { code, message, details: err instanceof SwarmError ? err.details : {}, exitCode })
  if (code === 'aborted') ui.remark('stopped')
  else if (code === 'internal') ui.warning(`this is a bug in swarm, please report it: ${message}`)
  else ui.warning(message)
  if (ui.verbose || code === 'internal') for (let at = err; at instanceof Error; at = at.cause) ui.remark(at.stack ?? at.message)
  return exitCode
}

/** `swarm info x | head -1`: the reader has what it wanted. */
function endOnBrokenPipe(err: NodeJS.ErrnoException): void {
  if (err.code === 'EPIPE') process.exit(0)
  throw err
}

function packageVersion(): string {
  const { version } = JSON.parse(readFileSync(new URL('../../package.json', import.meta.url), 'utf8')) as { version: string }
  return version
}
