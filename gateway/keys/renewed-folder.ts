/**
 * A key folder made from another: what changes is new, what stays is taken along. The old folder stays as it
 * is, because its keys sign the change and are valid until the change is final.
 */
import { toBase64, toHex, utf8 } from "../../src/base/bytes.ts";
import { CausewayError } from "../../src/base/errors.ts";
import { sha256 } from "../../src/base/sha256.ts";
import type { GatewayEndpoints } from "../../src/credential/statements.ts";
import { formatKey } from "../../src/credential/key-text.ts";
import { type Card, formatCard, type GatewayCard, parseCard } from "./card.ts";
import { assertFolderFree } from "./files.ts";
import { writeKeyFolder } from "./key-folder.ts";
import type { AppointmentCard, LogKey } from "./log-keys.ts";
import type { AgencyKeys, CityKeys, GatewayKeys, PrivateKey } from "./key-folder.ts";
import { KeyMaker, type KeyName, witnessName } from "./new-keys.ts";
import { assertPassphrase } from "./passphrase.ts";

/** What is to be new. */
export type Renewal =
  /** The next authority key becomes the authority key, and another one is made to follow it. */
  | { readonly of: CityKeys | AgencyKeys; readonly change: "authority" }
  | { readonly of: CityKeys; readonly change: "witness"; readonly address?: string | undefined }
  /** Batch, token and TLS keys. Log keys are taken along: a sequencer goes on in its term. */
  | {
      readonly of: GatewayKeys;
      readonly change: "gateway";
      /** The cards of the log keys of later terms. */
      readonly appointments: readonly AppointmentCard[];
      readonly endpoints?: Partial<GatewayEndpoints> | undefined;
    }
  /** The TLS key alone: a running gateway takes it into use. */
  | {
      readonly of: GatewayKeys;
      readonly change: "gateway-tls";
      readonly appointments: readonly AppointmentCard[];
    };

type PrivateKeys = Map<KeyName, string | Uint8Array>;

/**
 * Makes the renewed folder and returns its card.
 *
 * @throws CausewayError as `createKeyFolder`.
 */
export async function renewKeyFolder(
  renewal: Renewal,
  folder: string,
  options: { readonly passphrase: string; readonly nowMs: number; readonly scryptLogN?: number },
): Promise<Card> {
  assertPassphrase(options.passphrase);
  await assertFolderFree(folder);
  const maker = new KeyMaker(options.nowMs);
  const card = parseCard(utf8(formatCard(renewedCard(renewal, maker))), renewal.of.kind);
  const logs = "appointments" in renewal ? logKeysOf(renewal.of, renewal.appointments) : [];
  await writeKeyFolder(folder, { card, privateKeys: maker.privateKeys, logs }, options);
  return card;
}

/** Whether a card shows what such a renewal makes. */
export function isRenewalOf(card: Card, { of, change }: Renewal): boolean {
  if (card.kind !== of.kind || card.id !== of.card.id) return false;
  switch (change) {
    case "authority":
      return "authority" in card && card.authority === formatKey(nextOf(of).publicKey);
    case "witness":
      return (
        card.kind === "city" &&
        card.authority === of.card.authority &&
        card.witness !== of.card.witness
      );
    case "gateway":
      return card.kind === "gateway" && card.batch !== of.card.batch;
    case "gateway-tls":
      return (
        card.kind === "gateway" &&
        card.batch === of.card.batch &&
        card.certificates[0] !== of.card.certificates[0]
      );
  }
}

function renewedCard(renewal: Renewal, maker: KeyMaker): Card {
  switch (renewal.change) {
    case "authority":
      return renewedAuthority(renewal.of, maker);
    case "witness":
      return renewedWitness(renewal.of, renewal.address, maker);
    case "gateway":
      return renewedGateway(renewal.of, renewal.endpoints, maker);
    case "gateway-tls":
      return renewedTls(renewal.of, maker);
  }
}

function renewedAuthority(keys: CityKeys | AgencyKeys, maker: KeyMaker): Card {
  const successor = nextOf(keys);
  keep(maker.privateKeys, { authority: successor });
  const next = toHex(sha256(maker.ed25519("next-authority")));
  const authority = formatKey(successor.publicKey);
  if (keys.kind === "agency") return { ...keys.card, authority, next };
  keep(maker.privateKeys, { witness: keys.witness });
  maker.privateKeys.set("witness-tls", keys.tls.privateKeyPem);
  return { ...keys.card, authority, next };
}

function renewedWitness(keys: CityKeys, address: string | undefined, maker: KeyMaker): Card {
  keep(maker.privateKeys, { authority: keys.authority, "next-authority": nextOf(keys) });
  const tls = maker.tls("witness-tls", witnessName(keys.card.id));
  return {
    ...keys.card,
    witness: formatKey(maker.ed25519("witness")),
    witness_address: address ?? keys.card.witness_address,
    witness_tls: tls.spki,
    witness_certificate: tls.certificate,
  };
}

function logKeysOf(
  { logs }: GatewayKeys,
  appointments: readonly AppointmentCard[],
): readonly LogKey[] {
  return appointments.flatMap((card) => {
    const key = logs.get(BigInt(card.term));
    return key === undefined ? [] : [{ card, seed: key.seed }];
  });
}

function renewedTls(
  { card, tls: held, batch, token, log }: GatewayKeys,
  maker: KeyMaker,
): GatewayCard {
  const { certificate, spki } = maker.tls("tls", card.id);
  keep(maker.privateKeys, { batch, token, ...(log === undefined ? {} : { log }) });
  return {
    ...card,
    // Peers take the old certificate too, until a later statement of the gateway leaves it out.
    certificates: [certificate, toBase64(held.certificateDer)],
    tls: [spki, card.tls[0] as string],
  };
}

function renewedGateway(
  of: GatewayKeys,
  endpoints: Partial<GatewayEndpoints> | undefined,
  maker: KeyMaker,
): Card {
  const card = renewedTls(of, maker);
  return {
    ...card,
    batch: formatKey(maker.ed25519("batch")),
    token: formatKey(maker.ed25519("token")),
    endpoints: {
      peer: endpoints?.peer ?? card.endpoints.peer,
      http: endpoints?.http ?? card.endpoints.http,
    },
  };
}

/** Throws FILE_UNREADABLE when the next authority key is kept apart. */
function nextOf({ nextAuthority }: CityKeys | AgencyKeys): PrivateKey {
  if (nextAuthority !== undefined) return nextAuthority;
  throw new CausewayError(
    "FILE_UNREADABLE",
    "next-authority.age is not in the folder: put it back while the keys are renewed",
  );
}

function keep(privateKeys: PrivateKeys, kept: { readonly [N in KeyName]?: PrivateKey }): void {
  for (const [name, { seed }] of Object.entries(kept)) privateKeys.set(name as KeyName, seed);
}
