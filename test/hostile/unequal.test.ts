/**
 * Honest leechers beside slow and hostile neighbours, as processes of the built command line (`npm run
 * test:hostile` builds it). A handful of the rows of `npm run bench:unequal`, with room for busy machines:
 * what is looked for is a leecher that is starved.
 */

import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { findCli } from '../../bench/suite/contestants.ts'
import { Comparison } from '../../bench/unequal/compare.ts'
import { openLoopback } from '../../bench/unequal/grounds.ts'
import { ROWS } from '../../bench/unequal/rows.ts'

const CHOSEN = [
  'only',
  'four-slow',
  'slow-250KB',
  'never-have',
  'mute-8',
  'claims-8',
  'taking',
  'four-claims',
  'urgent',
  'keepers'
]
/** Slower than alone by less than this is the machine's doing. */
const SLACK_SECONDS = 1
const FACTOR = 2
const PATIENCE_SECONDS = 20

const comparison = new Comparison(1, { openGround: openLoopback, cli: await findCli(), patienceSeconds: PATIENCE_SECONDS })

describe('honest leechers get the file about as soon as alone', () => {
  for (const name of CHOSEN) {
    const row = ROWS.find(each => each.name === name)
    assert.ok(row, `no row ${name}`)
    it(`beside ${row.title}`, async () => {
      const { aloneSeconds, besideSeconds, faults } = await comparison.measure(row)
      assert.deepEqual(faults, [])
      const allowed = FACTOR * aloneSeconds + SLACK_SECONDS
      assert.ok(besideSeconds <= allowed, `${besideSeconds.toFixed(1)} s, alone ${aloneSeconds.toFixed(1)} s`)
    })
  }
})
