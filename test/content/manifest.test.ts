import assert from 'node:assert/strict'
import { test } from 'node:test'
import { formatManifest, MAX_MANIFEST_BYTES, parseManifest } from '../../src/content/manifest.ts'
import { InvalidManifestError } from '../../src/errors.ts'
import { loadHasher } from '../../src/store/hasher.ts'
import { encodeUtf8 } from '../../src/util/bytes.ts'
import { fileManifest, folderManifest, hash, sampleBytes } from './samples.ts'

/** The manifest's JSON with some fields replaced; undefined removes one. */
function changed(fields: Record<string, unknown>, base = fileManifest()): string {
  return JSON.stringify({ ...JSON.parse(formatManifest(base)), ...fields })
}

function assertRefused(text: string | Uint8Array, what: RegExp, where: string): void {
  assert.throws(
    () => parseManifest(text, hash),
    (err: unknown) => {
      assert.ok(err instanceof InvalidManifestError, String(err))
      assert.match(err.what, what)
      assert.equal(err.where, where)
      return true
    }
  )
}

test('a formatted manifest reads back to the same value, for a file, a folder and an empty file', () => {
  for (const manifest of [fileManifest(), folderManifest(), fileManifest(0), folderManifest([])]) {
    const text = formatManifest(manifest)
    assert.deepEqual(parseManifest(text, hash), manifest)
    assert.deepEqual(parseManifest(encodeUtf8(text), hash), manifest)
  }
})

test('a manifest made with the native hash is read with the pure one, and both hash alike', async () => {
  const native = await loadHasher('native')
  const pure = await loadHasher('pure')
  assert.equal(native.implementation, 'native')
  assert.equal(pure.implementation, 'pure')
  for (const length of [0, 1, 64, 1024, 1025, 16_384, 262_144, 262_145, 1_000_003]) {
    const data = sampleBytes(length)
    assert.deepEqual(native.hash(data), pure.hash(data), `${length} bytes`)
    assert.deepEqual(native.hash(data.subarray(1)), pure.hash(data.subarray(1)), `${length} bytes, unaligned`)
  }
  const manifest = folderManifest()
  assert.deepEqual(parseManifest(formatManifest(manifest), pure.hash), manifest)
})

test('a length of minus zero is read as zero', () => {
  const manifest = parseManifest(formatManifest(fileManifest(0)).replace('"length": 0', '"length": -0'), hash)
  assert.ok(Object.is(manifest.length, 0))
})

test('fields that are not known are ignored', () => {
  assert.equal(parseManifest(changed({ comment: { a: [1, 2] } }), hash).root, fileManifest().root)
})

test('text that is not a manifest is refused', () => {
  assertRefused('', /not JSON/, 'character 0')
  assertRefused(formatManifest(fileManifest()).slice(0, -5), /not JSON/, 'character 0')
  assertRefused('[]', /not an object/, 'the top')
  assertRefused('null', /not an object/, 'the top')
  assertRefused(Uint8Array.of(0x7b, 0xff, 0x7d), /not UTF-8/, 'byte 0')
  assertRefused(changed({ swarm: 2 }), /version 1/, 'swarm')
  assertRefused(changed({ hash: 'sha1' }), /blake3/, 'hash')
})

test('a manifest that would cost much memory is refused before it is built', () => {
  assertRefused(new Uint8Array(MAX_MANIFEST_BYTES + 1), /longer than/, 'byte 0')
  assertRefused('['.repeat(1000), /nested too deeply/, 'character 16')
  assert.throws(() => parseManifest(`[${'{},'.repeat(3_000_000)}{}]`, hash), /too many values/)
  assertRefused(`{"a": "${'[{,'.repeat(1000)}\\"["}`, /version 1/, 'swarm')
})

test('sizes that contradict each other or are out of bounds are refused', () => {
  assertRefused(changed({ length: 1e15 }), /not a length/, 'length')
  assertRefused(changed({ length: -1 }), /not a length/, 'length')
  assertRefused(changed({ length: 1.5 }), /not a length/, 'length')
  assertRefused(changed({ length: '20000' }), /not a number/, 'length')
  assertRefused(changed({ length: 40_000 }), /2 piece hashes, 3 expected/, 'pieces')
  assertRefused(changed({ pieceLength: 20_000 }), /power of two/, 'pieceLength')
  assertRefused(changed({ pieceLength: 1 }), /power of two/, 'pieceLength')
  assertRefused(changed({ length: 2 ** 43 }), /make pieces longer/, 'pieceLength')
  assertRefused(changed({ pieces: ['00'] }), /64 lower-case hex/, 'pieces[0]')
  assertRefused(changed({ pieces: {} }), /not an array/, 'pieces')
})

test('a manifest whose root does not match what it says is refused', () => {
  assertRefused(changed({ root: '0'.repeat(64) }), /does not match/, 'root')
  assertRefused(changed({ length: 20_001 }), /does not match/, 'root')
  const folder = JSON.parse(formatManifest(folderManifest()))
  folder.files[0].path = 'bin/other'
  assertRefused(JSON.stringify(folder), /does not match/, 'root')
})

test('file lengths that do not sum up to the length are refused', () => {
  const file = (length: unknown) => ({ path: 'a', length })
  assertRefused(changed({ files: [file(19_999)] }), /sum up to 19999/, 'files')
  assertRefused(changed({ files: [file(20_001)] }), /do not fit/, 'files[0].length')
  assertRefused(changed({ files: [file(-5)] }), /do not fit/, 'files[0].length')
  assertRefused(changed({ files: [file(null)] }), /not a number/, 'files[0].length')
  assertRefused(changed({ files: [{ path: 'a', length: 20_000, executable: 1 }] }), /not true or false/, 'files[0].executable')
})

test('names that could leave the folder are refused wherever they stand', () => {
  assertRefused(changed({ name: '../x' }), /slash/, 'name')
  assertRefused(changed({ name: '..' }), /leads out/, 'name')
  assertRefused(changed({ name: 3 }), /not a string/, 'name')
  assertRefused(changed({ files: [{ path: 'a/../../x', length: 20_000 }] }), /leads out/, 'files[0].path')
  assertRefused(changed({ files: [{ path: '/etc/passwd', length: 20_000 }] }), /absolute/, 'files[0].path')
})

test('hints that are no multiaddr with a peer id or no HTTP(S) URL are refused', () => {
  assertRefused(changed({ peers: ['/ip4/1.2.3.4/tcp/1'] }), /multiaddr/, 'peers[0]')
  assertRefused(changed({ peers: [`/dns4/${'a'.repeat(300)}/p2p/Qm`] }), /longer than/, 'peers[0]')
  assertRefused(changed({ peers: new Array(65).fill('/p2p/Qm') }), /more than 64/, 'peers')
  assertRefused(changed({ origins: ['file:///etc/passwd'] }), /HTTP/, 'origins[0]')
  assertRefused(changed({ origins: ['/relative'] }), /HTTP/, 'origins[0]')
})
