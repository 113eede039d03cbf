import assert from 'node:assert/strict'
import { it } from 'node:test'
import { MAX_PIECES_PER_MESSAGE, perMessage } from '../../src/wire/messages.ts'

it('pieces are cut into lists that a message may hold, in order, and none of nothing', () => {
  const pieces = Array.from({ length: 2 * MAX_PIECES_PER_MESSAGE + 1 }, (_, piece) => piece)
  const lists = perMessage(pieces)
  assert.deepEqual(
    lists.map(({ length }) => length),
    [MAX_PIECES_PER_MESSAGE, MAX_PIECES_PER_MESSAGE, 1]
  )
  assert.deepEqual(lists.flat(), pieces)
  assert.deepEqual(perMessage([]), [])
})
