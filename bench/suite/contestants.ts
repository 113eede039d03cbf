/**
 * Who takes part: ours, and the rivals that this machine has. Each seeds a payload and gets it, as whole
 * processes with default settings but for discovery: everybody is told where the seeder is.
 */

import { execFile } from 'node:child_process'
import { access, mkdir, readFile, writeFile } from 'node:fs/promises'
import { createServer } from 'node:net'
import { basename, dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import type { ProcessSpec, Running, Scope } from './measure.ts'
import { type Payload, torrentOf } from './payload.ts'

const exec = promisify(execFile)
const here = (name: string): string => fileURLToPath(new URL(name, import.meta.url))
const REPOSITORY = here('../..')

export type ContestantName = 'swarm' | 'libtorrent' | 'aria2' | 'webtorrent' | 'curl' | 'tls-copy'

export interface Seeder {
  readonly process: Running
  /** The i-th of several leechers that start together; it prints what {@link Contestant.readLine} marks. */
  getter(index: number, options: { watchPieces: boolean }): Promise<Getter>
}

export interface Getter extends ProcessSpec {
  /** Where the file or folder will be. */
  readonly output: string
}

export interface Contestant {
  readonly name: ContestantName
  /** Whether several leechers share among themselves. */
  readonly isPeerToPeer: boolean
  /** Whether it can share a folder. */
  readonly takesFolders: boolean
  /** Version, or throws why it cannot run on this machine. */
  version(): Promise<string>
  seed(scope: Scope, payload: Payload): Promise<Seeder>
  /**
   * Marks: `first` (piece), `complete` (verified and in place). A contestant that says nothing is complete
   * when it ends.
   */
  readLine(line: string): string | undefined
}

const readWords = (line: string): string | undefined => (/^(serving|first|complete)$/.test(line) ? line : undefined)

async function freePorts(count: number): Promise<number[]> {
  const servers = await Promise.all(
    Array.from({ length: count }, async () => {
      const server = createServer()
      await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve))
      return server
    })
  )
  const ports = servers.map(server => (server.address() as { port: number }).port)
  await Promise.all(servers.map(server => new Promise(resolve => server.close(resolve))))
  return ports
}

async function subfolder(scope: Scope, name: string): Promise<string> {
  const folder = join(scope.folder, name)
  await mkdir(folder, { recursive: true })
  return folder
}

async function versionLine(command: string, args: readonly string[], pattern: RegExp, install: string): Promise<string> {
  try {
    const { stdout, stderr } = await exec(command, args)
    return pattern.exec(stdout + stderr)?.[1] ?? 'unknown version'
  } catch (err) {
    throw new Error(`${install} (${(err as Error).message.split('\n')[0]})`)
  }
}

/** Ours: the command line as a user runs it. */
export function swarm(cli: readonly string[]): Contestant {
  return {
    name: 'swarm',
    isPeerToPeer: true,
    takesFolders: true,
    async version() {
      const { version } = JSON.parse(await readFile(join(REPOSITORY, 'package.json'), 'utf8')) as { version: string }
      const commit = await exec('git', ['-C', REPOSITORY, 'rev-parse', '--short', 'HEAD']).then(
        ({ stdout }) => ` (${stdout.trim()})`,
        () => ''
      )
      return `${version}${commit}`
    },
    async seed(scope, payload) {
      const manifest = join(scope.folder, 'payload.swarm')
      const own = (name: string): string[] => [
        '--json',
        '--no-mdns',
        '--listen',
        '/ip4/127.0.0.1/tcp/0',
        '--state-dir',
        join(scope.folder, name)
      ]
      let address = ''
      const process = await scope.start(
        { argv: [...cli, 'seed', payload.path, '--output', manifest, ...own('seeder')] },
        line => {
          const said = swarmEvent(line)
          if (said?.event !== 'seeding') return undefined
          address = said.addresses?.[0] ?? ''
          return 'serving'
        }
      )
      return {
        process,
        async getter(index, { watchPieces }) {
          const output = join(await subfolder(scope, `get-${index}`), basename(payload.path))
          const argv = [...cli, 'get', manifest, '--output', output, '--no-linger', '--peer', address, ...own(`state-${index}`)]
          return { argv: watchPieces ? [...argv, '--verbose'] : argv, output }
        }
      }
    },
    readLine(line) {
      const said = swarmEvent(line)
      if (said?.event === 'piece') return 'first'
      return said?.event === 'complete' ? 'complete' : undefined
    }
  }
}

