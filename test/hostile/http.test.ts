/**
 * Clients that want a daemon's HTTP for themselves: idle connections, readers that never read, headers and
 * bodies made to be slow. The victim is a process of its own, with honest clients beside the attackers.
 */

import assert from 'node:assert/strict'
import { once } from 'node:events'
import { readFile, truncate } from 'node:fs/promises'
import { connect, type Socket } from 'node:net'
import { after, before, describe, test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { chooseRanges } from '../../src/fronts/files/ranges.ts'
import { CONTENDED_STALL_MS, ReaderGate, type ReaderRequest, TURN_MS, type Turn } from '../../src/fronts/files/reader-gate.ts'
import { addressGroup } from '../../src/http/address-group.ts'
import { STALL_MS } from '../../src/http/bounds.ts'
import { type DaemonProcess, eventually, raw, World } from '../daemon/fixture.ts'

const MIB = 1024 * 1024

async function open(url: string, count: number, text: string, localAddress = '127.0.0.1'): Promise<Socket[]> {
  const { hostname: host, port } = new URL(url)
  const sockets = Array.from({ length: count }, () => connect({ host, port: Number(port), localAddress }))
  for (const socket of sockets) socket.on('error', () => {}).pause()
  await Promise.all(sockets.map(socket => Promise.race([once(socket, 'connect'), once(socket, 'close')])))
  for (const socket of sockets) if (text !== '') socket.write(text)
  return sockets
}

async function rssBytes(pid: number | undefined): Promise<number> {
  const status = await readFile(`/proc/${pid}/status`, 'utf8')
  return Number(/^VmRSS:\s+(\d+) kB/m.exec(status)?.[1]) * 1024
}

async function timed<T>(work: Promise<T>): Promise<{ ms: number; result: T }> {
  const startedMs = performance.now()
  const result = await work
  return { ms: performance.now() - startedMs, result }
}

async function metric(daemon: DaemonProcess, line: string): Promise<number> {
  const text = (await raw(`${daemon.url}/metrics`)).body.toString()
  return Number(
    text
      .split('\n')
      .find(each => each.startsWith(`${line} `))
      ?.slice(line.length + 1) ?? Number.NaN
  )
}

describe('the victim of hostile HTTP clients', { timeout: 300_000 }, () => {
  let world: World
  let daemon: DaemonProcess
  let sockets: Socket[] = []
  before(async () => {
    world = await World.open()
    daemon = await world.process('victim')
  })
  after(async () => {
    for (const socket of sockets) socket.destroy()
    await world.close()
  })

  test('answers health and honest requests while one address holds 600 idle connections, and ends them after 5 s', async t => {
    sockets = await open(daemon.url, 600, '')
    const startedMs = performance.now()
    let slowest = 0
    for (let ask = 0; ask < 20; ask++) {
      for (const path of ['/healthz', '/v1/tasks']) {
        const { ms, result } = await timed(raw(daemon.url + path))
        assert.equal(result.status, 200)
        slowest = Math.max(slowest, ms)
      }
    }
    assert.ok(slowest < 1000, `${slowest} ms`)
    await Promise.all(sockets.map(socket => (socket.destroyed ? undefined : once(socket.resume(), 'close'))))
    const tookMs = performance.now() - startedMs
    t.diagnostic(`slowest answer ${slowest.toFixed(0)} ms, all idle connections ended after ${(tookMs / 1000).toFixed(1)} s`)
    assert.ok(tookMs < 15_000, `${tookMs} ms`)
    assert.ok((await metric(daemon, 'swarm_refusals_total{kind="connection_displaced"}')) >= 80)
    assert.ok((await metric(daemon, 'swarm_refusals_total{kind="first_byte_late"}')) > 0)
    assert.match(daemon.log(), /"refused":"connection_displaced".*127\.0\.0\.1/)
  })

  test('answers health when all connections are at work, and ends nobody who is', async () => {
    const small = await world.process('small', { 'max-connections': '20' })
    const task = await small.client.addTask({ source: `swarm:${'ab'.repeat(32)}` })
    sockets = await open(small.url, 20, `GET /v1/tasks/${task.id}/events HTTP/1.1\r\nHost: localhost\r\n\r\n`)
    await Promise.all(sockets.map(socket => once(socket, 'readable')))
    assert.equal((await raw(`${small.url}/healthz`)).status, 200)
    assert.equal((await raw(`${small.url}/readyz`)).status, 200)
    const refused = await raw(`${small.url}/v1/tasks`)
    assert.deepEqual([refused.status, refused.headers.connection], [503, 'close'])
    assert.ok(sockets.every(socket => !socket.destroyed))
    for (const socket of sockets) socket.destroy()
    await eventually(async () => (await raw(`${small.url}/v1/tasks`)).status === 200, 'there are places again')
  })

  test('does not stand still for a manifest of 1,000,000 files in a body, and says how to give it', async t => {
    const rows = Array.from({ length: 1_000_000 }, (_, file) => `{"path":"f${file}","length":0}`)
    const manifest = (count: number): string =>
      `{"manifest":{"swarm":1,"hash":"blake3","name":"x","root":"${'0'.repeat(64)}","length":0,"pieceLength":262144,"pieces":[],"files":[${rows.slice(0, count).join()}]}}`
    const headers = { 'content-type': 'application/json' }
    /** The longest that the daemon's loop stood still since this was asked for last. */
    const stallMs = async (): Promise<number> => 1000 * (await metric(daemon, 'nodejs_eventloop_lag_max_seconds'))
    const post = async (body: string): Promise<{ ms: number; status: number; message: string }> => {
      await stallMs()
      const reply = await fetch(`${daemon.url}/v1/tasks`, { method: 'POST', headers, body }).then(
        async answer => ({ status: answer.status, message: ((await answer.json()) as { message: string }).message }),
        // Refused before all of it had gone.
        () => ({ status: 413, message: 'cut off' })
      )
      return { ms: await stallMs(), ...reply }
    }
    // What the code needs at its first run is no part of it.
    await post(manifest(5000))
    const told: string[] = []
    for (const [count, status] of [
      [1_000_000, 413],
      [20_000, 413],
      [10_000, 422]
    ] as const) {
      const reply = await post(manifest(count))
      assert.equal(reply.status, status, reply.message)
      told.push(`${count} files ${reply.status}, ${reply.ms.toFixed(0)} ms`)
      assert.ok(reply.ms < 200, told.join('; '))
    }
    const large = await raw(`${daemon.url}/v1/tasks`, {
      method: 'POST',
      headers: { ...headers, 'content-length': '20000000' }
    }).catch(() => undefined)
    assert.match(large?.body.toString() ?? '', /by its link or URL/)
    t.diagnostic(`the loop stood still at most: ${told.join('; ')}`)
  })

  test('holds at most 64 MiB for 540 readers that never read, serves one from elsewhere, and ends them', async t => {
    const roomy = await world.process('roomy', { 'max-connections': '700' })
    const path = await world.file('large.bin', 0)
    await truncate(path, 256 * MIB)
    const task = await roomy.client.addTask({ seed: path })
    const before = await rssBytes(roomy.child.pid)
    sockets = await open(roomy.url, 540, `GET ${task.url} HTTP/1.1\r\nHost: localhost\r\n\r\n`, '127.0.0.2')
    let most = 0
    const honest: number[] = []
    for (let ask = 0; ask < 3; ask++) {
      const { ms, result } = await timed(raw(roomy.url + task.url, { headers: { range: 'bytes=1000000-1099999' } }))
      assert.deepEqual([result.status, result.body.byteLength], [206, 100_000])
      assert.ok(ms < 6000, `an honest reader waited ${ms} ms`)
      honest.push(ms)
      most = Math.max(most, await rssBytes(roomy.child.pid))
    }
    assert.equal((await raw(`${roomy.url}/healthz`)).status, 200)
    await eventually(async () => {
      most = Math.max(most, await rssBytes(roomy.child.pid))
      return (await metric(roomy, 'swarm_refusals_total{kind="reader_stalled"}')) >= 100
    }, 'those that hold buffers are ended')
    const told = `RSS ${(before / MIB).toFixed(0)} MiB before, ${(most / MIB).toFixed(0)} at most; honest reader ${honest.map(ms => `${(ms / 1000).toFixed(1)} s`).join(', ')}`
    t.diagnostic(told)
    assert.ok(most < before + 200e6 + 64 * MIB, told)
  })
})

describe('readers of the gateway', () => {
  let nowMs = 0
  const stalled: string[] = []
  const gateOf = (budgetBytes: number): ReaderGate =>
    new ReaderGate({ budgetBytes, onStalled: address => stalled.push(address), nowMs: () => nowMs })
  const reader = (group: string, bytes = 10): ReaderRequest & { leave: AbortController; dropped: () => boolean } => {
    const leave = new AbortController()
    let dropped = false
    const drop = (): void => {
      dropped = true
    }
    return { bytes, group, address: group, drop, signal: leave.signal, leave, dropped: () => dropped }
  }
  const state = async (turn: Promise<Turn>): Promise<string> => Promise.race([turn.then(() => 'has its turn'), sleep(1, 'waits')])

  test('wait when the budget is held, and the address with fewer turns goes first', async () => {
    const gate = gateOf(20)
    const turns = [await gate.take(reader('a')), await gate.take(reader('a'))]
    const [third, other] = [gate.take(reader('a')), gate.take(reader('b'))]
    assert.deepEqual([await state(third), await state(other)], ['waits', 'waits'])
    turns[0]?.end()
    assert.deepEqual([await state(third), await state(other)], ['waits', 'has its turn'])
    turns[1]?.end()
    assert.equal(await state(third), 'has its turn')
    assert.equal(gate.heldBytes, 20)
    for (const turn of [await third, await other]) turn.end()
    assert.equal(gate.heldBytes, 0)
  })

  test('that need more than the whole budget go alone', async () => {
    const gate = gateOf(20)
    const large = await gate.take(reader('a', 50))
    const small = gate.take(reader('b'))
    assert.equal(await state(small), 'waits')
    large.end()
    assert.equal(await state(small), 'has its turn')
    ;(await small).end()
  })

  test('are over with their turn when others wait, also while they wait for pieces', async () => {
    const gate = gateOf(10)
    const first = await gate.take(reader('a'))
    nowMs += TURN_MS
    gate.tick()
    assert.deepEqual([first.isOver, first.signal.aborted], [false, false])
    const second = gate.take(reader('b'))
    gate.tick()
    assert.deepEqual([first.isOver, first.signal.aborted], [true, true])
    first.end()
    ;(await second).end()
  })

  test('are ended when they take nothing for 30 s, or for 2 s while others wait', async () => {
    const gate = gateOf(10)
    const patient = reader('a')
    const first = await gate.take(patient)
    first.writing()
    nowMs += STALL_MS - 1
    gate.tick()
    assert.equal(patient.dropped(), false)
    first.taken()
    first.writing()
    nowMs += CONTENDED_STALL_MS - 1
    const second = gate.take(reader('b'))
    gate.tick()
    assert.equal(patient.dropped(), false)
    nowMs += 1
    gate.tick()
    assert.equal(patient.dropped(), true)
    const alone = await second
    alone.writing()
    nowMs += STALL_MS
    gate.tick()
    assert.deepEqual(stalled.splice(0), ['a', 'b'])
    assert.equal(gate.heldBytes, 0)
  })

  test('that leave while they wait are forgotten', async () => {
    const gate = gateOf(10)
    const first = await gate.take(reader('a'))
    const leaving = reader('b')
    const second = gate.take(leaving)
    leaving.leave.abort(new Error('left'))
    await assert.rejects(second, /left/)
    first.end()
    assert.deepEqual([gate.hasWaiting, gate.heldBytes], [false, 0])
  })
})

test('an address stands for itself, or for its /64', () => {
  assert.equal(addressGroup('192.0.2.1'), '192.0.2.1')
  assert.equal(addressGroup('::ffff:192.0.2.1'), '192.0.2.1')
  assert.equal(addressGroup('2001:db8:1:2:3:4:5:6'), addressGroup('2001:db8:1:2::1'))
  assert.notEqual(addressGroup('2001:db8:1:2::1'), addressGroup('2001:db8:1:3::1'))
  assert.equal(addressGroup('::1'), '0:0:0:0::/64')
  assert.equal(addressGroup(undefined), 'local')
})

test('a Range header costs no more than it is long, whatever it holds', () => {
  const shapes = ['0-#x', '#-5', '-#5', '0 -# -', '1-2,#', '#'.repeat(2), '0-9#9x', ',#,']
  for (const filler of [' ', '\t', '0', '-', ',', '0-', ' \t']) {
    for (const shape of shapes) {
      for (const length of [16_000, 4000]) {
        const holes = shape.split('#').length - 1
        const text = `bytes=${shape.replaceAll('#', filler.repeat(length / filler.length / holes))}`
        // The best of three: the machine may be busy with something else.
        const ms = [1, 2, 3].map(() => {
          const startedMs = performance.now()
          chooseRanges(text, 1000)
          return performance.now() - startedMs
        })
        assert.ok(Math.min(...ms) < 50, `${shape} with ${JSON.stringify(filler)}`)
      }
    }
  }
  assert.equal(chooseRanges(`bytes=0-${' '.repeat(4090)}`, 1000).kind, 'unsatisfiable')
  assert.deepEqual(chooseRanges('bytes= 1 - 2 ,\t-3', 1000), {
    kind: 'ranges',
    ranges: [
      { start: 1, end: 3 },
      { start: 997, end: 1000 }
    ]
  })
})
