import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import {
  ANNOUNCE_AFTER_MS,
  Announcing,
  BOOTSTRAP_PATIENCE_MS,
  ENOUGH_NEIGHBOURS,
  FEW_AFTER_MS,
  HINT_PATIENCE_MS,
  RECORD_PATIENCE_MS,
  SEARCH_PATIENCE_MS,
  type Surroundings
} from '../../../src/engine/discovery/announcing.ts'
import { Random } from '../../../src/util/random.ts'

const STEP_MS = 200
const GOSSIP_MS = 30_000
const NOTHING: Surroundings = {
  neighbours: 0,
  hasUntried: false,
  lacksPeers: true,
  have: { count: 0, size: 64 },
  isStranded: false,
  isComplete: false,
  isIdle: false
}
const KNOWN: Surroundings = { ...NOTHING, neighbours: ENOUGH_NEIGHBOURS, lacksPeers: false }

/** The rule on its own, looked at as often as the engine does, with a record of what it asks for. */
class Rule {
  readonly announcing: Announcing
  readonly asked: { type: string; atMs: number }[] = []
  readonly looked: { isFinal: boolean; atMs: number }[] = []
  nowMs = 0

  constructor(isOfUse = false) {
    this.announcing = new Announcing({
      isOfUse,
      random: new Random('announcing'),
      nowMs: 0,
      emit: ({ type }) => this.asked.push({ type, atMs: this.nowMs }),
      onLooked: (isFinal, atMs) => this.looked.push({ isFinal, atMs })
    })
  }

  /** Goes on to `untilMs`; searches end with their next step if `answers`. */
  go(untilMs: number, around: Partial<Surroundings> = {}, { base = NOTHING, answers = true, stepMs = STEP_MS } = {}): this {
    for (; this.nowMs <= untilMs; this.nowMs += stepMs) {
      const before = this.at('findPeers').length
      this.announcing.housekeep({ ...base, ...around }, GOSSIP_MS, this.nowMs)
      if (answers && this.at('findPeers').length > before) this.announcing.handleSearchEnded(true, false, this.nowMs)
    }
    return this
  }

  at(type: string): number[] {
    return this.asked.flatMap(({ type: asked, atMs }) => (asked === type ? [atMs] : []))
  }
}

describe('a node that has something', () => {
  it('listens, is announced and gossips at once', () => {
    const { asked } = new Rule(true).go(0, { have: { count: 64, size: 64 }, isComplete: true })
    assert.deepEqual(
      asked.map(({ type }) => type),
      ['listenToGossip', 'announce', 'publishAvailability', 'findPeers']
    )
  })

  it('does not search again while it has a neighbour to serve', () => {
    assert.deepEqual(
      new Rule(true).go(120_000, { isComplete: true }, { base: { ...KNOWN, lacksPeers: true } }).at('findPeers'),
      []
    )
  })
})

describe('a leecher that has nothing', () => {
  it('asks the peers that it was given before the DHT', () => {
    const [first] = new Rule().go(5000, { hasUntried: true }).at('findPeers')
    assert.ok(first !== undefined && first >= HINT_PATIENCE_MS && first <= HINT_PATIENCE_MS + STEP_MS, `${first}`)
    assert.deepEqual(new Rule().go(0).at('findPeers'), [0])
  })

  it('searches less and less often, and seldom once it has enough neighbours', () => {
    const pauses = (neighbours: number): number[] => {
      const times = new Rule().go(100_000, { neighbours }).at('findPeers')
      return times.slice(1).map((atMs, index) => atMs - (times[index] as number))
    }
    const [first, second] = pauses(1) as [number, number]
    assert.ok(first <= 1500 && second > first, pauses(1).join())
    assert.ok(Math.max(...pauses(1)) <= 37_600)
    assert.ok(Math.min(...pauses(ENOUGH_NEIGHBOURS)) >= 22_400, pauses(ENOUGH_NEIGHBOURS).join())
  })

  it('does not search while it knows enough peers', () => {
    assert.deepEqual(new Rule().go(60_000, {}, { base: KNOWN }).at('findPeers'), [])
  })

  it('has one search at a time', () => {
    assert.equal(new Rule().go(60_000, {}, { answers: false }).at('findPeers').length, 1)
  })

  it('searches soon when it has lost everybody', () => {
    const rule = new Rule().go(60_000, { neighbours: 1 })
    const before = rule.at('findPeers').length
    rule.go(rule.nowMs + 60_000)
    const [first, second] = rule.at('findPeers').slice(before) as [number, number]
    assert.ok(second - first < 3000, `${second - first}`)
  })

  it('turns to gossip and the DHT after a while when it has few neighbours', () => {
    const rule = new Rule().go(5000, { neighbours: ENOUGH_NEIGHBOURS - 1 })
    assert.deepEqual(rule.at('listenToGossip'), [1600])
    assert.deepEqual(rule.at('announce'), [1600])
    assert.deepEqual(rule.at('publishAvailability'), [1600])
    assert.ok(FEW_AFTER_MS <= 1600)
  })

  it('is announced late when it has enough, not to the second with all others, and says nothing', () => {
    const rule = new Rule().go(60_000, {}, { base: KNOWN })
    const [announcedMs] = rule.at('announce') as [number]
    assert.ok(announcedMs >= ANNOUNCE_AFTER_MS && announcedMs <= 2 * ANNOUNCE_AFTER_MS + STEP_MS, `${announcedMs}`)
    assert.deepEqual(rule.at('publishAvailability'), [])
  })

  it('is announced when it is complete', () => {
    const rule = new Rule().go(3000, {}, { base: KNOWN })
    assert.deepEqual(rule.asked, [])
    rule.go(3200, { isComplete: true, have: { count: 64, size: 64 } }, { base: KNOWN })
    assert.deepEqual(rule.at('announce'), [3200])
    assert.deepEqual(rule.at('publishAvailability'), [3200])
  })

  it('asks for nothing while it is paused or leaves', () => {
    assert.deepEqual(new Rule(true).go(60_000, { isIdle: true }).asked, [])
  })
})

