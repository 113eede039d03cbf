import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { RequestLedger } from '../../src/engine/download/request-ledger.ts'
import type { Neighbour } from '../../src/engine/neighbour.ts'
import { HAVE, type SwarmState } from '../../src/engine/state.ts'
import { RateBudget } from '../../src/util/rate-budget.ts'
import { addNeighbour, stateOf, takeSent } from './parts.ts'
import { PIECE_BYTES } from './world.ts'

interface Book {
  state: SwarmState
  ledger: RequestLedger
  budget: RateBudget
  first: Neighbour
  second: Neighbour
}

function bookOf(): Book {
  const state = stateOf(8, [])
  const budget = new RateBudget(PIECE_BYTES, 0)
  const ledger = new RequestLedger(state, [budget])
  const [first, second] = [addNeighbour(state, 'first', { have: 'all' }), addNeighbour(state, 'second', { have: 'all' })]
  return { state, ledger, budget, first, second }
}

describe('the book of requests', () => {
  it('knows of whom a piece was asked, since when, and how it came', () => {
    const { state, ledger, first, second } = bookOf()
    ledger.recordRequest(first, 3, true, 500, 10)
    assert.equal(ledger.senderOf(3), first)
    assert.ok(ledger.isExpected(3) && ledger.isExpectedFrom(first, 3) && ledger.isPulled(3))
    assert.equal(ledger.isExpectedFrom(second, 3), false)
    assert.deepEqual([ledger.sinceMs(3), ledger.askedMs(first, 3), first.download.pending], [10, 10, 1])
    assert.ok(state.marks.askedOf.has(first.slot))
    assert.deepEqual(ledger.arrivalOf(first, 3, 25), { elapsedMs: 15, bytesBefore: 500, isPulled: true })
    assert.equal(ledger.arrivalOf(second, 3, 25), undefined)
    ledger.assertInvariants()
  })

  it('lets a piece be answered once, also after it was given up, and by nobody that was not asked', () => {
    const { ledger, first, second } = bookOf()
    ledger.recordRequest(first, 3, false, 0, 10)
    ledger.withdraw(3)
    assert.equal(ledger.isExpected(3), false)
    assert.equal(ledger.recordAnswered(second, 3), false)
    assert.equal(ledger.recordAnswered(first, 3), true)
    assert.equal(ledger.recordAnswered(first, 3), false)
    ledger.assertInvariants()
  })

  it('puts the second neighbour asked in the place of the first that is released', () => {
    const { state, ledger, first, second } = bookOf()
    ledger.recordRequest(first, 3, false, 0, 10)
    ledger.recordSecond(second, 3, 700, 20)
    assert.ok(ledger.hasSecond(3) && ledger.isExpectedFrom(second, 3))
    assert.equal(ledger.seconds, 1)
    ledger.release(first, 3)
    assert.equal(ledger.senderOf(3), second)
    assert.deepEqual([ledger.hasSecond(3), ledger.seconds, first.download.pending], [false, 0, 0])
    assert.equal(state.marks.askedOf.has(first.slot), false)
    ledger.assertInvariants()
    ledger.release(second, 3)
    assert.equal(ledger.pending.size, 0)
    ledger.assertInvariants()
  })

  it('counts the second from when it was asked once it takes the place of the first, who alone is told', () => {
    const { state, ledger, first, second } = bookOf()
    ledger.recordRequest(first, 3, false, 500, 10)
    ledger.recordSecond(second, 3, 700, 9010)
    ledger.withdrawFirst(3)
    assert.deepEqual(ledger.arrivalOf(second, 3, 9060), { elapsedMs: 50, bytesBefore: 700, isPulled: true })
    assert.deepEqual(
      takeSent(state).map(({ peer, message }) => [peer, message.type]),
      [['first', 'cancel']]
    )
    ledger.assertInvariants()
    ledger.withdrawFirst(3)
    assert.equal(ledger.isExpected(3), false)
  })

  it('keeps the first when the second is released', () => {
    const { ledger, first, second } = bookOf()
    ledger.recordRequest(first, 3, false, 0, 10)
    ledger.recordSecond(second, 3, 700, 20)
    ledger.release(second, 3)
    assert.equal(ledger.senderOf(3), first)
    assert.equal(ledger.seconds, 0)
    ledger.assertInvariants()
  })

  it('tells all that were asked that a piece is not needed, but not its sender', () => {
    const { state, ledger, first, second } = bookOf()
    for (const piece of [3, 4]) {
      ledger.recordRequest(first, piece, false, 0, 10)
      ledger.recordSecond(second, piece, 0, 20)
    }
    ledger.withdraw(3, second)
    assert.deepEqual(takeSent(state), [{ peer: 'first', message: { type: 'cancel', pieces: [3] } }])
    ledger.withdraw(4)
    assert.deepEqual(
      takeSent(state)
        .map(({ peer }) => peer)
        .sort(),
      ['first', 'second']
    )
    ledger.withdraw(4)
    assert.deepEqual(takeSent(state), [])
    ledger.assertInvariants()
  })

  it('sets the bytes of what is pending aside, and gives them back', () => {
    const { ledger, budget, first } = bookOf()
    assert.ok(budget.canSpend(0))
    ledger.recordRequest(first, 3, false, 0, 0)
    assert.equal(budget.canSpend(0), false)
    ledger.release(first, 3)
    assert.ok(budget.canSpend(0))
  })

  it('names the pieces that nobody sends when a neighbour left', () => {
    const { ledger, first, second } = bookOf()
    for (const piece of [1, 2]) ledger.recordRequest(first, piece, false, 0, 10)
    ledger.recordSecond(second, 2, 0, 20)
    assert.deepEqual(ledger.forget(first), [1])
    assert.equal(ledger.senderOf(2), second)
    assert.equal(ledger.askedMs(first, 1), Number.NEGATIVE_INFINITY)
    ledger.assertInvariants()
  })

  it('notices when something else counts in its place', () => {
    const faults: ((book: Book) => void)[] = [
      ({ first }) => first.download.pending++,
      ({ state, first }) => state.marks.askedOf.delete(first.slot),
      ({ state }) => {
        state.status[1] = HAVE
      },
      ({ state, first }) => {
        state.neighbours[first.slot] = undefined
      },
      ({ ledger, first }) => ledger.recordAnswered(first, 1)
    ]
    for (const fault of faults) {
      const book = bookOf()
      book.ledger.recordRequest(book.first, 1, false, 0, 10)
      book.ledger.assertInvariants()
      fault(book)
      assert.throws(() => book.ledger.assertInvariants(), `${fault}`)
    }
  })
})
