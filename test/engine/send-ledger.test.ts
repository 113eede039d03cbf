import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import type { Neighbour } from '../../src/engine/neighbour.ts'
import type { SwarmState } from '../../src/engine/state.ts'
import { type Offer, SendLedger } from '../../src/engine/upload/send-ledger.ts'
import { addNeighbour, flightTo, stateOf } from './parts.ts'

interface Book {
  state: SwarmState
  ledger: SendLedger
  peer: Neighbour
  other: Neighbour
}

function bookOf(): Book {
  const state = stateOf(8, 'all')
  return { state, ledger: new SendLedger(state), peer: addNeighbour(state, 'peer'), other: addNeighbour(state, 'other') }
}

const offerOf = (ledger: SendLedger, peer: Neighbour, piece: number): Offer => ledger.offerOf(peer, piece) as Offer

describe('the book of sends', () => {
  it('follows a piece from its offer over the request to its flight and end', () => {
    const { state, ledger, peer, other } = bookOf()
    ledger.recordOffer(peer, 3, 10)
    assert.deepEqual([ledger.countedOffers, peer.upload.offered, ledger.has(peer, 3)], [1, 1, true])
    assert.ok(state.table.slotExpects(peer.slot, 3) && state.marks.uploadedTo.has(peer.slot))
    assert.equal(ledger.has(other, 3), false)
    ledger.assertInvariants()
    ledger.recordWaiting(peer, 3, false)
    assert.equal(ledger.offerOf(peer, 3), undefined)
    assert.deepEqual([ledger.countedOffers, ledger.readyCount, ledger.waitingCount], [0, 1, 1])
    ledger.assertInvariants()
    assert.ok(ledger.endWaiting(peer, 3))
    const flight = flightTo(peer, 3)
    ledger.recordFlight(peer, flight)
    assert.deepEqual([ledger.waitingCount, ledger.countedFlights, peer.upload.inFlight], [0, 1, 1])
    ledger.assertInvariants()
    ledger.endFlight(peer, flight)
    assert.deepEqual([ledger.countedFlights, peer.upload.underWay, ledger.has(peer, 3)], [0, 0, false])
    assert.equal(state.marks.uploadedTo.has(peer.slot), false)
    ledger.assertInvariants()
  })

  it('counts an overdue offer no longer, and still knows it', () => {
    const { ledger, peer } = bookOf()
    ledger.recordOffer(peer, 3, 10)
    ledger.recordOverdue(peer, offerOf(ledger, peer, 3))
    assert.deepEqual([ledger.countedOffers, peer.upload.offered, peer.upload.overdue], [0, 1, 1])
    ledger.assertInvariants()
    ledger.endOffer(peer, offerOf(ledger, peer, 3))
    assert.deepEqual([ledger.countedOffers, peer.upload.offered, peer.upload.overdue], [0, 0, 0])
    ledger.assertInvariants()
  })

  it('counts a flight that its receiver holds up no longer, once', () => {
    const { ledger, peer } = bookOf()
    const flight = flightTo(peer, 3, { isUrgent: true })
    ledger.recordFlight(peer, flight)
    ledger.recordHeldUp(flight)
    ledger.recordHeldUp(flight)
    assert.deepEqual([ledger.countedFlights, ledger.urgentFlights, peer.upload.inFlight], [0, 1, 1])
    ledger.assertInvariants()
    ledger.endFlight(peer, flight)
    assert.deepEqual([ledger.countedFlights, ledger.urgentFlights], [0, 0])
    ledger.assertInvariants()
  })

  it('keeps urgent requests apart and turns a wish into a request', () => {
    const { ledger, peer, other } = bookOf()
    ledger.recordWish(peer, 1, 10)
    ledger.recordWish(peer, 1, 20)
    ledger.recordWish(peer, 2, 20)
    ledger.recordWaiting(other, 4, true)
    assert.deepEqual([ledger.wishers, ledger.readyCount, ledger.waitingCount], [1, 0, 1])
    assert.equal(peer.upload.wishes.get(1), 10, 'a wish that is said again keeps its age')
    assert.equal(ledger.has(peer, 1), false)
    ledger.recordWaiting(peer, 1, false)
    assert.deepEqual([ledger.wishers, ledger.readyCount], [1, 1])
    assert.ok(ledger.endWaiting(other, 4))
    assert.deepEqual([ledger.readyCount, ledger.waitingCount], [1, 1])
    assert.ok(ledger.endWish(peer, 2))
    assert.equal(ledger.endWish(peer, 2), false)
    assert.equal(ledger.wishers, 0)
    ledger.assertInvariants()
  })

  it('ends what a neighbour asked for and leaves its flights', () => {
    const { ledger, peer } = bookOf()
    ledger.recordWish(peer, 1, 10)
    ledger.recordWaiting(peer, 2, true)
    ledger.recordWaiting(peer, 3, false)
    ledger.recordFlight(peer, flightTo(peer, 4))
    assert.deepEqual(ledger.endRequests(peer), [1, 2, 3])
    assert.deepEqual([ledger.wishers, ledger.readyCount, ledger.waitingCount, ledger.countedFlights], [0, 0, 0, 1])
    ledger.assertInvariants()
  })

  it('forgets everything of a neighbour that left, and nothing of others', () => {
    const { ledger, peer, other } = bookOf()
    ledger.recordOffer(peer, 1, 10)
    ledger.recordOffer(peer, 2, 10)
    ledger.recordOverdue(peer, offerOf(ledger, peer, 2))
    ledger.recordFlight(peer, flightTo(peer, 4))
    ledger.recordWaiting(peer, 5, false)
    ledger.recordOffer(other, 1, 10)
    ledger.forget(peer)
    assert.deepEqual([ledger.offers.size, ledger.countedOffers, ledger.flights.size, ledger.waitingCount], [1, 1, 0, 0])
    assert.equal(peer.upload.underWay, 0)
    ledger.assertInvariants()
  })

  it('notices when something else counts in its place', () => {
    const faults: ((book: Book) => void)[] = [
      ({ peer }) => peer.upload.offered++,
      ({ peer }) => peer.upload.inFlight++,
      ({ peer }) => peer.upload.queue(7, 0, false),
      ({ ledger }) => ledger.countedOffers++,
      ({ ledger }) => ledger.countedFlights--,
      ({ peer }) => peer.upload.wish(7, 0),
      ({ state, peer }) => state.marks.uploadedTo.delete(peer.slot)
    ]
    for (const fault of faults) {
      const book = bookOf()
      book.ledger.recordOffer(book.peer, 1, 10)
      book.ledger.recordFlight(book.peer, flightTo(book.peer, 2))
      book.ledger.assertInvariants()
      fault(book)
      assert.throws(() => book.ledger.assertInvariants(), /wrongly/, `${fault}`)
    }
  })
})
