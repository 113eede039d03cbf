import assert from 'node:assert/strict'
import { X509Certificate } from 'node:crypto'
import { once } from 'node:events'
import { connect as connectSocket, type Socket } from 'node:net'
import { afterEach, describe, it } from 'node:test'
import { connect as connectTls } from 'node:tls'
import { generateKeyPair } from '@libp2p/crypto/keys'
import type { PrivateKey, StreamMuxerFactory, Upgrader } from '@libp2p/interface'
import { defaultLogger } from '@libp2p/logger'
import { peerIdFromPrivateKey } from '@libp2p/peer-id'
import { multiaddrConnectionPair } from '@libp2p/utils'
import { type RawTlsComponents, rawTls } from '../../../src/network/transport/raw-tls.ts'
import { createCertificate, verifyCertificate } from '../../../src/network/transport/tls-certificate.ts'
import { Hosts } from '../support.ts'

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
    const day = 86_400_000
    await assert.rejects(verifyCertificate(raw, Date.now() - 5 * day), /not valid yet, by 96 h of our clock/)
    await assert.rejects(verifyCertificate(raw, Date.now() + 101 * 365 * day), /expired/)
  })

  it('of a peer whose clock is two days off is taken, and the difference is told', async () => {
    const raw = await derOf(identity)
    const told: number[] = []
    await verifyCertificate(raw, Date.now() - 2 * 86_400_000, ms => told.push(ms))
    assert.equal(told.length, 1)
    assert.ok(Math.abs((told[0] as number) - 86_400_000) < 60_000)
    await verifyCertificate(raw, Date.now() + 2 * 86_400_000, ms => told.push(ms))
    assert.equal(told.length, 1)
  })

  it('whose dates are in the wrong order or are none is refused', async () => {
    const raw = Buffer.from(await derOf(identity))
    // The two dates as they stand in the certificate: UTCTime, then GeneralizedTime.
    const from = raw.indexOf(Buffer.from([0x17, 13]))
    const late = Buffer.from(raw)
    late.write('491231235959Z', from + 2, 'latin1')
    const to = raw.indexOf(Buffer.from([0x18, 15]))
    late.write('20300101000000Z', to + 2, 'latin1')
    const none = Buffer.from(raw)
    none.write('269999999999Z', from + 2, 'latin1')
    for (const bad of [late, none]) await assert.rejects(verifyCertificate(bad, Date.now()), /impossible dates|date|time/i)
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
      const socket = await negotiated(port)
      const tls = connectTls({ socket, rejectUnauthorized: false, ALPNProtocols: ['libp2p'], ...options })
      tls.on('error', () => {})
      await new Promise(resolve => tls.once('close', resolve))
    }
    const other = await hosts.create()
    assert.equal(await other.bootstrap(host.addresses()[0] as string), host.peer)
  })

  it('resumes no session: a peer that offers one shakes hands as a whole', async () => {
    const host = await hosts.create()
    const port = Number(/tcp\/(\d+)/.exec(host.addresses()[0] as string)?.[1])
    const { cert, key } = await createCertificate(identity)
    let session: Buffer | undefined
    for (let round = 0; round < 2; round++) {
      const socket = await negotiated(port)
      const tls = connectTls({
        socket,
        cert,
        key,
        rejectUnauthorized: false,
        ALPNProtocols: ['libp2p'],
        ...(session && { session })
      })
      const ended = once(tls, 'close').then(() => assert.fail('the connection was closed'))
      tls.on('session', ticket => {
        session = ticket
      })
      tls.write('\x13/multistream/1.0.0\n')
      await Promise.race([once(tls, 'data'), ended])
      assert.equal(tls.isSessionReused(), false)
      assert.ok(session)
      tls.removeAllListeners('close')
      tls.destroy()
    }
  })

  it('counts certificates that it refuses, and says how far a clock is off', async () => {
    const lines: string[] = []
    const host = await hosts.create({ warn: line => lines.push(line) })
    const port = Number(/tcp\/(\d+)/.exec(host.addresses()[0] as string)?.[1])
    const shake = async (cert: { cert: string; key: string }) => {
      const tls = connectTls({ socket: await negotiated(port), ...cert, rejectUnauthorized: false, ALPNProtocols: ['libp2p'] })
      tls.on('error', () => {})
      tls.write('\x13/multistream/1.0.0\n')
      await Promise.race([once(tls, 'data'), once(tls, 'close')])
      const isOpen = !tls.destroyed
      tls.destroy()
      return isOpen
    }
    const ahead = async (days: number) => {
      const { now } = Date
      Date.now = () => now() + days * 86_400_000
      try {
        return await createCertificate(identity)
      } finally {
        Date.now = now
      }
    }
    assert.equal(await shake(await ahead(2)), true)
    assert.match(lines.join(), /clock that differs from ours by 24 h or more/)
    assert.equal(host.refusals.get('certificate'), 0)
    assert.equal(await shake(await ahead(9)), false)
    assert.equal(host.refusals.get('certificate'), 1)
    assert.equal(lines.length, 1, 'once a minute')
  })

  it('leaves connections that are no TCP sockets to the stock encrypter, and says so', async () => {
    const lines: string[] = []
    const [left, right] = multiaddrConnectionPair()
    const [a, b] = await Promise.all([componentsOf(identity), componentsOf(await generateKeyPair('Ed25519'))])
    const init = { log: (line: string) => lines.push(line), onClockDifference: () => {}, onRefused: () => {} }
    const encrypter = (components: RawTlsComponents) => rawTls(init)(components)
    const [inbound, outbound] = await Promise.all([encrypter(a).secureInbound(left), encrypter(b).secureOutbound(right)])
    assert.ok(outbound.remotePeer.equals(peerIdFromPrivateKey(a.privateKey)))
    assert.ok(inbound.remotePeer.equals(peerIdFromPrivateKey(b.privateKey)))
    assert.equal(lines.filter(line => line.includes('stock')).length, 2)
    left.abort(new Error('done'))
  })
})

/** A connection on which TLS is agreed on. */
async function negotiated(port: number): Promise<Socket> {
  const socket = connectSocket(port, '127.0.0.1')
  socket.write('\x13/multistream/1.0.0\n\x0b/tls/1.0.0\n')
  let answer = ''
  while (!answer.endsWith('/tls/1.0.0\n')) answer += (await once(socket, 'data'))[0].toString('latin1')
  return socket
}

async function componentsOf(privateKey: PrivateKey): Promise<RawTlsComponents> {
  const upgrader = { getStreamMuxers: () => new Map<string, StreamMuxerFactory>() } as unknown as Upgrader
  return { privateKey, logger: defaultLogger(), upgrader }
}
