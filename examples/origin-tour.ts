/**
 * A tour of bytes from outside: three nodes share one web server, and a daemon takes a push and an appended
 * push.
 *
 * Run from a checkout: `npx node examples/origin-tour.ts`. Starts everything on loopback, prints what it saw,
 * leaves nothing behind.
 */

import { spawn } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { appendFileSync, readFileSync, writeFileSync } from 'node:fs'
import { mkdtemp, rm } from 'node:fs/promises'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { resolveDaemonOptions } from '../src/daemon/options.ts'
import { createManifestFromUrl, createNode } from '../src/index.ts'
import { startDaemon } from '../src/start-daemon.ts'

const folder = await mkdtemp(join(tmpdir(), 'swarm-tour-'))
const content = randomBytes(24 * 1024 * 1024)
let served = 0
const server = createServer((request, response) => {
  const [, from, to] = /^bytes=(\d+)-(\d*)$/.exec(request.headers.range ?? '') ?? []
  const start = Number(from ?? 0)
  const end = to === undefined || to === '' ? content.byteLength : Number(to) + 1
  const body = content.subarray(start, end)
  served += body.byteLength
  const range = from === undefined ? {} : { 'content-range': `bytes ${start}-${end - 1}/${content.byteLength}` }
  response.writeHead(from === undefined ? 200 : 206, { 'content-length': body.byteLength, etag: '"tour"', ...range }).end(body)
})
await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve))
const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/model.bin`
const node = (name: string, bootstrap: string[] = []) =>
  createNode({ stateDir: join(folder, name), listen: ['/ip4/127.0.0.1/tcp/0'], mdns: false, bootstrap })

try {
  console.log(`1. A manifest of ${url}, made while it streams past`)
  const manifest = await createManifestFromUrl(url)
  console.log(`   root ${manifest.root}`)

  console.log('2. Three nodes that have nothing get it at once')
  served = 0
  const first = await node('a')
  const nodes = [first, await node('b', first.addresses().slice(0, 1)), await node('c', first.addresses().slice(0, 1))]
  const transfers = await Promise.all(nodes.map((each, index) => each.get(manifest, { output: join(folder, `copy-${index}`) })))
  await Promise.all(transfers.map(({ completed }) => completed))
  for (const [index, transfer] of transfers.entries()) {
    const { origin, bytesTotal } = transfer.snapshot()
    console.log(
      `   node ${index + 1} took ${Math.round((100 * (origin?.bytes ?? 0)) / bytesTotal)} % from the server, the rest from peers`
    )
  }
  console.log(`   the server sent ${(served / content.byteLength).toFixed(2)} copies for ${nodes.length} nodes`)
  for (const each of nodes) await each.stop()

  console.log('3. A daemon takes a push; the file grows; only its end is sent')
  const daemon = await startDaemon(
    resolveDaemonOptions({
      flags: {
        http: '127.0.0.1:0',
        'state-dir': join(folder, 'daemon'),
        'complete-dir': join(folder, 'complete'),
        'incomplete-dir': join(folder, 'incomplete'),
        listen: ['/ip4/127.0.0.1/tcp/0'],
        'no-mdns': true,
        'log-level': 'silent'
      }
    })
  )
  try {
    const file = join(folder, 'log.bin')
    writeFileSync(file, content)
    for (const what of ['the file', 'the file again', 'the file, one MiB longer']) {
      if (what.endsWith('longer')) appendFileSync(file, randomBytes(1024 * 1024))
      console.log(`   push ${what}: ${await push(file, daemon.url)}`)
    }
  } finally {
    await daemon.stop()
  }
} finally {
  server.closeAllConnections()
  server.close()
  await rm(folder, { recursive: true, force: true })
}

/** The line of `swarm push` that says what travelled. */
async function push(file: string, to: string): Promise<string> {
  const main = fileURLToPath(new URL('../src/cli/main.ts', import.meta.url))
  const child = spawn(process.execPath, [main, 'push', file, '--to', to, '--state-dir', join(folder, 'cli')], {
    stdio: ['ignore', 'pipe', 'inherit'],
    env: { ...process.env, SWARM_TOKEN: readFileSync(join(folder, 'daemon', 'token'), 'utf8').trim() }
  })
  let text = ''
  for await (const chunk of child.stdout) text += chunk
  return /^sent\s+(.*)$/m.exec(text)?.[1] ?? text
}
