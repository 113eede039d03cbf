import assert from 'node:assert/strict'
import { afterEach, describe, it } from 'node:test'
import type { Connection } from '@libp2p/interface'
import { multiaddr } from '@multiformats/multiaddr'
import type { Libp2p } from 'libp2p'
import { AddressWatch } from '../../../src/network/transport/address-watch.ts'
import { createStockNode } from '../stock-peer.ts'
import { until } from '../support.ts'

const nodes: Libp2p[] = []
const watches: AddressWatch[] = []
afterEach(async () => {
  for (const watch of watches.splice(0)) watch.stop()
  await Promise.all(nodes.splice(0).map(node => node.stop()))
})

/** Two connections of a node, a watch over them, and the addresses that it believes the machine to have. */
async function watched() {
  const [a, b] = await Promise.all([createStockNode('tls'), createStockNode('tls')])
  nodes.push(a, b)
  const connections: Connection[] = []
  for (let i = 0; i < 2; i++) connections.push(await a.dial(multiaddr(String(b.getMultiaddrs()[0])), { force: true }))
  const machine = { addresses: ['127.0.0.1', '192.0.2.1'] }
  const seen = { changes: 0 }
  const watch = new AddressWatch({
    connections: () => connections,
    onChange: () => seen.changes++,
    log: () => {},
    addresses: () => machine.addresses,
    intervalMs: 5
  })
  watches.push(watch)
  return { connections, machine, seen }
}

describe('when an address of the machine is gone', () => {
  it('connections that were bound to it end at once, although nothing says so on the wire', async () => {
    const { connections, machine, seen } = await watched()
    machine.addresses = ['192.0.2.1', '192.0.2.2']
    await until(() => connections.every(({ status }) => status !== 'open'), 'they ended')
    assert.equal(seen.changes, 1)
  })

  it('connections of others stay', async () => {
    const { connections, machine, seen } = await watched()
    machine.addresses = ['127.0.0.1']
    await until(() => seen.changes === 1, 'it was noticed')
    machine.addresses = ['127.0.0.1', '192.0.2.3']
    await until(() => seen.changes === 2, 'a new one was noticed')
    assert.ok(connections.every(({ status }) => status === 'open'))
  })
})
