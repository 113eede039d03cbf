/**
 * Where state lives when nobody says otherwise: identity, hash cache and resume state, by the platform's
 * conventions.
 *
 * Linux and other Unix: `$XDG_STATE_HOME/swarm`, else `~/.local/state/swarm` (XDG Base Directory
 * Specification 0.8). macOS: `~/Library/Application Support/swarm`. Windows: `%LOCALAPPDATA%\swarm`. Called
 * where options are resolved.
 */

import { homedir } from 'node:os'
import { posix, win32 } from 'node:path'

export interface Platform {
  platform: NodeJS.Platform
  env: Readonly<Record<string, string | undefined>>
  home: string
}

/** The default state folder; nothing is created. */
export function defaultStateDir(
  { platform, env, home }: Platform = { platform: process.platform, env: process.env, home: homedir() }
): string {
  if (platform === 'win32') {
    const local = env.LOCALAPPDATA
    return win32.join(local !== undefined && win32.isAbsolute(local) ? local : win32.join(home, 'AppData', 'Local'), 'swarm')
  }
  const state = env.XDG_STATE_HOME
  // The specification says to ignore relative paths.
  if (state !== undefined && posix.isAbsolute(state)) return posix.join(state, 'swarm')
  if (platform === 'darwin') return posix.join(home, 'Library', 'Application Support', 'swarm')
  return posix.join(home, '.local', 'state', 'swarm')
}
