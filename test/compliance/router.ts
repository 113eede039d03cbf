/**
 * What every router must do; run on the DHT (test/network/discovery/dht-router.test.ts) and on its twin in
 * memory.
 */

import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import type { Router } from '../../src/network/types.ts'

export interface RouterNode {
  peer: string
  addresses(): string[]
  router: Router
}

/** `createNodes` gives nodes that know of each other through at most one common third. */
export function testRouter(name: string, createNodes: (count: number) => Promise<RouterNode[]>): void {
  describe(`${name} as a router`, () => {
    it('finds who announced a root, with addresses, and nobody for a root that nobody announced', async () => {
      const [a, b, c] = await createNodes(3)
      assert.ok(a && b && c)
      const root = randomRoot()
      assert.equal(await a.router.announce(root), true)
      assert.equal(await b.router.announce(root), true)
      const found = await collect(c.router, root, 2)
      assert.deepEqual(new Set(found.keys()), new Set([a.peer, b.peer]))
      for (const node of [a, b]) {
        const addresses = found.get(node.peer) ?? []
        assert.ok(
          node.addresses().some(own => addresses.some(address => own.startsWith(address))),
          `${addresses} are not addresses of ${node.peer}`
        )
      }
      assert.equal((await collect(c.router, randomRoot(), 1)).size, 0)
    })

    it('does not find the asker itself', async () => {
      const [a, b] = await createNodes(2)
      assert.ok(a && b)
      const root = randomRoot()
      await a.router.announce(root)
      await b.router.announce(root)
      const found: string[] = []
      for await (const { peer } of a.router.find(root)) found.push(peer)
      assert.ok(!found.includes(a.peer))
    })

    it('can be left after the first result', async () => {
      const [a, b, c] = await createNodes(3)
      assert.ok(a && b && c)
      const root = randomRoot()
      await a.router.announce(root)
      await b.router.announce(root)
      let results = 0
      for await (const _ of c.router.find(root)) {
        results++
        break
      }
      assert.equal(results, 1)
    })

    it('no longer finds who withdrew, and still finds who did not', async () => {
      const [a, b, c] = await createNodes(3)
      assert.ok(a && b && c)
      const root = randomRoot()
      await a.router.announce(root)
      await b.router.announce(root)
      assert.equal((await collect(c.router, root, 2)).size, 2)
      await a.router.withdraw(root)
      let found = new Set<string>()
      // A withdrawal has no answer; it is there when a walk no longer shows it.
      for (let walk = 0; walk < 20; walk++) {
        found = new Set((await collect(c.router, root, 1)).keys())
        if (!found.has(a.peer)) break
      }
      assert.deepEqual(found, new Set([b.peer]))
    })

    it('takes a second announcement and a withdrawal of what was never announced', async () => {
      const [a] = await createNodes(2)
      assert.ok(a)
      const root = randomRoot()
      assert.equal(await a.router.announce(root), true)
      assert.equal(await a.router.announce(root), true)
      await a.router.withdraw(root)
      await a.router.withdraw(root)
      await a.router.withdraw(randomRoot())
    })

    it('stops at an abort', async () => {
      const [a] = await createNodes(2)
      assert.ok(a)
      const { router } = a
      const reason = new Error('enough')
      const root = randomRoot()
      await assert.rejects(router.announce(root, AbortSignal.abort(reason)), reason)
    })
  })
}

let roots = 0
function randomRoot(): Uint8Array {
  roots++
  return new Uint8Array(32).fill(roots)
}

/**
 * Providers found in up to some walks, until there are `count`: a DHT needs a moment to know what it was
 * told.
 */
async function collect(router: Router, root: Uint8Array, count: number): Promise<Map<string, string[]>> {
  const found = new Map<string, string[]>()
  for (let walk = 0; walk < 5 && found.size < count; walk++) {
    for await (const { peer, addresses } of router.find(root)) found.set(peer, addresses)
  }
  return found
}
