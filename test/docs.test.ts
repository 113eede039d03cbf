/**
 * Documents name only what is there: files that they link or send readers to, and npm scripts.
 */

import assert from 'node:assert/strict'
import { existsSync, globSync, readFileSync } from 'node:fs'
import { dirname, join, relative } from 'node:path'
import { test } from 'node:test'

const ROOT = join(import.meta.dirname, '..')
const DOCS = ['README.md', 'ARCHITECTURE.md', 'CONTRIBUTING.md', 'SECURITY.md', ...globSync('docs/*.md', { cwd: ROOT })]
const { scripts, files } = JSON.parse(readFileSync(join(ROOT, 'package.json'), 'utf8'))

const textOf = (doc: string) => readFileSync(join(ROOT, doc), 'utf8')

/** Targets of links within the repository, from its root. */
function linksOf(doc: string): string[] {
  return [...textOf(doc).matchAll(/\]\(([^)#:]+)(?:#[^)]*)?\)/g)].map(([, target]) =>
    relative(ROOT, join(ROOT, dirname(doc), target as string))
  )
}

test('every file that a document links is there', () => {
  for (const doc of DOCS) for (const target of linksOf(doc)) assert.ok(existsSync(join(ROOT, target)), `${doc} links ${target}`)
})

test('every place in the sources that a contributor is sent to is there', () => {
  const named = [...textOf('CONTRIBUTING.md').matchAll(/`((?:src|test|docs)\/[\w./-]+)`/g)].map(([, path]) => path as string)
  assert.ok(named.length > 20)
  for (const path of named) if (!path.includes('NNN')) assert.ok(existsSync(join(ROOT, path)), path)
})

test('every npm script that a document names is one', () => {
  for (const doc of DOCS) {
    for (const [, name] of textOf(doc).matchAll(/npm run (?:-s |--silent )?([\w:]+)/g))
      assert.ok(scripts[name as string], `${doc}: ${name}`)
  }
})

test('the package holds every file that its README links', () => {
  const packed = new Set(['README.md', 'LICENSE', ...globSync(files, { cwd: ROOT })])
  const held = (target: string) => packed.has(target) || [...packed].some(path => path.startsWith(`${target}/`))
  for (const target of linksOf('README.md')) assert.ok(held(target), target)
})

test('every file that a walk of ARCHITECTURE.md names is there, and no walk names one twice', () => {
  const section = textOf('ARCHITECTURE.md').split('## Three walks')[1]?.split('\n## ')[0] as string
  const walks = section
    .split('\n**')
    .slice(1)
    .map(walk => [...walk.matchAll(/^\d+\. `(src\/[^`]+)`/gm)].map(([, path]) => path as string))
  assert.equal(walks.length, 3)
  for (const walk of walks) {
    assert.ok(walk.length > 5)
    assert.equal(new Set(walk).size, walk.length)
    for (const path of walk) assert.ok(existsSync(join(ROOT, path)), path)
  }
})

/** Paths in the running documents; notes tell of files as they were. */
const SOURCE_PATH = /`((?:src|test|bench|docs|examples|scripts)\/[\w./-]+\.\w+)`/g

test('every file of the sources that a document names is there', () => {
  for (const doc of DOCS) {
    for (const [, path] of textOf(doc).matchAll(SOURCE_PATH))
      if (!path?.includes('NNN')) assert.ok(existsSync(join(ROOT, path as string)), `${doc}: ${path}`)
  }
})

test('every file of the sources that a comment names is there', () => {
  const sources = globSync('{src,test,bench,examples,scripts}/**/*.{ts,tsx}', { cwd: ROOT })
  for (const path of sources) {
    const comments = textOf(path).match(/\/\*\*[\s\S]*?\*\/|\/\/[^\n]*/g) ?? []
    for (const [name] of comments.join('\n').matchAll(/[\w./-]*[\w-]+\.tsx?\b/g)) {
      const isThere = sources.some(each => `/${each}`.endsWith(`/${name.replace(/^[./]+/, '')}`))
      assert.ok(isThere, `${path} names ${name}`)
    }
  }
})

test('no document and no source uses the words that make sentences hard to read', () => {
  const sources = globSync('{src,test,bench,examples,scripts}/**/*.{ts,tsx}', { cwd: ROOT })
  const itself = relative(ROOT, import.meta.filename)
  for (const path of [...DOCS, 'CHANGELOG.md', ...sources]) {
    if (path === itself) continue
    const [word] = textOf(path).match(/\b(whoever|in place of|anew|told of)\b/i) ?? []
    assert.equal(word, undefined, path)
  }
})
