/**
 * Who may open the first links to a sequencer: the witnesses that the founding document names, by the
 * digest of their TLS keys. Their certificates are learnt from the witnesses' own listeners.
 */
import type { Scheduler } from "../src/base/clock.ts";
import type { CityWitness } from "../src/ledger/embedded/network.ts";
import { pinCertificate, spkiDigest } from "./tls.ts";

const probeAgainMs = 1000;

export interface FirstLinks {
  /** DER of the certificates that are known so far. */
  certificates(): readonly Uint8Array[];
  /** Whether a certificate is of a founding city's witness. */
  isWitness(certificate: Uint8Array): boolean;
  close(): void;
}

/** Asks every witness for its certificate until all have answered. `onLearnt` is told of each. */
export function learnFirstLinks(
  witnesses: readonly CityWitness[],
  scheduler: Scheduler,
  onLearnt: () => void,
): FirstLinks {
  const known: Uint8Array[] = [];
  const cancels = new Set<() => void>();
  let closed = false;
  const probe = (witness: CityWitness): void => {
    pinCertificate(witness.address, witness.tls).then(
      (certificate) => {
        if (closed) return;
        known.push(certificate);
        onLearnt();
      },
      () => {
        // Not up yet, or another key answers there: either way nothing is trusted, and asked again.
        if (closed) return;
        const cancel = scheduler.after(probeAgainMs, () => {
          cancels.delete(cancel);
          probe(witness);
        });
        cancels.add(cancel);
      },
    );
  };
  for (const witness of witnesses) probe(witness);
  return {
    certificates: () => known,
    isWitness: (certificate) => witnesses.some(({ tls }) => tls === spkiDigest(certificate)),
    close: () => {
      closed = true;
      for (const cancel of cancels) cancel();
    },
  };
}
