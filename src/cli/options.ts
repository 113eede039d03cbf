/**
 * The options that commands share, and reading their values: one place, so that a flag means the same everywhere and its
 * environment variable has the flag's name (`--state-dir`, `SWARM_STATE_DIR`).
 *
 * Invariant: a value that cannot be used ends in a usage error that names the flag, before anything starts. Callers: program.ts.
 */

import { type Command, InvalidArgumentError, Option } from 'commander'
import { isPieceLength, MAX_PIECE_LENGTH, MIN_PIECE_LENGTH } from '../content/geometry.ts'
import { DAEMON_OPTIONS } from '../daemon/option-table.ts'
import type { NodeOptions } from '../node/types.ts'
import { formatBinaryBytes, parseDuration, parseRate, parseSize } from '../util/sizes.ts'

/** What every command takes. */
export interface CommonFlags {
  json?: boolean
  quiet?: boolean
  verbose?: boolean
  stateDir?: string
}

/** Flags that shape the node of `seed` and `get`. */
export interface NodeFlags extends CommonFlags {
  listen?: string[]
  announce?: string[]
  bootstrap?: string[]
  mdns: boolean
  dht: boolean
  encryption?: 'tls' | 'noise'
  uploadLimit?: number
  downloadLimit?: number
  maxNeighbours?: number
  policy?: 'cooperative' | 'contributors'
  label?: string[]
}

function rate(text: string): number {
  const value = parseRate(text)
  if (value === undefined) throw new InvalidArgumentError('Give a rate such as 5MB, 512KiB/s, 20mbit, or 0 for none.')
  return value
}

function duration(text: string): number {
  const value = parseDuration(text)
  if (value === undefined) throw new InvalidArgumentError('Give a duration such as 30s, 5m or 2h; a bare number is seconds.')
  return value
}

function size(text: string): number {
  const value = parseSize(text)
  if (value === undefined || value < 1) throw new InvalidArgumentError('Give a size such as 64MiB or 1GiB.')
  return value
}

function share(text: string): number {
  const value = Number(text)
  if (!(value >= 0 && value <= 1)) throw new InvalidArgumentError('Give a number from 0 to 1.')
  return value
}

function pieceLength(text: string): number {
  const value = parseSize(text)
  if (!isPieceLength(value)) {
    const bounds = `${formatBinaryBytes(MIN_PIECE_LENGTH)} to ${formatBinaryBytes(MAX_PIECE_LENGTH)}`
    throw new InvalidArgumentError(`Give a power of two from ${bounds}, such as 256KiB.`)
  }
  return value
}

function count(text: string): number {
  const value = Number(text)
  if (!Number.isSafeInteger(value) || value < 1) throw new InvalidArgumentError('Give a whole number above zero.')
  return value
}

export function integer(text: string): number {
  const value = Number(text)
  if (text.trim() === '' || !Number.isSafeInteger(value)) throw new InvalidArgumentError('Give a whole number.')
  return value
}

/** Repeatable on the command line; in the environment separated by commas or white space. */
function list(text: string, previous: string[] | undefined): string[] {
  return [...(previous ?? []), ...text.split(/[\s,]+/).filter(part => part !== '')]
}

/** Repeatable, taken whole: a glob or URL may hold a comma. */
function repeat(text: string, previous: string[] | undefined): string[] {
  return [...(previous ?? []), text]
}

function scopes(text: string, previous: string[] | undefined): string[] {
  const all = list(text, previous)
  const bad = all.find(each => !['read', 'get', 'upload', 'admin'].includes(each))
  if (bad !== undefined) throw new InvalidArgumentError(`'${bad}' is none of read, get, upload and admin.`)
  return all
}

function urls(text: string, previous: string[] | undefined): string[] {
  if (!/^https?:$/.test(URL.parse(text)?.protocol ?? '')) throw new InvalidArgumentError(`'${text}' is no http(s) URL.`)
  return repeat(text, previous)
}

function multiaddrs(text: string, previous: string[] | undefined): string[] {
  const all = list(text, previous)
  const bad = all.find(address => !/^\/[a-z0-9-]+\/\S+$/.test(address))
  if (bad !== undefined) throw new InvalidArgumentError(`'${bad}' is no address; give one such as /ip4/10.0.0.7/tcp/4001.`)
  return all
}

function peerAddresses(text: string, previous: string[] | undefined): string[] {
  const all = multiaddrs(text, previous)
  const bad = all.find(address => !/\/p2p\/[A-Za-z0-9]+$/.test(address))
  if (bad !== undefined) {
    throw new InvalidArgumentError(`'${bad}' names no peer; 'swarm seed' prints addresses that end in /p2p/<peer id>.`)
  }
  return all
}

function labels(text: string, previous: string[] | undefined): string[] {
  const all = list(text, previous)
  const bad = all.find(label => !/^[a-z][a-z0-9_.-]*=.+$/i.test(label))
  if (bad !== undefined) throw new InvalidArgumentError(`'${bad}' is no label; give one such as zone=eu-1.`)
  return all
}

