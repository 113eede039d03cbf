/**
 * Runs the bundled command line with the code that V8 compiled for earlier runs.
 *
 * Node's own compile cache keeps what was compiled while a module loaded. Functions that were compiled when
 * first called, most of what a short run uses, are compiled again by every process. This cache is made at a
 * command's end and has them too (docs/PERFORMANCE.md has the gain).
 *
 * One file per command in the user's cache folder, which belongs to that user alone: V8 does not check the
 * code that it is fed. Until there is one, that which the build laid beside the bundle serves
 * (scripts/warm-code.ts). Whatever is wrong with file or folder means no cache and never an error. Called by
 * main.ts.
 */

import { createHash } from 'node:crypto'
import { mkdirSync, readFileSync, renameSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { homedir } from 'node:os'
import { dirname, isAbsolute, join } from 'node:path'
import { pathToFileURL } from 'node:url'
import vm from 'node:vm'

/** Of SHA-256. */
const SEAL_BYTES = 32
const HASH_DIGITS = 64

export interface Bundle<Exports> {
  readonly exports: Exports
  /** Keeps what is compiled by now, unless this run had it already. */
  keepCode(): void
}

/** Runs the CommonJS file `path`; `name` tells caches of the same file apart. */
export function runBundle<Exports>(path: string, name: string): Bundle<Exports> {
  const source = readFileSync(path, 'latin1')
  const key = keyOf(source)
  const isWanted = process.env.NODE_DISABLE_COMPILE_CACHE === undefined
  const folder = isWanted ? cacheFolder() : undefined
  const file = folder === undefined ? undefined : join(folder, `${name}.code`)
  const ownCode = file === undefined ? undefined : readCode(file, key)
  const cachedData = ownCode ?? (isWanted ? readBuiltCode(path, name, key) : undefined)
  const script = new vm.Script(`(function (exports, require, module, importMetaUrl) {${source}\n})`, {
    filename: path,
    ...(cachedData === undefined ? {} : { cachedData })
  })
  const module = { exports: {} as Exports }
  script.runInThisContext()(module.exports, createRequire(path), module, pathToFileURL(path).href)
  const isCurrent = cachedData !== undefined && script.cachedDataRejected === false
  return {
    exports: module.exports,
    keepCode: () => {
      if (!isCurrent && file !== undefined) writeCode(file, key, script.createCachedData())
    }
  }
}

/**
 * What code belongs to: the V8 that runs it, and the bundle, which ends with its own hash
 * (scripts/build-cli.ts).
 */
function keyOf(source: string): string {
  return `${source.slice(-HASH_DIGITS)} ${process.version} ${process.versions.v8} ${process.arch}`
}

/** Stands behind the code: of another bundle, or damaged, it is not run. */
function sealOf(key: string, code: Uint8Array): Buffer {
  return createHash('sha256').update(key).update(code).digest()
}

/**
 * `$XDG_CACHE_HOME/swarm`, else `~/.cache/swarm` (XDG Base Directory Specification 0.8);
 * `%LOCALAPPDATA%\\swarm\\cache` on Windows.
 */
function cacheFolder(): string | undefined {
  const { XDG_CACHE_HOME: xdg, LOCALAPPDATA: local } = process.env
  if (process.platform !== 'win32' && xdg !== undefined && isAbsolute(xdg)) return join(xdg, 'swarm')
  try {
    if (process.platform === 'win32') return join(local ?? join(homedir(), 'AppData', 'Local'), 'swarm', 'cache')
    return join(homedir(), '.cache', 'swarm')
  } catch {
    return undefined // a user without a home
  }
}

/**
 * The code; undefined when it does not belong to the bundle, is damaged, or could be somebody else's work.
 */
function readCode(file: string, key: string): Buffer | undefined {
  try {
    const { uid, mode } = statSync(dirname(file))
    if (process.getuid !== undefined && (uid !== process.getuid() || (mode & 0o022) !== 0)) return undefined
    return readSealed(file, key)
  } catch {
    return undefined
  }
}

/** What the build compiled; as trustworthy as the bundle that it lies beside. */
function readBuiltCode(bundle: string, name: string, key: string): Buffer | undefined {
  try {
    return readSealed(join(dirname(bundle), 'code', `${name}.code`), key)
  } catch {
    return undefined
  }
}

function readSealed(file: string, key: string): Buffer | undefined {
  const bytes = readFileSync(file)
  const code = bytes.subarray(0, -SEAL_BYTES)
  return sealOf(key, code).equals(bytes.subarray(-SEAL_BYTES)) ? code : undefined
}

function writeCode(file: string, key: string, code: Buffer): void {
  const temporary = `${file}.${process.pid}`
  try {
    mkdirSync(dirname(file), { recursive: true, mode: 0o700 })
    try {
      writeFileSync(temporary, Buffer.concat([code, sealOf(key, code)]), { mode: 0o600 })
      renameSync(temporary, file)
    } catch {
      rmSync(temporary, { force: true })
    }
  } catch {
    // The next run compiles as this one did.
  }
}
