/**
 * The command line: runs one, and turns what a command throws into a message and an exit code. Caller:
 * main.ts.
 */

import { readFileSync } from 'node:fs'
import { Command, CommanderError } from 'commander'
import { ERROR_TABLE, exitCodeOf, SwarmError } from '../errors.ts'
import { addCommands, type Execute } from './commands.ts'
import { type CommonFlags, dropUnset } from './options.ts'
import { Ui } from './ui.ts'

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
  dropUnset(process.env, args[0] === 'daemon')
  try {
    await program.parseAsync(args, { from: 'user' })
    return exitCode
  } catch (err) {
    ui.clear()
    if (err instanceof CommanderError) return reportUsage(err, ui)
    return reportError(err, ui)
  }
}

function buildProgram(json: boolean, execute: Execute): Command {
  const program = new Command('swarm')
    .description('Gets one file or folder onto every machine, peer to peer, without a tracker.')
    .version(packageVersion())
    .exitOverride()
    // Flag and variable share one name, which the footer says once instead of every line.
    .configureHelp({ optionDescription: ({ description }) => description })
    .showHelpAfterError("'swarm --help' and 'swarm <command> --help' tell what there is")
    .configureOutput({
      writeErr: text => void (json || process.stderr.write(text)),
      outputError: (text, write) => write(text.replace(/^error: /, 'swarm: '))
    })
  addCommands(program, execute)
  return program.addHelpText('after', HELP_FOOTER)
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

/**
 * Commander has said what is wrong (or shown help); this adds the code, and the JSON line where that is the
 * language.
 */
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
