/**
 * Attackers as processes of their own against a real node, from another address than an honest one that
 * downloads beside them. Each test says what the victim used meanwhile.
 */

import assert from 'node:assert/strict'
import { once } from 'node:events'
import { after, before, describe, it, type TestContext } from 'node:test'
import { Rig } from './rig.ts'
import type { Usage } from './victim.ts'

const CONTENT_BYTES = 20_000_000
/** Beyond twice as long: what a busy machine may add to a download of half a second. */
const SLACK_MS = 3_000

describe('an honest download beside', { timeout: 300_000 }, () => {
  let rig: Rig
  let aloneMs = 0
  before(async () => {
    rig = await Rig.start(CONTENT_BYTES)
    // The first one warms both up.
    await rig.download()
    aloneMs = await rig.download()
  })
  after(() => rig.stop())

  /**
   * Downloads while the attack goes on. What the victim used from the start of the attack to the end of the
   * download.
   */
  async function beside(t: TestContext, attack: string, flags: Record<string, string | number> = {}): Promise<Usage> {
    const before = await rig.usage()
    const attacker = await rig.attack(attack, flags)
    try {
      const tookMs = await rig.download()
      const usage = await rig.usage()
      for (const [kind, count] of Object.entries(before.refusals)) usage.refusals[kind] = (usage.refusals[kind] ?? 0) - count
      const refused = Object.entries(usage.refusals).filter(([, count]) => count > 0)
      t.diagnostic(
        `${tookMs.toFixed(0)} ms (alone ${aloneMs.toFixed(0)}), victim ${usage.cpuMs.toFixed(0)} ms CPU, ` +
          `${(usage.rssBytes / 1e6).toFixed(0)} MB, stall ${usage.stallMs.toFixed(0)} ms, refused ${JSON.stringify(refused)}`
      )
      assert.ok(tookMs < 2 * aloneMs + SLACK_MS, `took ${tookMs} ms, alone ${aloneMs}`)
      return usage
    } finally {
      attacker.kill('SIGKILL')
    }
  }

  for (const count of [128, 600]) {
    it(`${count} connections that say nothing`, async t => {
      await beside(t, 'silent', { count })
    })
  }
  it('300 connections that send a byte a second', async t => {
    await beside(t, 'dripping', { count: 300 })
  })
  it('streams that are opened and reset without end', async t => {
    const { refusals } = await beside(t, 'reset')
    assert.ok((refusals['stream-flood'] ?? 0) > 0)
  })
  for (const [who, sealed] of [
    ['a stranger', 'no'],
    ['one who knows the root', 'yes']
  ] as const) {
    it(`6,000 messages of authors that ${who} invented`, async t => {
      const attacker = await rig.attack('gossip', { count: 6_000, sealed })
      await rig.usage()
      const said = once(attacker, 'message')
      attacker.send('go')
      await said
      const tookMs = await rig.download()
      const { cpuMs, refusals } = await rig.usage()
      t.diagnostic(
        `${tookMs.toFixed(0)} ms (alone ${aloneMs.toFixed(0)}), victim ${cpuMs.toFixed(0)} ms CPU, refused ${refusals.gossip}`
      )
      attacker.kill('SIGKILL')
      assert.ok(tookMs < 2 * aloneMs + SLACK_MS)
      assert.ok((refusals.gossip ?? 0) > 0)
      // 0.3 s for the messages, and what the download takes.
      assert.ok(cpuMs < 1_000, `${cpuMs} ms of CPU`)
    })
  }
  it('DHT records of thousands of keys from one stream', async t => {
    const { rssBytes } = await rig.usage()
    const usage = await beside(t, 'records')
    assert.ok((usage.refusals['dht-record'] ?? 0) > 0)
    assert.ok(usage.rssBytes < rssBytes + 60e6, `${(usage.rssBytes - rssBytes) / 1e6} MB more`)
  })
  it('connections that send noise, as many as get through', async t => {
    await beside(t, 'noise', { count: 50 })
  })
})
