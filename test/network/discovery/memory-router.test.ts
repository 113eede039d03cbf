import assert from 'node:assert/strict'
import { it } from 'node:test'
import { MemoryDirectory, MemoryRouter } from '../../../src/network/discovery/memory-router.ts'
import { type RouterNode, testRouter } from '../../compliance/router.ts'

function nodesOf(directory: MemoryDirectory, count: number): RouterNode[] {
  return Array.from({ length: count }, (_, i) => {
    const addresses = () => [`/ip4/127.0.0.1/tcp/${1000 + i}`]
    return { peer: `peer-${i}`, addresses, router: new MemoryRouter(directory, `peer-${i}`, addresses) }
  })
}

testRouter('memory', async count => nodesOf(new MemoryDirectory(), count))

it('a peer that withdrew is not found in the memory router any more', async () => {
  const [a, b] = nodesOf(new MemoryDirectory(), 2)
  assert.ok(a && b)
  const root = new Uint8Array(32)
  await a.router.announce(root)
  await a.router.withdraw(root)
  for await (const { peer } of b.router.find(root)) assert.fail(`${peer} was found`)
})
