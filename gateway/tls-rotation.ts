/**
 * Another TLS certificate for a running gateway: announced on the ledger by the operator, put in the key
 * folder, and taken into use here once every peer can know it. Retiring the old one is the operator's too.
 */
import type { Logger } from "pino";
import { equalBytes, toBase64 } from "../src/base/bytes.ts";
import type { Scheduler } from "../src/base/clock.ts";
import { CausewayError } from "../src/base/errors.ts";
import { certificateWaitMs } from "../src/base/limits.ts";
import type { Replica } from "../src/ledger/ports.ts";
import { readSecretFile } from "./config.ts";
import type { GatewayConfig } from "./config-types.ts";
import { type GatewayKeys, openKeyFolder } from "./keys/key-folder.ts";
import type { TlsKey } from "./keys/tls.ts";
import type { Links } from "./links.ts";
import type { Reloadable } from "./reload.ts";
import type { LocalIdentity } from "./self.ts";

export interface TlsRotationOptions {
  readonly identity: LocalIdentity;
  readonly replica: Replica;
  readonly links: Pick<Links, "allHaveApplied" | "replaceCertificate">;
  readonly scheduler: Scheduler;
  readonly logger: Pick<Logger, "info" | "warn">;
}

export interface TlsRotation extends Reloadable {
  close(): void;
}

/** Milliseconds between two looks at what peers have applied. */
const lookMs = 100;

interface Waiting {
  readonly tls: TlsKey;
  /** Size of the final checkpoint here under which the ledger named the certificate. */
  size: bigint | undefined;
  leftMs: number;
}

export function createTlsRotation(options: TlsRotationOptions): TlsRotation {
  const { identity, replica, links, scheduler, logger } = options;
  const { id } = identity.keys.card;
  let waiting: Waiting | undefined;
  let cancel = (): void => undefined;

  const isStated = ({ certificateDer }: TlsKey): boolean =>
    replica.view().gateway(id)?.body.certificates.includes(toBase64(certificateDer)) === true;

  const look = (): void => {
    if (waiting === undefined) return;
    if (waiting.size === undefined && isStated(waiting.tls)) waiting.size = replica.final()?.size;
    if (waiting.size !== undefined) {
      if (links.allHaveApplied(waiting.size) || waiting.leftMs <= 0) return use(waiting.tls);
      waiting.leftMs -= lookMs;
    }
    cancel = scheduler.after(lookMs, look);
  };

  const use = (tls: TlsKey): void => {
    waiting = undefined;
    identity.tls.replace(tls);
    links.replaceCertificate();
    logger.info({ event: "certificate in use" }, "the new TLS certificate is in use");
  };

  const take = ({ batch, token, tls }: GatewayKeys): void => {
    const { current } = identity.tls;
    if (
      !equalBytes(batch.publicKey, identity.keys.batch.publicKey) ||
      !equalBytes(token.publicKey, identity.keys.token.publicKey)
    ) {
      // A chain is sealed under one batch key for the life of a process.
      logger.warn(
        { event: "restart needed" },
        "the key folder holds another batch or token key: the gateway takes its keys at the next start",
      );
      return;
    }
    cancel();
    waiting = undefined;
    if (equalBytes(tls.certificateDer, current.certificateDer)) return;
    waiting = { tls, size: undefined, leftMs: certificateWaitMs };
    if (!isStated(tls)) {
      logger.info(
        { event: "certificate waits" },
        "the new TLS certificate is used once the ledger names it",
      );
    }
    look();
  };

  return {
    prepare: async (config: GatewayConfig) => {
      const keys = await openKeyFolder(
        config.keys,
        readSecretFile(config.passphrase_file),
        "gateway",
      );
      if (keys.card.id !== id) {
        throw new CausewayError(
          "CONFIG_INVALID",
          `${config.keys} holds the keys of ${keys.card.id}`,
        );
      }
      return () => take(keys);
    },
    close: () => {
      waiting = undefined;
      cancel();
    },
  };
}
