/**
 * Which paths of this machine a request may name.
 *
 * Invariant: a path that comes from the API is absolute and, links resolved as far as they exist, lies within
 * one of the folders that the operator opened; only a caller who can read our state folder (the CLI of the
 * same user) may name any. Called by the routes.
 */

import { realpath } from 'node:fs/promises'
import { basename, dirname, isAbsolute, join, resolve, sep } from 'node:path'
import { InvalidOptionsError, RequestRefusedError } from '../errors.ts'

/**
 * The path as it will be used. Throws `InvalidOptionsError` when it is no absolute path,
 * `RequestRefusedError` when it is outside.
 */
export async function checkPath(path: string, folders: readonly string[], trusted: boolean): Promise<string> {
  if (path.includes('\0') || !isAbsolute(path)) throw new InvalidOptionsError('the path is not absolute', { path })
  if (trusted) return path
  const real = await realpathOfExisting(resolve(path))
  for (const folder of folders) {
    const root = await realpathOfExisting(resolve(folder))
    if (real === root || real.startsWith(root.endsWith(sep) ? root : root + sep))
      return /[/\\]$/.test(path) ? `${resolve(path)}${sep}` : resolve(path)
  }
  throw new RequestRefusedError(
    'forbidden',
    'the path is outside of the folders that this daemon opens to the API (option paths)',
    { path }
  )
}

/** `path` with links resolved; components that do not exist yet are kept as they are. */
async function realpathOfExisting(path: string): Promise<string> {
  try {
    return await realpath(path)
  } catch (err) {
    const parent = dirname(path)
    if ((err as NodeJS.ErrnoException).code !== 'ENOENT' || parent === path)
      throw new InvalidOptionsError('the path cannot be looked at', { path }, err)
    return join(await realpathOfExisting(parent), basename(path))
  }
}
