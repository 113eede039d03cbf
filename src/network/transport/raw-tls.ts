/**
 * libp2p's TLS 1.3 put directly on the TCP socket.
 *
 * The stock encrypter wraps the connection in a JavaScript stream and gives that to TLS, which costs more
 * than the encryption itself. On the wire nothing differs: either side may be stock. Where the connection is
 * not a TCP socket, or libp2p's internals are not what they were (the socket is a private field), the stock
 * encrypter does it, with a line in the log. Used by host.ts.
 */

import { constants } from 'node:crypto'
import { Socket } from 'node:net'
import { connect, createSecureContext, type SecureContext, TLSSocket } from 'node:tls'
import type {
  ComponentLogger,
  ConnectionEncrypter,
  MessageStream,
  PeerId,
  PrivateKey,
  SecureConnectionOptions,
  SecuredConnection,
  StreamMuxerFactory,
  Upgrader
} from '@libp2p/interface'
import { serviceCapabilities, UnexpectedPeerError } from '@libp2p/interface'
import type { Uint8ArrayList } from 'uint8arraylist'
import { setLowDelay } from './socket-priority.ts'
import { createCertificate, verifyCertificate } from './tls-certificate.ts'
import { TlsConnection } from './tls-connection.ts'

const TLS_PROTOCOL = '/tls/1.0.0'
/** ALPN name of a side that negotiates the muxer after the handshake. */
const ALPN_PLAIN = 'libp2p'
/** All three that TLS 1.3 has; AES-128 first because it is the cheapest where AES is in hardware. */
const CIPHERS = 'TLS_AES_128_GCM_SHA256:TLS_AES_256_GCM_SHA384:TLS_CHACHA20_POLY1305_SHA256'

export interface RawTlsComponents {
  privateKey: PrivateKey
  logger: ComponentLogger
  upgrader: Upgrader
}

export interface RawTlsInit {
  /** Hears of fallbacks. */
  log(line: string): void
  /** A peer's certificate says that its clock and ours differ by at least this. */
  onClockDifference(ms: number, connection: object): void
  /** A peer's certificate was refused. */
  onRefused(connection: object): void
}

/** The encrypter's factory, for `connectionEncrypters`. */
export function rawTls(init: RawTlsInit): (components: RawTlsComponents) => ConnectionEncrypter {
  return components => new RawTls(components, init)
}

/** What is used of libp2p's TCP connection beyond its interface. */
interface SocketConnection extends MessageStream {
  socket: Socket
  readBuffer: Uint8ArrayList
  sendClose(options?: { signal?: AbortSignal }): Promise<void>
  sendReset(err: Error): void
}

function isSocketConnection(connection: MessageStream): connection is SocketConnection {
  const { socket, readBuffer, sendClose, sendReset } = connection as Partial<SocketConnection>
  return (
    socket instanceof Socket &&
    !(socket instanceof TLSSocket) &&
    typeof readBuffer?.subarray === 'function' &&
    typeof readBuffer.consume === 'function' &&
    typeof sendClose === 'function' &&
    typeof sendReset === 'function'
  )
}

class RawTls implements ConnectionEncrypter {
  readonly protocol = TLS_PROTOCOL
  readonly [serviceCapabilities] = ['@libp2p/connection-encryption']

  readonly #components: RawTlsComponents
  readonly #init: RawTlsInit
  /** One key and certificate for all connections of this host. */
  #context: Promise<SecureContext> | undefined
  #stock: Promise<ConnectionEncrypter> | undefined

  constructor(components: RawTlsComponents, init: RawTlsInit) {
    this.#components = components
    this.#init = init
  }

  secureInbound(connection: MessageStream, options?: SecureConnectionOptions): Promise<SecuredConnection> {
    return this.#secure(connection, true, options)
  }

  secureOutbound(connection: MessageStream, options?: SecureConnectionOptions): Promise<SecuredConnection> {
    return this.#secure(connection, false, options)
  }