interface SwarmEvent {
  event: string
  addresses?: string[]
}

function swarmEvent(line: string): SwarmEvent | undefined {
  return line.startsWith('{') ? (JSON.parse(line) as SwarmEvent) : undefined
}

const SYSTEM_PYTHON = '/usr/bin/python3'

export const libtorrent: Contestant = {
  name: 'libtorrent',
  isPeerToPeer: true,
  takesFolders: true,
  version: () =>
    versionLine(
      SYSTEM_PYTHON,
      ['-c', 'import libtorrent; print(libtorrent.version)'],
      /([\d.]+)/,
      'apt-get install python3-libtorrent'
    ),
  async seed(scope, payload) {
    const torrent = await torrentOf(payload)
    const script = here('rivals/libtorrent_peer.py')
    const [port = 0, ...others] = await freePorts(17)
    const folder = dirname(payload.path)
    const process = await scope.start({ argv: [SYSTEM_PYTHON, script, 'seed', torrent, folder, String(port)] }, readWords)
    return {
      process,
      async getter(index) {
        const folder = await subfolder(scope, `get-${index}`)
        // Each knows the seeder and those that started before it, so that everybody is connected to
        // everybody.
        const peers = [port, ...others.slice(0, index)].map(String)
        const argv = [SYSTEM_PYTHON, script, 'get', torrent, folder, String(others[index]), ...peers]
        return { argv, output: join(folder, basename(payload.path)) }
      }
    }
  },
  readLine: readWords
}

/**
 * Apart, so that it is no dependency of the project: `npm install --ignore-scripts --prefix bench/rivals`.
 */
const WEBTORRENT = join(REPOSITORY, 'bench/rivals/node_modules/webtorrent')

export const webtorrent: Contestant = {
  name: 'webtorrent',
  isPeerToPeer: true,
  takesFolders: true,
  async version() {
    try {
      return (JSON.parse(await readFile(join(WEBTORRENT, 'package.json'), 'utf8')) as { version: string }).version
    } catch {
      throw new Error('npm install --ignore-scripts --prefix bench/rivals')
    }
  },
  async seed(scope, payload) {
    const torrent = await torrentOf(payload)
    const [port = 0, ...others] = await freePorts(17)
    const peer = (mode: string, folder: string, own: number, other: number): string[] => [
      process.execPath,
      here('rivals/webtorrent_peer.mjs'),
      mode,
      join(WEBTORRENT, 'index.js'),
      torrent,
      folder,
      String(own),
      String(other)
    ]
    const running = await scope.start({ argv: peer('seed', dirname(payload.path), port, 0) }, readWords)
    return {
      process: running,
      async getter(index) {
        const folder = await subfolder(scope, `get-${index}`)
        return { argv: peer('get', folder, others[index] as number, port), output: join(folder, basename(payload.path)) }
      }
    }
  },
  readLine: readWords
}

export const aria2: Contestant = {
  name: 'aria2',
  isPeerToPeer: true,
  takesFolders: true,
  version: () => versionLine('aria2c', ['--version'], /version ([\d.]+)/, 'apt-get install aria2'),
  async seed(scope, payload) {
    const [tracker = 0, port = 0, ...others] = await freePorts(18)
    await scope.start({ argv: [process.execPath, here('../fleet/tracker.ts'), String(tracker)] }, line =>
      line.includes('listening') ? 'serving' : undefined
    )
    const torrent = await torrentOf({ ...payload, path: payload.path }, `http://127.0.0.1:${tracker}/announce`)
    // The tracker's port differs from run to run, and the torrent beside the payload names the first.
    const own = join(scope.folder, 'payload.torrent')
    await writeFile(own, retrack(await readFile(torrent), tracker))
    const aria = (folder: string, listen: number, ...more: string[]): string[] => [
      'aria2c',
      '--no-conf=true',
      `--dir=${folder}`,
      `--listen-port=${listen}`,
      '--enable-dht=false',
      '--enable-dht6=false',
      '--file-allocation=none',
      '--summary-interval=0',
      '--bt-enable-lpd=false',
      ...more,
      own
    ]
    const seed = aria(dirname(payload.path), port, '--seed-ratio=0.0', '--bt-seed-unverified=true', '--console-log-level=notice')
    const seeder = await scope.start({ argv: seed }, line => (/listening|seeding|\[NOTICE\]/i.test(line) ? 'serving' : undefined))
    await announced(tracker)
    return {
      process: seeder,
      async getter(index) {
        const folder = await subfolder(scope, `get-${index}`)
        const argv = aria(folder, others[index] as number, '--seed-time=0', '--quiet=true')
        return { argv, output: join(folder, basename(payload.path)) }
      }
    }
  },
  readLine: () => undefined
}

