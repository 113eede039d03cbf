/**
 * Where the built dashboard lies: next to this file in the package, next to the bundle's folder, in `dist` of
 * a checkout. Called by api.ts.
 */

import { existsSync } from 'node:fs'
import { fileURLToPath } from 'node:url'

/** Undefined when it was not built. */
export function dashboardFolder(): string | undefined {
  const candidates = ['./dashboard/', '../api/dashboard/', '../../dist/api/dashboard/'].map(place =>
    fileURLToPath(new URL(place, import.meta.url))
  )
  return candidates.find(folder => existsSync(`${folder}index.html`) && existsSync(`${folder}main.js`))
}
