/**
 * How each client seeds and gets one file in a lab, and how its output is read: ours, and the baselines
 * beside it.
 *
 * Every client gets the same file, the same links and the same signal: a file that appears in the shared
 * folder. Clients that cannot wait by themselves are started by a shell that waits.
 */

import { createHash } from 'node:crypto'
import { chmod, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import type { Lab, LabHost, ProcessSpec } from './lab.ts'

/** What a node told, as far as its client tells it. Bytes are payload. */
export type NodeEvent =
  /** Loaded; waits for the signal (leechers) or serves (others). */
  | { readonly type: 'ready'; readonly peer?: string; readonly addresses?: readonly string[] }
  | { readonly type: 'progress'; readonly bytesDone: number }
  | { readonly type: 'piece'; readonly piece: number }
  | { readonly type: 'complete'; readonly bytesFrom?: Readonly<Record<string, number>>; readonly bytesWasted?: number }
  | { readonly type: 'error'; readonly message: string }

export interface ClientContext {
  readonly lab: Lab
  /** The file to share, as the rig sees it; it lies in the shared folder. */
  readonly payload: string
  readonly pieceBytes: number
  /** Started before the leechers: `prepare` may read what they said. */
  readonly seeder: LabHost
  readonly hub: LabHost
  /** Leechers begin when they are started, not at the signal. */
  readonly cold: boolean
  /** The scenario must know each piece that a leecher verifies. */
  readonly pieceEvents: boolean
}

/** Name of the payload in the shared folder, and of the downloaded file in each leecher's folder. */
export const PAYLOAD_NAME = 'payload.bin'
/** Appears in the shared folder when the leechers shall begin. */
export const START_NAME = 'start'

export interface Client {
  readonly name: ClientName
  /**
   * The host that introduces peers to each other (bootstrap peer, tracker), started first; undefined when
   * none is needed.
   */
  hub?(context: ClientContext): Promise<ProcessSpec>
  seeder(context: ClientContext, hub: NodeEvent | undefined): Promise<ProcessSpec>
  /** Called once the seeder is ready, before the leechers start. */
  prepare?(context: ClientContext): Promise<void>
  leecher(context: ClientContext, host: LabHost, hub: NodeEvent | undefined): ProcessSpec
  /** A peer that claims every piece and sends wrong bytes. */
  corrupter?(context: ClientContext, host: LabHost, hub: NodeEvent | undefined): ProcessSpec
  /** Reads one line of a process's output. */
  interpret(line: string): NodeEvent | undefined
}

export type ClientName = 'swarm' | 'http' | 'aria2' | 'libtorrent'

const here = (name: string): string => fileURLToPath(new URL(name, import.meta.url))

/** A shell that says that it is ready, waits for the signal and becomes the program. */
function afterSignal(context: ClientContext, argv: readonly string[]): string[] {
  if (context.cold) return [...argv]
  const wait = `echo '{"event":"waiting"}'; while [ ! -e ${join(context.lab.sharedInside, START_NAME)} ]; do sleep 0.02; done; exec "$@"`
  return ['/bin/sh', '-c', wait, 'sh', ...argv]
}

/** The events that the baselines' scripts print. */
function interpretScript(line: string): NodeEvent | undefined {
  if (!line.startsWith('{')) return undefined
  const { event } = JSON.parse(line) as { event?: string }
  if (event === 'waiting' || event === 'listening') return { type: 'ready' }
  return event === 'complete' ? { type: 'complete' } : undefined
}

/** One server, N curls. */
export const httpClient: Client = {
  name: 'http',
  async seeder(context) {
    return { script: 'http-server.ts', argv: [context.payload, '8080'] }
  },
  leecher(context, host) {
    const script = `curl --silent --show-error --fail --output ${PAYLOAD_NAME} http://${context.seeder.address()}:8080/ && echo '{"event":"complete"}'`
    return { argv: afterSignal(context, ['/bin/sh', '-c', script]), env: { HOME: host.inside('') } }
  },
  interpret: interpretScript
}

const BITTORRENT_PORT = 6881

async function writeTorrent(context: ClientContext): Promise<void> {
  const payload = await readFile(context.payload)
  const hashes: Buffer[] = []
  for (let offset = 0; offset < payload.length; offset += context.pieceBytes) {
    hashes.push(
      createHash('sha1')
        .update(payload.subarray(offset, offset + context.pieceBytes))
        .digest()
    )
  }
  const text = (value: string): string => `${Buffer.byteLength(value)}:${value}`
  const info = [
    `d${text('length')}i${payload.length}e${text('name')}${text(PAYLOAD_NAME)}`,
    `${text('piece length')}i${context.pieceBytes}e${text('pieces')}${hashes.length * 20}:`
  ].join('')
  const announce = `d${text('announce')}${text(`http://${context.hub.address()}:8000/announce`)}${text('info')}`
  await writeFile(
    join(context.lab.shared, 'payload.torrent'),
    Buffer.concat([Buffer.from(announce + info), ...hashes, Buffer.from('ee')])
  )
}

const tracker = async (): Promise<ProcessSpec> => ({ script: 'tracker.ts', argv: ['8000'] })

/** aria2 from Debian, peers from a tracker. */
export const aria2Client: Client = {
  name: 'aria2',
  hub: tracker,
  async seeder(context) {
    await writeTorrent(context)
    const hook = join(context.lab.shared, 'aria2-complete')
    await writeFile(hook, `#!/bin/sh\necho '{"event":"complete"}'\n`)
    await chmod(hook, 0o755)
    return {
      argv: [
        '/bin/sh',
        '-c',
        `echo '{"event":"listening"}'; exec "$@"`,
        'sh',
        ...aria2(context, context.lab.shared),
        '--bt-seed-unverified=true'
      ]
    }
  },
  leecher(context, host) {
    return { argv: afterSignal(context, aria2(context, host.inside(''))) }
  },
  interpret: interpretScript
}

function aria2(context: ClientContext, folder: string): string[] {
  return [
    'aria2c',
    '--no-conf=true',
    `--dir=${folder}`,
    `--listen-port=${BITTORRENT_PORT}`,
    '--seed-ratio=0.0',
    '--enable-dht=false',
    '--enable-dht6=false',
    '--file-allocation=none',
    '--summary-interval=0',
    '--console-log-level=error',
    `--on-bt-download-complete=${join(context.lab.sharedInside, 'aria2-complete')}`,
    join(context.lab.sharedInside, 'payload.torrent')
  ]
}

/** libtorrent through Debian's python3-libtorrent, peers from a tracker. */
export const libtorrentClient: Client = {
  name: 'libtorrent',
  hub: tracker,
  async seeder(context) {
    await writeTorrent(context)
    return {
      argv: ['/usr/bin/python3', here('libtorrent_peer.py'), join(context.lab.shared, 'payload.torrent'), context.lab.shared, '']
    }
  },
  leecher(context, host) {
    const shared = (name: string): string => join(context.lab.sharedInside, name)
    return {
      argv: [
        '/usr/bin/python3',
        here('libtorrent_peer.py'),
        shared('payload.torrent'),
        host.inside(''),
        context.cold ? '/' : shared(START_NAME)
      ]
    }
  },
  interpret: interpretScript
}

const SWARM_PORT = 4001

/**
 * Ours: leechers know the manifest (without hints) and one bootstrap peer that has no part in the swarm; no
 * mDNS.
 */
export const swarmClient: Client = {
  name: 'swarm',
  async hub(context) {
    const name = 'bootstrap.txt'
    await writeFile(
      join(context.lab.shared, name),
      'The bootstrap peer shares this file, because a node that runs is all that it takes.\n'
    )
    return { argv: [...swarm(context, 'seed', join(context.lab.sharedInside, name), context.hub)], env: state(context.hub) }
  },
  async seeder(context, hub) {
    const payload = join(context.lab.sharedInside, PAYLOAD_NAME)
    const pieces = ['--piece-length', String(context.pieceBytes)]
    return {
      argv: [...swarm(context, 'seed', payload, context.seeder), ...pieces, ...bootstrap(context, hub)],
      env: state(context.seeder)
    }
  },
  async prepare(context) {
    // Hints would be a second way to find peers: the DHT alone has to do it here.
    const manifest = JSON.parse(await readFile(join(context.seeder.folder, MANIFEST_NAME), 'utf8')) as Record<string, unknown>
    delete manifest.peers
    await writeFile(join(context.lab.shared, MANIFEST_NAME), JSON.stringify(manifest))
  },
  leecher(context, host, hub) {
    const argv = swarm(context, 'get', join(context.lab.sharedInside, MANIFEST_NAME), host)
    if (context.pieceEvents) argv.push('--verbose')
    const start = context.cold ? {} : { SWARM_START_FILE: join(context.lab.sharedInside, START_NAME) }
    return {
      argv: [...argv, '--seed', ...bootstrap(context, hub)],
      env: { ...state(host), ...start, DEBUG: '' }
    }
  },
  corrupter(context, host, hub) {
    const manifest = join(context.lab.sharedInside, MANIFEST_NAME)
    const [, address = ''] = bootstrap(context, hub)
    return {
      script: 'corrupt-peer.ts',
      argv: [manifest, address, `/ip4/0.0.0.0/tcp/${SWARM_PORT}`],
      env: { HOME: host.inside('') }
    }
  },
  interpret(line) {
    if (!line.startsWith('{')) return undefined
    const said = JSON.parse(line) as SwarmEvent
    switch (said.event) {
      case 'waiting':
      case 'listening':
      case 'seeding':
        return { type: 'ready', addresses: said.addresses ?? [] }
      case 'progress':
        return said.phase === 'downloading' ? { type: 'progress', bytesDone: said.bytesDone ?? 0 } : undefined
      case 'piece':
        return { type: 'piece', piece: said.piece ?? 0 }
      case 'complete': {
        const bytesFrom: Record<string, number> = {}
        for (const { address, bytesDownloaded } of said.peers ?? []) {
          const host = /^\/ip[46]\/([^/]+)\//.exec(address)?.[1] ?? address
          bytesFrom[host] = (bytesFrom[host] ?? 0) + bytesDownloaded
        }
        return { type: 'complete', bytesFrom, bytesWasted: said.bytesWasted ?? 0 }
      }
      case 'error':
        return { type: 'error', message: said.message ?? '' }
      default:
        return undefined
    }
  }
}

const MANIFEST_NAME = `${PAYLOAD_NAME}.swarm`

/** The fields of our JSON events that the rig reads (docs/CLI.md). */
interface SwarmEvent {
  event: string
  phase?: string
  addresses?: string[]
  bytesDone?: number
  bytesWasted?: number
  piece?: number
  message?: string
  peers?: { address: string; bytesDownloaded: number }[]
}

function swarm(context: ClientContext, command: 'seed' | 'get', what: string, host: LabHost): string[] {
  const output = host.inside(command === 'seed' ? MANIFEST_NAME : PAYLOAD_NAME)
  const listen = `/ip4/0.0.0.0/tcp/${SWARM_PORT}`
  return [...context.lab.swarm, command, what, '--json', '--no-mdns', '--listen', listen, '--output', output]
}

function state(host: LabHost): Record<string, string> {
  return { SWARM_STATE_DIR: host.inside('state') }
}

function bootstrap(context: ClientContext, hub: NodeEvent | undefined): string[] {
  const addresses = hub?.type === 'ready' ? (hub.addresses ?? []) : []
  const address = addresses.find(candidate => candidate.includes(`/${context.hub.address()}/`))
  if (address === undefined) throw new Error(`the bootstrap peer listens on none of its addresses: ${addresses.join(' ')}`)
  return ['--bootstrap', address]
}

export const CLIENTS: Readonly<Record<ClientName, Client>> = {
  swarm: swarmClient,
  http: httpClient,
  aria2: aria2Client,
  libtorrent: libtorrentClient
}
