/**
 * What other users of the machine can learn from a daemon: nothing from its files, and no signature from what
 * it says.
 */

import assert from 'node:assert/strict'
import { chmod, mkdir, readdir, stat, writeFile } from 'node:fs/promises'
import { createServer } from 'node:http'
import { join } from 'node:path'
import { after, before, describe, test } from 'node:test'
import { raw, swarm, World } from '../daemon/fixture.ts'

const SIGNATURE = 'f00dfacef00dface'
const JSON_TYPE = { 'content-type': 'application/json' }

describe('other users of the machine', () => {
  let world: World
  before(async () => {
    world = await World.open()
  })
  after(() => world.close())

  async function openToOthers(folder: string): Promise<string[]> {
    const found: string[] = []
    for (const name of ['.', ...(await readdir(folder, { recursive: true }))]) {
      const { mode } = await stat(join(folder, name))
      if ((mode & 0o077) !== 0) found.push(`${name} ${(mode & 0o777).toString(8)}`)
    }
    return found
  }

  test('can read nothing in the state folder, also of what an earlier run left open', async () => {
    const state = join(world.folder, 'closed', 'state')
    await mkdir(join(state, 'transfers'), { recursive: true })
    await writeFile(join(state, 'transfers', 'old'), 'x')
    await writeFile(join(state, 'hashes.old'), 'x')
    for (const path of [state, join(state, 'transfers')]) await chmod(path, 0o755)
    for (const path of [join(state, 'transfers', 'old'), join(state, 'hashes.old')]) await chmod(path, 0o644)
    const before = process.umask(0)
    try {
      const { client } = await world.daemon('closed')
      await client.addTask({ seed: await world.file('a.bin', 100_000) })
    } finally {
      process.umask(before)
    }
    assert.deepEqual(await openToOthers(state), [])
  })

  test('can read no file that a daemon process writes', async () => {
    const { client, folder } = await world.process('masked')
    const seeder = await world.daemon('masked-seeder')
    const { link } = await seeder.client.addTask({ seed: await world.file('b.bin', 100_000) })
    const { id } = await client.addTask({ source: link as string })
    for await (const task of client.follow(id)) if (task.state === 'complete') break
    assert.deepEqual(await openToOthers(join(folder, 'state')), [])
    const { mode } = await stat(join(folder, 'complete', 'b.bin'))
    assert.equal(mode & 0o007, 0, 'content is for the group at most')
  })

  test('find no signature of a presigned URL in links, manifests, errors and logs', async () => {
    const server = createServer((_request, reply) => reply.writeHead(404).end())
    await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve))
    world.defer(async () => server.close())
    const { port } = server.address() as { port: number }
    const signed = `http://127.0.0.1:${port}/bucket/a?X-Amz-Signature=${SIGNATURE}`
    const { url, client, log } = await world.process('signed', { 'allow-private-urls': true, 'log-level': 'debug' })
    const post = (body: object) => raw(`${url}/v1/tasks`, { method: 'POST', headers: JSON_TYPE, body: JSON.stringify(body) })
    const path = await world.file('c.bin', 100_000)
    const shared = await client.addTask({ seed: path })
    const manifest = JSON.parse(await client.manifest(shared.id)) as Record<string, unknown>
    await client.deleteTask(shared.id, false)
    const task = await client.addTask({ manifest: { ...manifest, origins: [signed] } })
    const link = await client.addTask({ source: `swarm:${'ab'.repeat(32)}?origin=${encodeURIComponent(signed)}` })
    for await (const state of client.follow(task.id)) if (state.state === 'failed') break
    const said = [
      JSON.stringify(await client.tasks()),
      await client.manifest(task.id),
      JSON.stringify(await client.task(link.id)),
      (await post({ source: signed })).body.toString(),
      (await post({ source: `http://[/?${SIGNATURE}` })).body.toString(),
      (await raw(`${url}/v1/nothing?signature=${SIGNATURE}`)).body.toString(),
      (await swarm(['info', signed])).stderr,
      log()
    ]
    for (const [index, text] of said.entries()) assert.ok(!text.includes(SIGNATURE), `${index}: ${text}`)
    assert.match(said[3] as string, /404/)
  })
})
