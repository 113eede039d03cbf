import assert from 'node:assert/strict'
import { test } from 'node:test'
import { checkFileName, checkFilePaths, MAX_FOLDERS } from '../../src/content/file-names.ts'
import { InvalidManifestError } from '../../src/errors.ts'

function assertRefused(paths: string[], what: RegExp): void {
  assert.throws(
    () => checkFilePaths(paths, index => `paths[${index}]`),
    (err: unknown) => err instanceof InvalidManifestError && what.test(err.what) && err.where === `paths[${paths.length - 1}]`,
    JSON.stringify(paths)
  )
}

test('ordinary, unicode and deep names pass', () => {
  for (const name of [
    'a',
    '.hidden',
    'a.b.c',
    'naïve',
    'nai\u0308ve',
    '日本',
    '👩‍🚀',
    'Foo::Bar.3pm',
    '-rf',
    ' lead',
    'conx',
    'com10',
    '...a',
    'x'.repeat(255)
  ]) {
    checkFileName(name, 'name')
  }
  checkFilePaths(['a/b/c', 'a/b/d', 'a/c', 'b', '__proto__', 'constructor/x'], String)
  checkFilePaths([new Array(1000).fill('dir').join('/')], String)
})

test('a path that could lead out of its folder is refused', () => {
  assertRefused(['..'], /leads out/)
  assertRefused(['a/../b'], /leads out/)
  assertRefused(['./a'], /leads out/)
  assertRefused(['/a'], /absolute/)
  assertRefused([''], /empty/)
  assertRefused(['a//b'], /empty/)
  assertRefused(['a/'], /empty/)
  assertRefused(['a\\..\\b'], /backslash/)
  assertRefused(['c:a'], /drive/)
  assertRefused(['a/C:'], /drive/)
  assertRefused(['.. '], /dots and spaces/)
  assertRefused(['...'], /dots and spaces/)
})

test('a name with control characters or broken Unicode is refused', () => {
  for (const code of [0, 7, 10, 27, 31, 127, 128, 159]) assertRefused([`a${String.fromCharCode(code)}b`], /control/)
  assertRefused(['a\ud800'], /well-formed/)
})

test('a name that Windows resolves to a device is refused', () => {
  for (const name of ['con', 'NUL', 'aux.c', 'Com1.txt', 'lpt9', 'prn.', 'con .txt', 'nul:x', 'CONIN$'])
    assertRefused([`src/${name}`], /reserved on Windows/)
})

test('names that are too long are refused without repeating them', () => {
  assertRefused(['x'.repeat(256)], /^name is longer than 255 bytes$/)
  assertRefused(['é'.repeat(128)], /longer than 255/)
  assertRefused([new Array(1025).fill('dir').join('/').concat('/x')], /^path is longer than 4096 bytes$/)
  assertRefused(['x'.repeat(10_000_000)], /^path is longer than 4096 bytes$/)
})

test('two names that some file system takes for one are refused', () => {
  assertRefused(['a', 'a'], /two files are named "a"/)
  assertRefused(['Makefile', 'makefile'], /same name to some file systems/)
  assertRefused(['na\u00efve', 'nai\u0308ve'], /same name/)
  assertRefused(['stra\u00dfe', 'STRASSE'], /same name/)
  assertRefused(['a', 'a. .'], /same name/)
  assertRefused(['Dir/a', 'dir/b'], /two folders/)
})

test('a path that is both a file and a folder is refused in either order', () => {
  assertRefused(['a', 'a/b'], /a file and a folder/)
  assertRefused(['a/b', 'a'], /a file and a folder/)
  assertRefused(['x/a/b', 'X'], /a file and a folder/)
})

test('a tree of too many folders is refused', () => {
  const deep = new Array(2000).fill('d').join('/')
  const paths = Array.from({ length: MAX_FOLDERS / 2000 + 1 }, (_, i) => `${i}/${deep}`)
  assertRefused(paths, /more than 500000 folders/)
  checkFilePaths(paths.slice(0, -1), String)
})
