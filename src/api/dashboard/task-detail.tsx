/**
 * What the swarm of one task holds: pieces, who gave what, peers and files. Asked for once a second while it
 * is shown.
 */

import { formatBytes, formatRate } from '../../util/sizes.ts'
import type { Peer, SwarmView } from '../schema/swarms.ts'
import type { Task } from '../schema/tasks.ts'
import { api } from './api.ts'
import { PieceMap } from './piece-map.tsx'
import { usePolled } from './state.ts'

const MAX_FILES_SHOWN = 200

export function TaskDetail({ task }: { task: Task }) {
  // The number of pieces is known exactly while the content is open.
  const swarm = usePolled(() => api.swarm(task.root), 1000, task.pieceCount === null ? undefined : task.root)
  return (
    <div class="detail">
      <dl class="identity">
        <dt>Root</dt>
        <dd class="mono">{task.root}</dd>
        {task.path !== null && <dt>Place</dt>}
        {task.path !== null && <dd class="mono">{task.path}</dd>}
      </dl>
      {swarm === undefined ? (
        <p class="waiting">This node is not in the swarm now.</p>
      ) : (
        <>
          <h3>Pieces</h3>
          <PieceMap swarm={swarm} />
          <h3>Who gave what</h3>
          <Sources swarm={swarm} />
          <h3>Peers</h3>
          <Peers peers={swarm.peers} pieceCount={swarm.pieceCount} />
          {swarm.files.length > 1 && <h3>Files</h3>}
          {swarm.files.length > 1 && <Files files={swarm.files} />}
        </>
      )}
    </div>
  )
}

function Sources({ swarm }: { swarm: SwarmView }) {
  const total = swarm.bytesBySource.reduce((sum, { bytes }) => sum + bytes, 0)
  if (total === 0) return <p class="waiting">Nothing yet.</p>
  const sources = [...swarm.bytesBySource].sort((a, b) => b.bytes - a.bytes).slice(0, 20)
  return (
    <ul class="sources">
      {sources.map(({ source, bytes }) => (
        <li key={source}>
          <span class="mono">{source === 'disk' ? 'this disk' : shortPeer(source)}</span>
          <span class="bar" aria-hidden="true">
            <span class="part" style={{ width: `${(bytes / total) * 100}%` }} />
          </span>
          <span class="amount">{formatBytes(bytes)}</span>
        </li>
      ))}
    </ul>
  )
}

function Peers({ peers, pieceCount }: { peers: readonly Peer[]; pieceCount: number }) {
  if (peers.length === 0) return <p class="waiting">None.</p>
  return (
    // biome-ignore lint/a11y/noNoninteractiveTabindex: what scrolls must be reachable by keyboard
    <section class="scroll" tabIndex={0} aria-label="Peers">
      <table>
        <thead>
          <tr>
            <th>Peer</th>
            <th>Address</th>
            <th>Has</th>
            <th>↓</th>
            <th>↑</th>
            <th>Gave us</th>
            <th>Got from us</th>
            <th>RTT</th>
          </tr>
        </thead>
        <tbody>
          {peers.map(peer => (
            <tr key={peer.peer} class={peer.connected ? '' : 'gone'}>
              <td class="mono" title={peer.peer}>
                {shortPeer(peer.peer)}
              </td>
              <td class="mono">{plainAddress(peer.address)}</td>
              <td>{pieceCount === 0 ? '–' : `${Math.floor((peer.piecesHeld / pieceCount) * 100)} %`}</td>
              <td>{peer.downloadRate > 0 ? formatRate(peer.downloadRate) : '–'}</td>
              <td>{peer.uploadRate > 0 ? formatRate(peer.uploadRate) : '–'}</td>
              <td>{formatBytes(peer.bytesDownloaded)}</td>
              <td>{formatBytes(peer.bytesUploaded)}</td>
              <td>{peer.rttMs === null ? '–' : `${peer.rttMs.toFixed(peer.rttMs < 10 ? 1 : 0)} ms`}</td>
            </tr>
          ))}
        </tbody>
      </table>
    </section>
  )
}

function Files({ files }: { files: SwarmView['files'] }) {
  return (
    <ul class="files">
      {files.slice(0, MAX_FILES_SHOWN).map(({ path, length, url }) => (
        <li key={path}>
          <a href={url} target="_blank" rel="noreferrer">
            {path}
          </a>{' '}
          <span>{formatBytes(length)}</span>
        </li>
      ))}
      {files.length > MAX_FILES_SHOWN && <li>and {files.length - MAX_FILES_SHOWN} more</li>}
    </ul>
  )
}

/** Peer ids begin alike; their ends tell them apart. */
function shortPeer(peer: string): string {
  return `…${peer.slice(-8)}`
}

/** `/ip4/10.0.0.7/tcp/4001` as `10.0.0.7:4001`; others as they are. */
function plainAddress(address: string): string {
  const parts = /^\/ip[46]\/([^/]+)\/(?:tcp|udp)\/(\d+)/.exec(address)
  return parts === null ? address : `${parts[1]}:${parts[2]}`
}
