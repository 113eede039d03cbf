/**
 * The pieces of a content on a canvas: what is here, what peers hold and how many, what nobody holds.
 */

import { useEffect, useRef } from 'preact/hooks'
import type { SwarmView } from '../schema/swarms.ts'

/** More cells than this are merged, so that one stays visible. */
const MAX_CELLS = 2400
const CELL = 10
const GAP = 2

interface Cell {
  have: number
  count: number
  /** Fewest holders among the missing ones. */
  rarest: number
}

export function PieceMap({ swarm }: { swarm: SwarmView }) {
  const canvas = useRef<HTMLCanvasElement>(null)
  useEffect(() => {
    const draw = (): void => {
      if (canvas.current !== null) paint(canvas.current, cellsOf(swarm))
    }
    draw()
    addEventListener('resize', draw)
    return () => removeEventListener('resize', draw)
  }, [swarm])
  const copies = swarm.distributedCopies.toFixed(2)
  const summary = `${swarm.piecesDone} of ${swarm.pieceCount} pieces are here; ${copies} copies in sight`
  return (
    <figure class="piece-map">
      <canvas ref={canvas} role="img" aria-label={summary} />
      <figcaption>
        {summary}.
        <span class="legend">
          <i class="have" /> here <i class="held" /> held by peers <i class="nobody" /> by nobody in sight
        </span>
      </figcaption>
    </figure>
  )
}

function cellsOf({ have, holders }: SwarmView): Cell[] {
  const bits = Uint8Array.from(atob(have), char => char.charCodeAt(0))
  const perCell = Math.max(1, Math.ceil(holders.length / MAX_CELLS))
  const cells: Cell[] = []
  for (let piece = 0; piece < holders.length; piece++) {
    if (piece % perCell === 0) cells.push({ have: 0, count: 0, rarest: Number.POSITIVE_INFINITY })
    const cell = cells[cells.length - 1] as Cell
    cell.count++
    if (((bits[piece >> 3] ?? 0) & (0x80 >> (piece & 7))) !== 0) cell.have++
    else cell.rarest = Math.min(cell.rarest, holders[piece] ?? 0)
  }
  return cells
}

function paint(canvas: HTMLCanvasElement, cells: readonly Cell[]): void {
  const width = canvas.parentElement?.clientWidth ?? 300
  const columns = Math.max(1, Math.floor((width + GAP) / (CELL + GAP)))
  const rows = Math.ceil(cells.length / columns)
  const scale = devicePixelRatio
  canvas.style.width = `${columns * (CELL + GAP) - GAP}px`
  canvas.style.height = `${Math.max(1, rows) * (CELL + GAP) - GAP}px`
  canvas.width = Math.round((columns * (CELL + GAP) - GAP) * scale)
  canvas.height = Math.round((Math.max(1, rows) * (CELL + GAP) - GAP) * scale)
  const context = canvas.getContext('2d')
  if (context === null) return
  const style = getComputedStyle(canvas)
  const color = (name: string): string => style.getPropertyValue(name).trim()
  context.scale(scale, scale)
  for (const [index, cell] of cells.entries()) {
    const x = (index % columns) * (CELL + GAP)
    const y = Math.floor(index / columns) * (CELL + GAP)
    const share = cell.have / cell.count
    context.globalAlpha = 1
    if (share < 1) {
      context.fillStyle = cell.rarest === 0 ? color('--nobody') : color('--held')
      // The more peers hold it, the less there is to worry about.
      context.globalAlpha = cell.rarest === 0 ? 1 : Math.min(1, 0.35 + 0.65 / cell.rarest)
      context.fillRect(x, y, CELL, CELL)
    }
    context.globalAlpha = 1
    context.fillStyle = color('--have')
    if (share > 0) context.fillRect(x, y + CELL * (1 - share), CELL, CELL * share)
  }
}
