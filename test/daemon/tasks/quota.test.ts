import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { type Claimant, claimedBytes, evictionOrder, planRoom } from '../../../src/daemon/tasks/quota.ts'

const claimant = (more: Partial<Claimant['record']> = {}, readers = 0): Claimant => ({
  record: { kind: 'get', state: 'complete', length: 100, bytesDone: 40, pinned: false, lastUsedMs: 0, order: 0, ...more },
  readers
})

test('a download claims all of its content while it is active or complete, and otherwise what it has', () => {
  assert.equal(claimedBytes(claimant({ state: 'active' }).record), 100)
  assert.equal(claimedBytes(claimant().record), 100)
  assert.equal(claimedBytes(claimant({ state: 'active', length: undefined }).record), 40)
  for (const state of ['queued', 'paused', 'failed', 'cancelled'] as const)
    assert.equal(claimedBytes(claimant({ state }).record), 40)
  assert.equal(claimedBytes(claimant({ state: 'evicted' }).record), 0)
  assert.equal(claimedBytes(claimant({ kind: 'seed' }).record), 0)
})

test('the content used longest ago goes first, and none that is pinned, read, being deleted, seeded in place or not complete', () => {
  const old = claimant({ lastUsedMs: 1, order: 2 })
  const older = claimant({ lastUsedMs: 1, order: 1 })
  const fresh = claimant({ lastUsedMs: 2 })
  const kept = [
    claimant({ pinned: true }),
    claimant({}, 1),
    claimant({ removing: 'delete' }),
    claimant({ kind: 'seed' }),
    claimant({ state: 'active' })
  ]
  assert.deepEqual(evictionOrder([fresh, ...kept, old, older]), [older, old, fresh])
})

test('a content larger than the whole quota never fits, and says both sizes', () => {
  const plan = planRoom({ quotaBytes: 1000, neededBytes: 2000, otherBytes: 0, reclaimableBytes: 0 })
  assert.equal(plan.kind, 'never')
  assert.match((plan as { reason: string }).reason, /2\.00 kB never fit the disk quota of 1\.00 kB/)
})

test('room to the last byte is enough', () => {
  const facts = { quotaBytes: 100, neededBytes: 40, otherBytes: 60, reclaimableBytes: 0 }
  assert.equal(planRoom(facts).kind, 'fits')
  assert.equal(planRoom({ ...facts, otherBytes: 70, reclaimableBytes: 10 }).kind, 'evict')
  assert.equal(planRoom({ ...facts, otherBytes: 71, reclaimableBytes: 10 }).kind, 'waits')
  assert.equal(planRoom({ ...facts, neededBytes: 100, otherBytes: 0 }).kind, 'fits')
})

test('without a quota everything fits', () => {
  assert.deepEqual(planRoom({ quotaBytes: 0, neededBytes: 2 ** 50, otherBytes: 2 ** 50, reclaimableBytes: 0 }), { kind: 'fits' })
})

test('a content waits, with the reason, when too little could go for it', () => {
  const plan = planRoom({ quotaBytes: 4000, neededBytes: 2000, otherBytes: 4000, reclaimableBytes: 1000 })
  assert.equal(plan.kind, 'waits')
  assert.match((plan as { reason: string }).reason, /needs 2\.00 kB, 1\.00 kB can be had of 4\.00 kB/)
})

test('contents go exactly when there is too little room and what can go is enough', () => {
  const bytes = fc.nat(1000)
  fc.assert(
    fc.property(fc.integer({ min: 1, max: 1000 }), bytes, bytes, bytes, (quotaBytes, neededBytes, otherBytes, reclaimable) => {
      const reclaimableBytes = Math.min(reclaimable, otherBytes)
      const { kind } = planRoom({ quotaBytes, neededBytes, otherBytes, reclaimableBytes })
      const fits = otherBytes + neededBytes <= quotaBytes
      const fitsAfter = otherBytes - reclaimableBytes + neededBytes <= quotaBytes
      assert.equal(kind, neededBytes > quotaBytes ? 'never' : fits ? 'fits' : fitsAfter ? 'evict' : 'waits')
    })
  )
})
