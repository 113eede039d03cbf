/** Origins as operators meet them: URLs that expire half way, keepers that die. Real processes. */

import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { after, before, describe, it } from 'node:test'
import type { Task } from '../../../src/api/schema/tasks.ts'
import { SwarmProcess } from '../../integration/processes.ts'
import { type OriginServer, startOrigin } from '../../origin/origin-server.ts'
import { eventually, swarm, until, untilComplete, World } from '../fixture.ts'

const MIB = 1024 * 1024
const content = randomBytes(8 * MIB)

describe('an origin', { timeout: 600_000 }, () => {
  let world: World
  let manifest: string
  before(async () => {
    world = await World.open()
    const file = join(world.folder, 'file.bin')
    await writeFile(file, content)
    manifest = join(world.folder, 'file.swarm')
    const { code, stderr } = await swarm(['create', file, '-o', manifest, '--state-dir', join(world.folder, 'create')])
    assert.equal(code, 0, stderr)
  })
  after(() => world.close())

  /**
   * Gives half of the content to the URL signed `old`, all of it to that signed `new`, and cuts long answers,
   * so that it is asked again.
   */
  const startExpiring = (): Promise<OriginServer> =>
    startOrigin(content, {
      cutAfter: MIB,
      answer: (request, response, served) => {
        if (request.url?.includes('sig=new') === true || served < content.byteLength / 2) return false
        response.writeHead(403).end('<Error><Message>Request has expired</Message></Error>')
        return true
      }
    })
  const isWhole = async (path: string): Promise<void> => assert.ok((await readFile(path)).equals(content))

  for (const through of ['a node of its own', 'a daemon'] as const) {
    it(`whose URL expires goes on with what --origin-command says, by ${through}`, async () => {
      await using origin = await startExpiring()
      const name = through.replaceAll(' ', '-')
      const output = join(world.folder, `${name}.bin`)
      const asked = join(world.folder, `${name}.asked`)
      const own = ['--no-daemon', '--no-mdns', '--no-dht', '--listen', '/ip4/127.0.0.1/tcp/0', '--no-linger']
      const state = join(world.folder, name, 'state')
      if (through === 'a daemon') await world.process(name)
      const { code, stdout, stderr } = await swarm([
        'get',
        manifest,
        ...['--origin', `${origin.url}?sig=old`],
        ...['--origin-command', `echo "$SWARM_ORIGIN_URL $SWARM_ORIGIN_FAULT" >> '${asked}'; echo '${origin.url}?sig=new'`],
        ...['--origin-connections', '1', '-o', output, '--json', '--state-dir', state],
        ...(through === 'a daemon' ? [] : own)
      ])
      assert.equal(code, 0, stdout + stderr)
      assert.match(await readFile(asked, 'utf8'), /file\.bin.*403 \(Request has expired\)/)
      await isWhole(output)
      // Each cut costs what of a piece was on its way, the more the slower we read; to begin again would be
      // half as much again.
      assert.ok(origin.served < content.byteLength * 1.4, `${origin.served} bytes were sent`)
    })
  }

  it('is asked no faster, and by no more connections, than get through a daemon was told', async () => {
    let open = 0
    let most = 0
    await using origin = await startOrigin(content, {
      answer: (_request, response) => {
        most = Math.max(most, ++open)
        response.on('close', () => open--)
        return false
      }
    })
    await world.process('limited')
    const startedMs = performance.now()
    const output = join(world.folder, 'limited.bin')
    const { code, stdout } = await swarm([
      ...['get', manifest, '--origin', origin.url, '--origin-limit', '4MB', '--origin-connections', '2'],
      ...['-o', output, '--json', '--state-dir', join(world.folder, 'limited', 'state')]
    ])
    assert.equal(code, 0, stdout)
    await isWhole(output)
    assert.ok(performance.now() - startedMs > 0.9 * (content.byteLength / 4000))
    assert.ok(most <= 2, `${most} requests at once`)
  })

  it('whose URL expired is exchanged by PATCH of the task, which goes on from what is there', async () => {
    await using origin = await startExpiring()
    const { client, url, folder } = await world.process('patched', { 'allow-private-urls': true })
    const call = async (method: string, path: string, body: unknown): Promise<Task> => {
      const headers = { 'content-type': 'application/json' }
      const answer = await fetch(url + path, { method, headers, body: JSON.stringify(body) })
      assert.ok(answer.ok, `${answer.status}`)
      return (await answer.json()) as Task
    }
    const parsed = JSON.parse(await readFile(manifest, 'utf8')) as object
    const added = await call('POST', '/v1/tasks', { manifest: parsed, origins: [`${origin.url}?sig=old`] })
    const failed = await until(client, added.id, ({ state }) => state === 'failed')
    assert.equal(failed.error?.code, 'origin_failed')
    assert.equal(failed.error?.details.fault, 'refused')
    assert.ok(!JSON.stringify(failed).includes('sig='), 'the signature is not shown')
    assert.ok(failed.bytesDone > 0)
    const served = origin.served
    await call('PATCH', `/v1/tasks/${added.id}`, { origins: [`${origin.url}?sig=new`] })
    await untilComplete(client, added.id)
    await isWhole(join(folder, 'complete', 'file.bin'))
    assert.ok(origin.served - served <= content.byteLength - failed.bytesDone + 2 * MIB, 'what was there came again')
  })

  it('is taken over when the keeper of a piece is killed', async () => {
    await using origin = await startOrigin(content, { bytesPerSecond: MIB })
    const nodes: SwarmProcess[] = []
    const start = (bootstrap: string[]): SwarmProcess => {
      const index = nodes.length
      const node = new SwarmProcess([
        ...['get', manifest, '--origin', origin.url, '-o', join(world.folder, `taken-${index}.bin`), '--seed', '--no-daemon'],
        ...['--state-dir', join(world.folder, `taken-${index}`), '--no-mdns', '--listen', '/ip4/127.0.0.1/tcp/0'],
        ...bootstrap.flatMap(address => ['--peer', address, '--bootstrap', address])
      ])
      nodes.push(node)
      world.defer(() => node.kill())
      return node
    }
    // A meeting point that has no origin and nothing to give.
    const meeting = await world.daemon('meeting', { 'no-dht': false })
    const { addresses } = await meeting.client.probe()
    const known = addresses.slice(0, 1)
    for (let i = 0; i < 3; i++) start(known)
    await Promise.all(nodes.map(node => node.event('joined')))
    // The node that has fetched most is in the middle of its pieces.
    await eventually(() => origin.served > 2 * MIB, 'the origin gives')
    const [killed, ...others] = nodes
      .map(node => ({ node, bytes: node.latest('bytesFromOrigin') }))
      .sort((a, b) => b.bytes - a.bytes)
      .map(({ node }) => node)
    await killed?.kill('SIGKILL')
    for (const node of others) await node.event('complete')
    for (const [index, node] of nodes.entries()) if (node !== killed) await isWhole(join(world.folder, `taken-${index}.bin`))
    // What the dead one had and nobody else comes again, and not more.
    assert.ok(origin.served < 2 * content.byteLength, `${origin.served / content.byteLength} copies`)
  })
})
