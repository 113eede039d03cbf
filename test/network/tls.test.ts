import assert from 'node:assert/strict'
import { X509Certificate } from 'node:crypto'
import { once } from 'node:events'
import { connect as connectSocket } from 'node:net'
import { afterEach, describe, it } from 'node:test'
import { connect as connectTls } from 'node:tls'
import { generateKeyPair } from '@libp2p/crypto/keys'
import type { PrivateKey, StreamMuxerFactory, Upgrader } from '@libp2p/interface'
import { defaultLogger } from '@libp2p/logger'
import { peerIdFromPrivateKey } from '@libp2p/peer-id'
import { multiaddrConnectionPair } from '@libp2p/utils'
import { type RawTlsComponents, rawTls } from '../../src/network/transport/raw-tls.ts'
import { createCertificate, verifyCertificate } from '../../src/network/transport/tls-certificate.ts'
import { Hosts } from './support.ts'

const hosts = new Hosts()
afterEach(() => hosts.stop())

const identity = await generateKeyPair('Ed25519')

async function derOf(key: PrivateKey): Promise<Uint8Array> {
  return new X509Certificate((await createCertificate(key)).cert).raw
}

describe('a certificate', () => {
  for (const type of ['Ed25519', 'secp256k1', 'RSA'] as const) {
    it(`names the peer that made it, with a key of type ${type}`, async () => {
      const key: PrivateKey = await generateKeyPair(type as 'Ed25519')
      const peer = await verifyCertificate(await derOf(key), Date.now())
      assert.ok(peer.equals(peerIdFromPrivateKey(key)))
    })
  }

  it('counts between its dates only', async () => {
    const raw = await derOf(identity)
    await assert.rejects(verifyCertificate(raw, Date.now() - 2 * 3_600_000), /not valid yet/)
    await assert.rejects(verifyCertificate(raw, Date.now() + 101 * 365 * 86_400_000), /expired/)
  })

  it('that names a peer which did not sign it is refused', async () => {
    const victim = await generateKeyPair('Ed25519')
    const liar = { publicKey: victim.publicKey, sign: (data: Uint8Array) => identity.sign(data) } as unknown as PrivateKey
    await assert.rejects(verifyCertificate(await derOf(liar), Date.now()), /not signed by the peer/)
  })

  it('with any bit of it changed, or cut off anywhere, is refused', async () => {
    const raw = await derOf(identity)
    for (let place = 0; place < raw.byteLength; place++) {
      const changed = Uint8Array.from(raw)
      changed[place] = (changed[place] as number) ^ (1 << (place % 8))
      await assert.rejects(verifyCertificate(changed, Date.now()), Error, `byte ${place} changed`)
      await assert.rejects(verifyCertificate(raw.subarray(0, place), Date.now()), Error, `cut at ${place}`)
    }
    await assert.rejects(verifyCertificate(new Uint8Array(100_000), Date.now()), Error)
  })
})

describe('TLS on the socket', () => {
  it('does not let in who shows no certificate, or speaks an older TLS, and goes on serving', async () => {
    const host = await hosts.create()
    const port = Number(/tcp\/(\d+)/.exec(host.addresses()[0] as string)?.[1])
    for (const options of [{}, { maxVersion: 'TLSv1.2' as const }]) {
      const socket = connectSocket(port, '127.0.0.1')
      socket.write('\x13/multistream/1.0.0\n\x0b/tls/1.0.0\n')
      let answer = ''
      while (!answer.endsWith('/tls/1.0.0\n')) answer += (await once(socket, 'data'))[0].toString('latin1')
      const tls = connectTls({ socket, rejectUnauthorized: false, ALPNProtocols: ['libp2p'], ...options })
      tls.on('error', () => {})
      await new Promise(resolve => tls.once('close', resolve))
    }
    const other = await hosts.create()
    assert.equal(await other.bootstrap(host.addresses()[0] as string), host.peer)
  })

  it('leaves connections that are no TCP sockets to the stock encrypter, and says so', async () => {
    const lines: string[] = []
    const [left, right] = multiaddrConnectionPair()
    const [a, b] = await Promise.all([componentsOf(identity), componentsOf(await generateKeyPair('Ed25519'))])
    const encrypter = (components: RawTlsComponents) => rawTls(line => lines.push(line))(components)
    const [inbound, outbound] = await Promise.all([encrypter(a).secureInbound(left), encrypter(b).secureOutbound(right)])
    assert.ok(outbound.remotePeer.equals(peerIdFromPrivateKey(a.privateKey)))
    assert.ok(inbound.remotePeer.equals(peerIdFromPrivateKey(b.privateKey)))
    assert.equal(lines.filter(line => line.includes('stock')).length, 2)
    left.abort(new Error('done'))
  })
})

async function componentsOf(privateKey: PrivateKey): Promise<RawTlsComponents> {
  const upgrader = { getStreamMuxers: () => new Map<string, StreamMuxerFactory>() } as unknown as Upgrader
  return { privateKey, logger: defaultLogger(), upgrader }
}
