import { openMemoryStore } from '../../src/store/memory-store.ts'
import { describePieceStore } from '../compliance/piece-store.ts'
import { fileContent, fill, hash, PIECE } from './fixtures.ts'

describePieceStore('the memory store', async () => {
  const content = fileContent(5 * PIECE + 77)
  return {
    manifest: content.manifest,
    piece: content.piece,
    openEmpty: async () => openMemoryStore({ manifest: content.manifest, hash }),
    openFull: async () => {
      const store = openMemoryStore({ manifest: content.manifest, hash })
      await fill(store, content)
      return store
    }
  }
})
