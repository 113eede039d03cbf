/**
 * One download writes to an output at a time.
 */

import assert from 'node:assert/strict'
import fs from 'node:fs/promises'
import { join } from 'node:path'
import { it } from 'node:test'
import { StoreError } from '../../src/errors.ts'
import { fileContent, PIECE } from './fixtures.ts'
import { open, somewhere } from './outputs.ts'

it('a second download to the same output is refused while the first lives, whatever its state folder', async t => {
  const content = fileContent(3 * PIECE)
  const at = await somewhere(t)
  const first = await open(content, at)
  await assert.rejects(
    open(content, { ...at, stateDir: join(at.stateDir, 'other') }),
    (err: unknown) => err instanceof StoreError && err.message.includes(`process ${process.pid} is downloading`)
  )
  await first.close()
  await (await open(content, at)).close()
})

it('locks of dead processes, of earlier boots, of silent other hosts, and torn ones are taken over', async t => {
  const content = fileContent(3 * PIECE)
  const at = await somewhere(t)
  await (await open(content, at)).close()
  const { hostname } = await import('node:os')
  const boot = (await fs.readFile('/proc/sys/kernel/random/boot_id', 'utf8').catch(() => '')).trim()
  const own = { pid: process.pid, started: '1', boot, host: hostname(), token: 'x' }
  const stale = [
    JSON.stringify(own),
    JSON.stringify({ ...own, pid: 2 ** 22 + 1 }),
    JSON.stringify({ ...own, boot: 'before' }),
    JSON.stringify({ ...own, host: 'elsewhere' }),
    '{"pid":',
    ''
  ]
  const long = new Date(Date.now() - 3_600_000)
  for (const text of stale) {
    await fs.writeFile(`${at.part}.lock`, text)
    await fs.utimes(`${at.part}.lock`, long, long)
    await (await open(content, at)).close()
  }
  await fs.writeFile(`${at.part}.lock`, JSON.stringify({ ...own, host: 'elsewhere' }))
  await assert.rejects(open(content, at), (err: unknown) => err instanceof StoreError && err.message.includes('elsewhere'))
  await fs.rm(`${at.part}.lock`)
})

it('of many that find a stale lock at once, exactly one gets the output', async t => {
  const content = fileContent(3 * PIECE)
  const at = await somewhere(t)
  await (await open(content, at)).close()
  await fs.writeFile(`${at.part}.lock`, JSON.stringify({ pid: 2 ** 22 + 1, started: '', boot: '', host: '', token: '' }))
  const long = new Date(Date.now() - 3_600_000)
  await fs.utimes(`${at.part}.lock`, long, long)
  const settled = await Promise.allSettled(Array.from({ length: 8 }, () => open(content, at)))
  const opened = settled.filter(result => result.status === 'fulfilled')
  assert.equal(opened.length, 1)
  for (const result of opened) await result.value.close()
})
