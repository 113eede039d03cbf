import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, test } from 'node:test'
import { createNode } from '../../src/index.ts'
import { PIECE_LIST_PROTOCOL } from '../../src/wire/messages.ts'
import { createStockNode } from '../network/stock-peer.ts'

const home = await mkdtemp(join(tmpdir(), 'swarm-lists-'))
after(() => rm(home, { recursive: true, force: true }))

test('eight peers that never give the piece list cost some seconds: others are asked meanwhile', async t => {
  const options = { listen: ['/ip4/127.0.0.1/tcp/0'], mdns: false, dht: false } as const
  const seeder = await createNode({ ...options, listen: [...options.listen], stateDir: join(home, 'seeder') })
  t.after(() => seeder.stop())
  const path = join(home, 'content.bin')
  await writeFile(path, randomBytes(100_000))
  const seed = await seeder.seed(path)
  const silent = await Promise.all(Array.from({ length: 8 }, () => createStockNode('both')))
  t.after(() => Promise.all(silent.map(node => node.stop())))
  for (const node of silent) await node.handle(PIECE_LIST_PROTOCOL, () => {})
  const peers = [...silent.map(node => String(node.getMultiaddrs()[0])), String(seeder.addresses()[0])]
  const link = `swarm:${seed.root}?${peers.map(peer => `peer=${encodeURIComponent(peer)}`).join('&')}`
  const leecher = await createNode({ ...options, listen: [...options.listen], stateDir: join(home, 'leecher') })
  t.after(() => leecher.stop())
  const startMs = performance.now()
  const transfer = await leecher.get(link, { output: join(home, 'got.bin') })
  const tookMs = performance.now() - startMs
  t.diagnostic(`the list came after ${tookMs.toFixed(0)} ms`)
  assert.ok(tookMs < 12_000, `the list came after ${tookMs} ms`)
  await transfer.completed
})