  async #secure(connection: MessageStream, isServer: boolean, options: SecureConnectionOptions = {}): Promise<SecuredConnection> {
    if (!isSocketConnection(connection)) {
      this.#init.log('tls: no TCP socket within reach, using the stock encrypter')
      const stock = await this.#loadStock()
      return isServer ? stock.secureInbound(connection, options) : stock.secureOutbound(connection, options)
    }
    this.#context ??= this.#createContext()
    const secureContext = await this.#context
    options.signal?.throwIfAborted()
    const { socket } = connection
    takeSocket(connection)
    setLowDelay(socket, true)
    const muxers = options.skipStreamMuxerNegotiation === true ? new Map() : this.#components.upgrader.getStreamMuxers()
    const tls = isServer ? serverSide(socket, secureContext, muxers) : clientSide(socket, secureContext, muxers)
    // Closing the socket underneath a live TLS wrap crashes Node (a segmentation fault): from here on TLS
    // closes it.
    connection.sendReset = () => tls.destroy()
    try {
      await handshake(tls, connection, options.signal)
      const remotePeer = await this.#peerOf(tls, connection, options.remotePeer)
      const streamMuxer: StreamMuxerFactory | undefined =
        typeof tls.alpnProtocol === 'string' ? muxers.get(tls.alpnProtocol) : undefined
      const secured = new TlsConnection(connection, tls, socket)
      // libp2p closes the connection below; what TLS still holds must leave before the socket goes.
      connection.sendClose = closeOptions => secured.drainAndClose(closeOptions)
      return { remotePeer, connection: secured, ...(streamMuxer === undefined ? {} : { streamMuxer }) }
    } catch (err) {
      tls.destroy()
      connection.abort(err as Error)
      throw err
    }
  }

  async #peerOf(tls: TLSSocket, connection: MessageStream, expected: PeerId | undefined): Promise<PeerId> {
    const peer = await this.#verify(tls, connection).catch(err => {
      this.#init.onRefused(connection)
      throw err
    })
    if (expected !== undefined && !expected.equals(peer)) throw new UnexpectedPeerError()
    return peer
  }

  async #verify(tls: TLSSocket, connection: MessageStream): Promise<PeerId> {
    const { raw, issuerCertificate } = tls.getPeerCertificate(true)
    if (raw === undefined) throw new Error('the peer showed no certificate')
    if (issuerCertificate !== undefined && !issuerCertificate.raw.equals(raw))
      throw new Error('the peer showed a chain of certificates')
    return verifyCertificate(raw, Date.now(), ms => this.#init.onClockDifference(ms, connection))
  }

  async #createContext(): Promise<SecureContext> {
    const certificate = await createCertificate(this.#components.privateKey)
    return createSecureContext({
      ...certificate,
      // None: certificates are self-signed. Without this line Node parses the 140 of the web, 10 ms at every
      // start.
      ca: [],
      minVersion: 'TLSv1.3',
      maxVersion: 'TLSv1.3',
      ciphers: CIPHERS,
      // Each handshake is a whole one: a resumed session would count for a peer without its key, and Node
      // cannot resume those with client certificates.
      secureOptions: constants.SSL_OP_NO_TICKET,
      honorCipherOrder: true
    })
  }

  async #loadStock(): Promise<ConnectionEncrypter> {
    this.#stock ??= import('@libp2p/tls').then(({ tls }) => tls()(this.#components))
    return this.#stock
  }
}

/** Makes the socket ours: libp2p's connection no longer reads from it, and what it had read goes back. */
function takeSocket(connection: SocketConnection): void {
  const { socket, readBuffer } = connection
  socket.pause()
  socket.removeAllListeners('data')
  socket.removeAllListeners('drain')
  if (readBuffer.byteLength > 0) {
    const unread = readBuffer.subarray()
    readBuffer.consume(unread.byteLength)
    socket.unshift(unread)
  }
}

function serverSide(socket: Socket, secureContext: SecureContext, muxers: Map<string, StreamMuxerFactory>): TLSSocket {
  return new TLSSocket(socket, {
    isServer: true,
    secureContext,
    requestCert: true,
    // Certificates are self-signed; peerOf checks them.
    rejectUnauthorized: false,
    ALPNCallback: ({ protocols }) =>
      protocols.find(protocol => muxers.has(protocol)) ?? protocols.find(protocol => protocol === ALPN_PLAIN)
  })
}

function clientSide(socket: Socket, secureContext: SecureContext, muxers: Map<string, StreamMuxerFactory>): TLSSocket {
  return connect({ socket, secureContext, rejectUnauthorized: false, ALPNProtocols: [...muxers.keys(), ALPN_PLAIN] })
}

/**
 * Resolves when the handshake is done. The listeners for 'error' and 'close' that outlive it are the
 * connection's.
 */
function handshake(tls: TLSSocket, connection: MessageStream, signal: AbortSignal | undefined): Promise<void> {
  const { promise, resolve, reject } = Promise.withResolvers<void>()
  const onSecure = () => resolve()
  const onClose = () => reject(new Error('connection closed during the TLS handshake'))
  const onAbort = () => reject(signal?.reason)
  // Stays: an error after the handshake and before the connection listens must not be an uncaught one.
  tls.on('error', reject)
  tls.once('secure', onSecure)
  tls.once('close', onClose)
  connection.addEventListener('close', onClose)
  signal?.addEventListener('abort', onAbort, { once: true })
  return promise.finally(() => {
    tls.removeListener('secure', onSecure)
    tls.removeListener('close', onClose)
    connection.removeEventListener('close', onClose)
    signal?.removeEventListener('abort', onAbort)
  })
}
