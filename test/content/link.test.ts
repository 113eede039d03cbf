import assert from 'node:assert/strict'
import { test } from 'node:test'
import { formatLink, parseLink } from '../../src/content/link.ts'
import { InvalidManifestError } from '../../src/errors.ts'
import { fileManifest, folderManifest, PEER_HINT } from './samples.ts'

const ROOT = 'ab'.repeat(32)

function assertRefused(text: string, what: RegExp): void {
  assert.throws(
    () => parseLink(text),
    (err: unknown) => err instanceof InvalidManifestError && what.test(err.what),
    text.slice(0, 200)
  )
}

test('a link reads back to what was put in', () => {
  const link = {
    root: ROOT,
    name: 'ä b&c=d+e%#?.txt',
    length: 12,
    peers: [PEER_HINT, '/p2p/Qm'],
    origins: ['https://h/x?a=1&b=2#z']
  }
  assert.deepEqual(parseLink(formatLink(link)), link)
  assert.deepEqual(parseLink(formatLink({ root: ROOT })), { root: ROOT })
})

test('the link of a manifest carries its hints, or the peers given instead', () => {
  const { root, name, length } = fileManifest()
  assert.deepEqual(parseLink(formatLink(fileManifest())), { root, name, length, peers: [PEER_HINT] })
  assert.deepEqual(parseLink(formatLink(fileManifest(), [])), { root, name, length })
  assert.deepEqual(parseLink(formatLink(folderManifest())).origins, folderManifest().origins)
})

test('keys that are not known are ignored', () => {
  assert.deepEqual(parseLink(`swarm:${ROOT}?later=%zz&flag&&name=a`), { root: ROOT, name: 'a' })
})

test('a link that is not well-formed is refused', () => {
  for (const text of [
    '',
    'swarm:',
    ROOT,
    `swarm:${ROOT.slice(1)}`,
    `swarm:${ROOT}0`,
    `swarm:${ROOT.toUpperCase()}`,
    ` swarm:${ROOT}`,
    `swarm:${ROOT}?a b`
  ]) {
    assertRefused(text, /of the form/)
  }
  assertRefused(`swarm:${ROOT}?name=%zz`, /percent-encoded/)
  assertRefused(`swarm:${ROOT}?name=%ff`, /percent-encoded/)
  assertRefused(`swarm:${ROOT}?x=${'x'.repeat(70_000)}`, /longer than/)
})

test('hostile values in a link are refused', () => {
  assertRefused(`swarm:${ROOT}?name=..%2Fx`, /slash/)
  assertRefused(`swarm:${ROOT}?name=a%00`, /control/)
  assertRefused(`swarm:${ROOT}?name=a&name=b`, /twice/)
  for (const length of ['1e9', '-1', '01', '', '9'.repeat(15), '9'.repeat(30)])
    assertRefused(`swarm:${ROOT}?length=${length}`, /not a length/)
  assertRefused(`swarm:${ROOT}?peer=javascript:alert(1)`, /multiaddr/)
  assertRefused(`swarm:${ROOT}?${'peer=/p2p/Qm&'.repeat(65)}`, /more than 64/)
  assertRefused(`swarm:${ROOT}?origin=ftp://x/`, /HTTP/)
})
