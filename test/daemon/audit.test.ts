import assert from 'node:assert/strict'
import { mkdtemp, readFile, rm, stat } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { AuditLog } from '../../src/daemon/audit.ts'

test('the audit log rotates and keeps four files more', async t => {
  const folder = await mkdtemp(join(tmpdir(), 'swarm-access-'))
  t.after(() => rm(folder, { recursive: true }))
  const path = join(folder, 'audit.log')
  const faults: unknown[] = []
  const audit = new AuditLog(path, { onFault: err => faults.push(err), maxBytes: 1000 })
  const entry = { action: 'login', who: 'x', token: null, from: '::1', status: 200, target: null, bytes: null } as const
  for (let line = 0; line < 100; line++) audit.record(entry, line)
  audit.close()
  for (const suffix of ['', '.1', '.2', '.3', '.4']) assert.ok((await stat(path + suffix)).size <= 1000)
  await assert.rejects(stat(`${path}.5`))
  const newest = (await readFile(path, 'utf8')).trim().split('\n').at(-1) as string
  assert.equal(JSON.parse(newest).time, new Date(99).toISOString())
  assert.deepEqual(faults, [])
})