/** An option with its environment variable, named after it: `--state-dir` is SWARM_STATE_DIR, `--no-mdns` SWARM_NO_MDNS. */
function option(flags: string, description: string, parse?: (text: string, previous: never) => unknown): Option {
  const made = new Option(flags, description)
  made.env(`SWARM_${(made.long as string).slice(2).replaceAll('-', '_').toUpperCase()}`)
  if (parse !== undefined) made.argParser(parse as (text: string, previous: unknown) => unknown)
  return made
}

/** Commander takes a switch as set whenever its variable exists; this removes those that say no: `0`, `false`, `no`, empty. */
export function dropUnsetSwitches(program: Command, env: NodeJS.ProcessEnv): void {
  for (const { envVar, required, optional } of program.commands.flatMap(command => command.options)) {
    if (envVar !== undefined && !required && !optional && /^(0|false|no|)$/i.test(env[envVar] ?? 'unset')) delete env[envVar]
  }
}

export function withCommonOptions(command: Command): Command {
  return command
    .optionsGroup('Output and state:')
    .addOption(option('--json', 'print one JSON object per line and nothing else'))
    .addOption(option('-q, --quiet', 'print only the result, in one line, and errors'))
    .addOption(option('-v, --verbose', 'say more, and log what the parts do (as DEBUG=swarm:* does)'))
    .addOption(option('--state-dir <folder>', 'identity, hash cache, resume state (default: where the platform keeps state)'))
    .helpOption('-h, --help', 'show this')
}

export function withNodeOptions(command: Command): Command {
  return command
    .optionsGroup('Network:')
    .addOption(option('--listen <multiaddr>', 'address to listen on * (default: every IPv4 address, a free port)', multiaddrs))
    .addOption(option('--announce <multiaddr>', 'address to tell others besides *', multiaddrs))
    .addOption(option('--bootstrap <multiaddr>', 'peer to join the DHT through *', peerAddresses))
    .addOption(option('--no-mdns', 'do not look for peers on the local network'))
    .addOption(option('--no-dht', 'do not use the DHT'))
    .addOption(option('--upload-limit <rate>', 'such as 20mbit, 5MB or 512KiB per second (default: none)', rate))
    .addOption(option('--download-limit <rate>', 'the same for what comes in (default: none)', rate))
    .addOption(option('--max-neighbours <n>', 'peers to be connected to at once (default: 30)', count))
    .addOption(
      option('--policy <name>', 'whom to serve first: the neediest, or those that pass on what they get').choices([
        'cooperative',
        'contributors'
      ])
    )
    .addOption(option('--label <key=value>', 'where this node stands (host, rack, zone, region) *', labels))
    .addOption(option('--encryption <kind>', 'tls takes TLS and accepts noise, noise is noise only').choices(['tls', 'noise']))
}

/** Which daemon a command uses. `--no-daemon` exists where a command can do without one. */
export function withDaemonClientOptions(command: Command, { canDoWithout }: { canDoWithout: boolean }): Command {
  command
    .optionsGroup('Daemon:')
    .addOption(option('--daemon <url>', 'daemon to use (default: the one of this state folder, if it runs)'))
  withTokenOptions(command)
  return canDoWithout ? command.addOption(option('--no-daemon', 'use a node of its own even if a daemon runs')) : command
}

/** What a daemon is shown. Not as text on the command line, which every user of the machine sees. */
export function withTokenOptions(command: Command): Command {
  return command
    .addOption(option('--token-file <file>', 'file whose first line is the token of another daemon (or SWARM_TOKEN)'))
    .addOption(option('--fingerprint <sha256>', 'of its certificate, when nobody else vouches for it'))
    .addOption(new Option('--token <text>').argParser(refuseToken).hideHelp())
}

function refuseToken(): never {
  throw new InvalidArgumentError('Every user of this machine sees command lines: give --token-file, or SWARM_TOKEN.')
}

/** The options of `swarm daemon`, from the table that also reads the environment and the configuration file. */
export function withDaemonOptions(command: Command): Command {
  command.addOption(
    option('--config <file>', 'JSON file with options under their names (default: daemon.json in the configuration folder)')
  )
  command.addOption(new Option('--token <text>').argParser(refuseToken).hideHelp())
  for (const { name, kind, value, description, default: standard, offCommandLine } of DAEMON_OPTIONS) {
    if (name === 'state-dir' || offCommandLine === true) continue
    const isRepeated = kind === 'list' || kind === 'rules'
    const text = `${description}${isRepeated && !/repeatable/.test(description) ? ' *' : ''}${standard === undefined ? '' : ` (default: ${standard})`}`
    const made = new Option(kind === 'switch' ? `--${name}` : `--${name} <${value}>`, text.replace(/, repeatable/, ' *'))
    command.addOption(isRepeated ? made.argParser(repeat) : made)
  }
  return command
}

