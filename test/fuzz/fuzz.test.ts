import assert from 'node:assert/strict'
import { test } from 'node:test'
import { fuzz } from './fuzzer.ts'

test('hostile bytes make every parser refuse with its own error, or read something that writes back to the same', t => {
  const seed = Math.floor(Math.random() * 2 ** 32)
  t.diagnostic(`seed ${seed}; repeat with: npm run fuzz -- --seed ${seed}`)
  const report = fuzz(seed, cases => cases >= 20_000)
  for (const name of Object.keys(report.accepted)) {
    assert.ok((report.accepted[name] as number) > 0, `nothing reached the end of ${name}`)
    assert.ok((report.refused[name] as number) > 0, `nothing was refused by ${name}`)
  }
})
