/** The TLS key and certificate that this process shows to other gateways now. */
import type { PeerTls } from "../src/exchange/transport/tls-options.ts";
import type { TlsKey } from "./keys/tls.ts";
import { certificatePem } from "./tls.ts";

export class OwnTls {
  #current: TlsKey;
  readonly #listeners = new Set<() => void>();

  constructor(first: TlsKey) {
    this.#current = first;
  }

  get current(): TlsKey {
    return this.#current;
  }

  /** As PEM. */
  get pem(): Pick<PeerTls, "certificate" | "privateKey"> {
    const { certificateDer, privateKeyPem } = this.#current;
    return { certificate: certificatePem(certificateDer), privateKey: privateKeyPem };
  }

  /** From now on new connections are opened and accepted with this one. */
  replace(next: TlsKey): void {
    this.#current = next;
    for (const listener of this.#listeners) listener();
  }

  /** Returns what ends the listening. */
  onChange(listener: () => void): () => void {
    this.#listeners.add(listener);
    return () => void this.#listeners.delete(listener);
  }
}
