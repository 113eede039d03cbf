import assert from 'node:assert/strict'
import { afterEach, describe, it } from 'node:test'
import type { Connection } from '@libp2p/interface'
import { PING_PROTOCOL } from '@libp2p/ping'
import type { Libp2p } from 'libp2p'
import { Heartbeat, type HeartbeatInit } from '../../../src/network/transport/heartbeat.ts'
import { createStockNode } from '../stock-peer.ts'
import { until } from '../support.ts'

const stops: (() => unknown)[] = []
afterEach(async () => {
  for (const stop of stops.splice(0).reverse()) await stop()
})

/** A connection between two stock nodes. */
async function connected(): Promise<{ connection: Connection; remote: Libp2p }> {
  const [local, remote] = await Promise.all([createStockNode('tls'), createStockNode('tls')])
  stops.push(
    () => local.stop(),
    () => remote.stop()
  )
  return { connection: await local.dial(remote.getMultiaddrs()), remote }
}

function beat(
  connection: Connection,
  heardMs: HeartbeatInit['heardMs'],
  timeoutMs = 60_000,
  others: Connection[] = []
): string[] {
  const lines: string[] = []
  const heartbeat = new Heartbeat({
    connections: () => [connection, ...others].filter(({ status }) => status === 'open'),
    heardMs,
    log: line => lines.push(line),
    intervalMs: 60,
    timeoutMs
  })
  stops.push(() => heartbeat.stop())
  return lines
}

describe('the heartbeat', () => {
  it('asks nothing on a connection on which things come', async () => {
    const { connection } = await connected()
    const { connection: quiet } = await connected()
    let looks = 0
    const heardMs = (of: Connection) => {
      if (of === quiet) return undefined
      looks++
      return performance.now()
    }
    beat(connection, heardMs, 60_000, [quiet])
    const trips = new Set<number>()
    await until(() => {
      if (quiet.rtt !== undefined) trips.add(quiet.rtt)
      return trips.size >= 3 && looks > 3
    }, 'the other one was asked three times')
    assert.equal(connection.rtt, undefined)
  })

  it('asks on a quiet one again and again, and leaves it when it answers', async () => {
    const { connection } = await connected()
    beat(connection, () => undefined)
    const trips = new Set<number>()
    await until(() => {
      if (connection.rtt !== undefined) trips.add(connection.rtt)
      return trips.size >= 3
    }, 'three answers came')
    assert.equal(connection.status, 'open')
  })

  it('asks on those without a peer stream one after the other, each in its turn, a few in an interval however many there are', async () => {
    const asked: number[] = []
    const connections = Array.from({ length: 12 }, (_, index) => ({
      status: 'open',
      newStream: () => {
        asked.push(index)
        return Promise.reject(Object.assign(new Error('no ping here'), { name: 'UnsupportedProtocolError' }))
      }
    })) as unknown as Connection[]
    const startMs = performance.now()
    const heartbeat = new Heartbeat({
      connections: () => connections,
      heardMs: () => undefined,
      log: () => {},
      intervalMs: 60,
      timeoutMs: 60_000
    })
    stops.push(() => heartbeat.stop())
    await until(() => asked.length >= 24, 'each was asked twice')
    // Four in an interval of 60 ms: 23 pauses of 15.
    assert.ok(performance.now() - startMs >= 23 * 15, `${performance.now() - startMs} ms`)
    assert.equal(new Set(asked.slice(0, 12)).size, 12, `${asked}`)
  })

  it('never asks on one that somebody else watches', async () => {
    const { connection } = await connected()
    const { connection: watched } = await connected()
    let looks = 0
    const heardMs = (of: Connection) => {
      if (of !== watched) return undefined
      looks++
      return Number.POSITIVE_INFINITY
    }
    beat(connection, heardMs, 60_000, [watched])
    const trips = new Set<number>()
    await until(() => {
      if (connection.rtt !== undefined) trips.add(connection.rtt)
      return trips.size >= 3 && looks > 0
    }, 'the other one was asked three times')
    assert.equal(watched.rtt, undefined)
  })

  it('ends one whose other end does not answer', async () => {
    const { connection, remote } = await connected()
    await remote.unhandle(PING_PROTOCOL)
    await remote.handle(PING_PROTOCOL, () => {})
    const lines = beat(connection, () => undefined, 50)
    await until(() => connection.status !== 'open', 'the connection is ended')
    assert.match(lines[0] ?? '', /no answer/)
  })

  it('takes a refusal of the protocol for a sign of life', async () => {
    const { connection, remote } = await connected()
    await remote.unhandle(PING_PROTOCOL)
    beat(connection, () => undefined)
    await until(() => connection.rtt !== undefined, 'the round trip is known')
    assert.equal(connection.status, 'open')
  })
})