describe('gossip', () => {
  it('tells the first pieces, halves of the content at their time, the last at once, and losses', () => {
    const rule = new Rule().go(2000, { have: { count: 0, size: 64 } })
    assert.equal(rule.at('publishAvailability').length, 1)
    rule.go(45_000, { have: { count: 1, size: 64 } })
    assert.equal(rule.at('publishAvailability').length, 2)
    rule.go(100_000, { have: { count: 20, size: 64 } })
    assert.equal(rule.at('publishAvailability').length, 2)
    rule.go(140_000, { have: { count: 40, size: 64 } })
    assert.equal(rule.at('publishAvailability').length, 3)
    rule.go(140_400, { have: { count: 64, size: 64 }, isComplete: true })
    assert.equal(rule.at('publishAvailability').length, 4)
    rule.go(200_000, { have: { count: 60, size: 64 } })
    assert.equal(rule.at('publishAvailability').length, 5)
  })
})

describe('with an origin', () => {
  const opened = (): Rule => {
    const rule = new Rule()
    rule.announcing.handleOriginOpened()
    return rule
  }

  it('a node is announced at once, for its bytes are to be shared out', () => {
    assert.deepEqual(opened().go(0).at('announce'), [0])
  })

  it('it is alone for certain when there is nobody to ask and nobody who may turn up', () => {
    for (const mayTurnUp of [false, true]) {
      const rule = opened().go(0, {}, { answers: false })
      rule.announcing.handleSearchEnded(false, mayTurnUp, 100)
      assert.deepEqual(rule.looked, [{ isFinal: !mayTurnUp, atMs: 100 }])
    }
  })

  it('it has looked when a search ended that began after its record was written', () => {
    const rule = opened().go(0)
    assert.equal(rule.at('findPeers').length, 1)
    rule.announcing.handleBootstrapAnswered()
    rule.go(200)
    assert.deepEqual(rule.looked, [])
    rule.announcing.handleAnnounced()
    rule.go(600)
    assert.equal(rule.at('findPeers').length, 2)
    assert.equal(rule.looked.length, 1)
  })

  it('it has looked when its first search found a neighbour', () => {
    const rule = opened().go(200, { neighbours: 1 })
    rule.announcing.handleBootstrapAnswered()
    rule.announcing.handleAnnounced()
    rule.go(400, { neighbours: 1 })
    assert.equal(rule.at('findPeers').length, 1)
    assert.equal(rule.looked.length, 1)
  })

  it('waits for no answer for ever', () => {
    const patienceMs = BOOTSTRAP_PATIENCE_MS + RECORD_PATIENCE_MS + SEARCH_PATIENCE_MS
    const rule = opened().go(patienceMs - 2 * STEP_MS, {}, { answers: false })
    assert.deepEqual(rule.looked, [])
    rule.go(patienceMs + 5 * STEP_MS, {}, { answers: false })
    assert.equal(rule.looked.length, 1)
  })

  it('does not count time in which it was too busy to hear', () => {
    const patienceMs = BOOTSTRAP_PATIENCE_MS + RECORD_PATIENCE_MS + SEARCH_PATIENCE_MS
    const rule = opened().go(2 * patienceMs, {}, { answers: false, stepMs: 2000 })
    assert.deepEqual(rule.looked, [])
  })
})
