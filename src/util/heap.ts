/**
 * A binary min-heap of numbered items by (key, sequence): equal keys come out in the order they went in, so
 * that nothing depends on the heap's layout. Used for virtual time in the simulator.
 */

export class Heap<T> {
  #keys: number[] = []
  #sequences: number[] = []
  #items: T[] = []
  #nextSequence = 0

  get size(): number {
    return this.#items.length
  }

  /** Smallest key, or undefined when empty. */
  peekKey(): number | undefined {
    return this.#keys[0]
  }

  push(key: number, item: T): void {
    let index = this.#items.length
    const sequence = this.#nextSequence++
    const keys = this.#keys
    const sequences = this.#sequences
    const items = this.#items
    keys.push(key)
    sequences.push(sequence)
    items.push(item)
    while (index > 0) {
      const parent = (index - 1) >> 1
      const parentKey = keys[parent] as number
      // A new item has the highest sequence, so it only passes strictly greater keys.
      if (parentKey <= key) break
      keys[index] = parentKey
      sequences[index] = sequences[parent] as number
      items[index] = items[parent] as T
      index = parent
    }
    keys[index] = key
    sequences[index] = sequence
    items[index] = item
  }

  /** Removes and returns the item with the smallest key, or undefined when empty. */
  pop(): T | undefined {
    const keys = this.#keys
    const sequences = this.#sequences
    const items = this.#items
    if (items.length === 0) return undefined
    const top = items[0] as T
    const key = keys.pop() as number
    const sequence = sequences.pop() as number
    const item = items.pop() as T
    const size = items.length
    if (size === 0) return top
    let index = 0
    for (;;) {
      let child = 2 * index + 1
      if (child >= size) break
      const right = child + 1
      if (
        right < size &&
        isBefore(keys[right] as number, sequences[right] as number, keys[child] as number, sequences[child] as number)
      ) {
        child = right
      }
      if (!isBefore(keys[child] as number, sequences[child] as number, key, sequence)) break
      keys[index] = keys[child] as number
      sequences[index] = sequences[child] as number
      items[index] = items[child] as T
      index = child
    }
    keys[index] = key
    sequences[index] = sequence
    items[index] = item
    return top
  }
}

function isBefore(keyA: number, sequenceA: number, keyB: number, sequenceB: number): boolean {
  return keyA < keyB || (keyA === keyB && sequenceA < sequenceB)
}
