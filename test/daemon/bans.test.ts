/** What a daemon says of peers that it bans. */

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { Bans } from '../../src/daemon/bans.ts'

test('bans are counted by reason, and each is in the log', () => {
  const lines: object[] = []
  const bans = new Bans(facts => lines.push(facts))
  for (const reason of ['piece 7 is corrupt', 'no piece 9', 'a second bitfield'])
    bans.record({ peer: 'p', event: 'banned', reason }, 'r')
  bans.record({ peer: 'p', event: 'left' }, 'r')
  assert.deepEqual(bans.counts, { corrupt: 1, protocol: 2 })
  assert.deepEqual(lines[0], { peer: 'p', root: 'r', reason: 'piece 7 is corrupt' })
  assert.equal(lines.length, 3)
})