/** The options of one or a few commands. */
export const OPTIONS = {
  nodes: () => option('--nodes <n>', 'leechers; a seeder comes on top (default: 100)', count),
  size: () => option('--size <size>', 'of the content, such as 1GiB (default: 1GiB)', size),
  uplink: () => option('--uplink <rate>', 'of each node, such as 100mbit (default: 100mbit)', rate),
  downlink: () => option('--downlink <rate>', 'of each node (default: no limit)', rate),
  links: (names: readonly string[]) =>
    option('--links <model>', 'whole pieces one after another, or packets through queues (default: simple)').choices([...names]),
  seederUplink: () => option('--seeder-uplink <rate>', 'of the seeder (default: that of the others)', rate),
  misbehaving: () =>
    option(
      '--misbehaving <roles>',
      'peers on top of the others that play roles, as in mute:2,slow:1:50 (two mute, one 50 times slower); told is what the others take beside them and alone'
    ),
  originRate: () => option('--origin-rate <rate>', 'what an origin sends in all (default: there is no origin)', rate),
  latency: () => option('--latency <duration>', 'one way between any two nodes, such as 10ms (default: 10ms)', duration),
  jitter: () => option('--jitter <share>', 'largest deviation of a latency, as a share of it, 0 to 1 (default: 0.2)', share),
  scenario: (names: readonly string[]) => option('--scenario <name>', 'what happens (default: flash-crowd)').choices([...names]),
  randomSeed: () => option('--seed <text>', 'where randomness comes from: same seed, same result (default: 1)'),
  engine: () =>
    option('--engine <name=value>', 'option of every engine, such as policy=contributors or pieceOrder=random *', repeat),
  noCheck: () => option('--no-check', 'leave out the checkers, which cost most of the time in large worlds'),
  plot: () => option('--plot <file>', 'draw completion, copies and uplink use as SVG'),
  output: (description: string) => option('-o, --output <path>', description),
  only: () => option('--only <glob>', 'of a folder, only the files that match *', repeat),
  force: (description: string) => option('--force', description),
  peer: (description: string) => option('--peer <multiaddr>', `${description} *`, peerAddresses),
  origin: (description: string) => option('--origin <url>', `${description} *`, urls),
  originCommand: () =>
    option(
      '--origin-command <command>',
      'run by the shell for a fresh URL when an origin refuses one (SWARM_ORIGIN_URL, SWARM_ORIGIN_FAULT)'
    ),
  originLimit: () => option('--origin-limit <rate>', 'most to take from origins, such as 20mbit or 5MB (default: none)', rate),
  originConnections: () => option('--origin-connections <n>', 'requests side by side to an origin, 1 to 16 (default: 4)', count),
  to: () => option('--to <url>', 'address of the daemon, such as http://host:8421').makeOptionMandatory(),
  scope: () =>
    new Option('--scope <list>', 'read (look and read), get (download), upload, admin (everything) * (default: read)').argParser(
      scopes
    ),
  content: () => new Option('--content <root>', 'only for this content *').argParser(repeat),
  folder: () => new Option('--folder <folder>', "only for contents in this folder of the daemon's machine *").argParser(repeat),
  expires: (description: string) => new Option('--expires <duration>', description).argParser(duration),
  keep: () => option('--keep <file>', 'of a URL: also keep the bytes in this file'),
  timeout: () => option('--timeout <duration>', 'give up after this long without a new piece (default: never)', duration),
  seed: () => option('--seed', 'go on serving afterwards until stopped'),
  noLinger: () => option('--no-linger', 'leave at once when done, even while others draw on this node'),
  name: () => option('--name <name>', "name in the manifest (default: the file's)"),
  pieceLength: () => option('--piece-length <size>', 'a power of two (default: 256KiB, to 1MiB above 256 MiB)', pieceLength),
  rehash: () => option('--rehash', 'hash again even if the file looks unchanged')
}

/** Leaves out what is undefined: an absent option means its default. */
export function defined<T extends object>(fields: T): { [K in keyof T]?: Exclude<T[K], undefined> } {
  return Object.fromEntries(Object.entries(fields).filter(([, value]) => value !== undefined)) as {
    [K in keyof T]?: Exclude<T[K], undefined>
  }
}

export function nodeOptionsOf(flags: NodeFlags): Partial<NodeOptions> {
  return defined({
    stateDir: flags.stateDir,
    listen: flags.listen,
    announce: flags.announce,
    bootstrap: flags.bootstrap,
    mdns: flags.mdns,
    dht: flags.dht,
    encryption: flags.encryption,
    uploadBytesPerSecond: flags.uploadLimit,
    downloadBytesPerSecond: flags.downloadLimit,
    maxNeighbours: flags.maxNeighbours,
    policy: flags.policy,
    labels: flags.label === undefined ? undefined : Object.fromEntries(flags.label.map(label => splitOnce(label, '=')))
  })
}

function splitOnce(text: string, separator: string): [string, string] {
  const at = text.indexOf(separator)
  return [text.slice(0, at), text.slice(at + separator.length)]
}
