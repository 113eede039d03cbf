/**
 * libp2p's noise, whose module is loaded with the first connection that needs it: among our nodes TLS carries
 * all, and noise with its curves in JavaScript was a twentieth of what a node does until it listens. Used by
 * host.ts.
 */

import type { NoiseComponents } from '@chainsafe/libp2p-noise'
import {
  type ConnectionEncrypter,
  type MessageStream,
  type SecureConnectionOptions,
  type SecuredConnection,
  serviceCapabilities
} from '@libp2p/interface'

/** The encrypter's factory, for `connectionEncrypters`. */
export function lazyNoise(): (components: NoiseComponents) => ConnectionEncrypter {
  return components => new LateNoise(components)
}

class LateNoise implements ConnectionEncrypter {
  readonly protocol = '/noise'
  readonly [serviceCapabilities] = ['@libp2p/connection-encryption', '@chainsafe/libp2p-noise']

  readonly #components: NoiseComponents
  #noise: Promise<ConnectionEncrypter> | undefined

  constructor(components: NoiseComponents) {
    this.#components = components
  }

  async secureInbound(connection: MessageStream, options?: SecureConnectionOptions): Promise<SecuredConnection> {
    return (await this.#load()).secureInbound(connection, options)
  }

  async secureOutbound(connection: MessageStream, options?: SecureConnectionOptions): Promise<SecuredConnection> {
    return (await this.#load()).secureOutbound(connection, options)
  }

  #load(): Promise<ConnectionEncrypter> {
    this.#noise ??= import('@chainsafe/libp2p-noise').then(({ noise }) => noise()(this.#components))
    return this.#noise
  }
}
