import { readFileSync } from 'node:fs'

/**
 * The version of this package; sources, compiled files and the bundle all lie two folders below its
 * description.
 */
export function readVersion(): string {
  const { version } = JSON.parse(readFileSync(new URL('../../package.json', import.meta.url), 'utf8')) as { version: string }
  return version
}