/** A tracker URL of the same length replaces the one in the torrent. */
function retrack(torrent: Buffer, port: number): Buffer {
  const text = torrent.toString('latin1').replace(/^d8:announce\d+:http:\/\/127\.0\.0\.1:\d+\/announce/, () => {
    const url = `http://127.0.0.1:${port}/announce`
    return `d8:announce${url.length}:${url}`
  })
  return Buffer.from(text, 'latin1')
}

/** Waits until the seeder is known to the tracker, so that a leecher's first question is answered. */
async function announced(port: number): Promise<void> {
  for (let tries = 0; tries < 300; tries++) {
    const answer = Buffer.from(await (await fetch(`http://127.0.0.1:${port}/announce?port=1&event=stopped`)).arrayBuffer())
    if (!answer.toString('latin1').includes('5:peers0:')) return
    await new Promise(resolve => setTimeout(resolve, 100))
  }
  throw new Error('aria2 did not announce itself')
}

/**
 * nginx and curl: plain HTTP, nothing verified, one receiver at a time in mind. What a network could carry.
 */
export const curl: Contestant = {
  name: 'curl',
  isPeerToPeer: false,
  takesFolders: false,
  async version() {
    const nginx = await versionLine('/usr/sbin/nginx', ['-v'], /nginx\/([\d.]+)/, 'apt-get install nginx-light')
    return `${await versionLine('curl', ['--version'], /curl ([\d.]+)/, 'apt-get install curl')}, nginx ${nginx}`
  },
  async seed(scope, payload) {
    const [port = 0] = await freePorts(1)
    const config = join(scope.folder, 'nginx.conf')
    const temporary = ['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi'].map(part => `${part}_temp_path ${scope.folder}/nginx;`)
    await writeFile(
      config,
      `daemon off; master_process off; pid ${scope.folder}/nginx.pid; error_log stderr; events {}
http { ${temporary.join(' ')} access_log off; sendfile on; server { listen 127.0.0.1:${port}; root ${dirname(payload.path)}; } }`
    )
    // nginx says nothing when it is ready: a shell asks for the file's first byte until it comes.
    const url = `http://127.0.0.1:${port}/${basename(payload.path)}`
    const process = await scope.start(
      {
        argv: [
          '/bin/sh',
          '-c',
          `(until curl -sf -r 0-0 -o /dev/null ${url}; do sleep 0.05; done; echo serving) & exec /usr/sbin/nginx -c ${config}`
        ]
      },
      readWords
    )
    return {
      process,
      async getter(index) {
        const output = join(await subfolder(scope, `get-${index}`), basename(payload.path))
        return { argv: ['curl', '--silent', '--show-error', '--fail', '--output', output, url], output }
      }
    }
  },
  readLine: () => undefined
}

export const tlsCopy: Contestant = {
  name: 'tls-copy',
  isPeerToPeer: false,
  takesFolders: false,
  version: async () => `node ${process.versions.node}`,
  async seed(scope, payload) {
    const [port = 0] = await freePorts(1)
    const script = here('rivals/tls-copy.ts')
    const seeder = await scope.start({ argv: [process.execPath, script, 'seed', payload.path, String(port)] }, readWords)
    return {
      process: seeder,
      async getter(index) {
        const output = join(await subfolder(scope, `get-${index}`), basename(payload.path))
        return { argv: [process.execPath, script, 'get', output, String(port)], output }
      }
    }
  },
  readLine: readWords
}

/** The command that runs the CLI: the built one if there is one, for that is what users run. */
export async function findCli(): Promise<string[]> {
  const built = join(REPOSITORY, 'dist/cli/main.js')
  const isBuilt = await access(built).then(
    () => true,
    () => false
  )
  return [process.execPath, isBuilt ? built : join(REPOSITORY, 'src/cli/main.ts')]
}
