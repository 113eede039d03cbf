/** A piece store that takes virtual time for hashing and writing, as the simulator's disk does. */

import type { PieceStore } from '../../src/store/piece-store.ts'
import type { Random } from '../../src/util/random.ts'
import type { VirtualTime } from './virtual-time.ts'

const WRITE_MS_PER_MIB = 2

export function slowStore(store: PieceStore, time: VirtualTime, random: Random): PieceStore {
  return {
    have: store.have,
    wanted: store.wanted,
    isWritable: store.isWritable,
    path: store.path,
    async write(piece, data) {
      await time.pass(((WRITE_MS_PER_MIB * data.byteLength) / 1024 ** 2) * random.nextBetween(0.8, 1.2))
      return store.write(piece, data)
    },
    read: (piece, into) => store.read(piece, into),
    finish: () => store.finish(),
    close: () => store.close()
  }
}
