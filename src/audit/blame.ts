/**
 * Who lied where two sides contradict each other. What convicts is a record of one's own: a consumer that says
 * MATCH of a receipt, named by its hash, has verified what that receipt says.
 */
import { equalBytes } from "../base/bytes.ts";
import { Check } from "../gen/causeway/record/v1/record_pb.ts";
import type {
  AcknowledgedSegment,
  Attempt,
  Foundation,
  NamedRecord,
  SegmentFacts,
} from "./attempt.ts";
import type {
  Blame,
  FindingCode,
  Judge,
  LedgerFacts,
  Place,
  SettlingEvidence,
} from "./findings.ts";

export function convicted(gateway: string): Blame {
  return { kind: "convicted", gateway };
}

/** One of the two lied; `provider` is absent where nothing of it stands on the ledger. */
export function either(
  { consumer, provider }: Sides,
  settledBy: SettlingEvidence = "RECORD_SHOWN",
): Blame {
  const gateways = provider === undefined ? [consumer] : [consumer, provider];
  return { kind: "either", gateways, settledBy };
}

interface Sides {
  readonly consumer: string;
  readonly provider: string | undefined;
}

/** As it is known at the end: who provides is not, while only the consumer has spoken. */
export function sidesOf({ issuer, provider }: Attempt): Sides {
  return { consumer: issuer, provider };
}

/** Records of providers that belong to no attempt: whoever was shown one did not make it up. */
export interface StrayRecords {
  strayAt(named: NamedRecord): string | undefined;
}

/**
 * The consumer answers a record that is not where it says, or not one of this attempt. `verified` when it says
 * that the record's proof was valid: then what stands at its place on the ledger is that record, or it lies.
 */
export function judgeNamed(
  named: NamedRecord,
  attempt: Attempt,
  strays: StrayRecords,
  verified: boolean,
): Judge {
  return (ledger) => {
    const sides = sidesOf(attempt);
    const signer = strays.strayAt(named) ?? shownOnly(named, ledger);
    if (signer !== undefined) return convicted(signer);
    if (verified && ledger.hasLeaf(named.leafHash)) return convicted(sides.consumer);
    return either(sides);
  };
}

function shownOnly({ leafHash }: NamedRecord, ledger: LedgerFacts): string | undefined {
  return ledger.hasLeaf(leafHash) ? undefined : ledger.signerOfShown(leafHash);
}

/** Two sides commit to different bytes after as many frames, and the consumer may have said MATCH of both. */
export function judgeCommitments(
  contradiction: { readonly matched: boolean },
  named: NamedRecord,
  attempt: Attempt,
  settledBy: SettlingEvidence,
): Judge {
  return (ledger) => {
    const sides = sidesOf(attempt);
    if (contradiction.matched) return convicted(sides.consumer);
    const signer = shownOnly(named, ledger);
    return signer === undefined ? either(sides, settledBy) : convicted(signer);
  };
}

/** What a receipt breaks by itself that a consumer finds to be no receipt of its call. */
const mismatches: readonly FindingCode[] = [
  "TOKEN_INVALID",
  "CALL_STATEMENT_INVALID",
  "SEGMENT_GAP",
  "RECORD_IMPLAUSIBLE",
  "REQUEST_FRAMES_IMPLAUSIBLE",
  "REQUEST_DIFFERS",
  "RESPONSE_DIFFERS",
];

/** A receipt whose acknowledgement, which names it, says that a check of it failed. */
export function judgeCheck(
  receipt: SegmentFacts,
  said: AcknowledgedSegment,
  rests: Foundation | undefined,
): Judge {
  const sides = { consumer: said.place.gateway, provider: receipt.place.gateway };
  const { consumer, provider } = sides;
  return (ledger) => {
    const { header } = receipt;
    switch (said.check) {
      case Check.COMMITMENT_MISMATCH:
        if (ledger.hasViolation(receipt.place, mismatches)) return convicted(provider);
        return either(sides, "RESPONSE_OPENED");
      case Check.SEEN_FORK:
        // The rules of structure let no header stand whose seen root is of another tree.
        return convicted(consumer);
      case Check.GRANT_TAKEN: {
        if (rests === undefined) return either(sides, "SEAL_TIMES");
        const until = ledger.grantUntil(rests.grantJti);
        return convicted(until !== undefined && until < header.seenSize ? provider : consumer);
      }
      case Check.STALE_SEAL: {
        const staleMs = ledger.staleMs(header.seenSize, Number(header.sealedAt));
        if (staleMs === undefined || rests === undefined) return either(sides, "SEAL_TIMES");
        return convicted(staleMs > rests.maxStalenessMs ? provider : consumer);
      }
      case Check.KEY_UNKNOWN:
        // A key is known for good once it is final, whatever its standing.
        return convicted(
          ledger.viewAt(header.seenSize).batchKey(header.gateway, header.key) === undefined
            ? provider
            : consumer,
        );
      case Check.TIME_IMPLAUSIBLE:
        return judgeTime(receipt, said, rests?.issuedAtS, ledger);
      case Check.MASK_VIOLATION: {
        // It is said of what matched, and of nothing where there is no mask.
        const isSame = equalBytes(said.response, receipt.response);
        if (!isSame || rests?.masked === false) return convicted(consumer);
        return either(sides, "RESPONSE_OPENED");
      }
      default:
        return either(sides, "RESPONSE_OPENED");
    }
  };
}

/** A clock that is held after a step back lags by this at the most. */
const stepBackMs = 1000;

/** The ledger's times convict a seal; otherwise the consumer's record says what its own clock showed. */
function judgeTime(
  { header, place }: SegmentFacts,
  said: AcknowledgedSegment,
  issuedAtS: number | undefined,
  ledger: LedgerFacts,
): Blame {
  const sides = { consumer: said.place.gateway, provider: place.gateway };
  const isOff = ({ index, gateway }: Place): boolean =>
    ledger.hasViolation({ index, gateway, position: 0 }, ["TIME_IMPLAUSIBLE"]);
  if (isOff(place) !== isOff(said.place)) {
    return convicted(isOff(place) ? sides.provider : sides.consumer);
  }
  const sealedAtMs = Number(header.sealedAt);
  const notAhead = sealedAtMs <= Number(said.header.firstAt) + ledger.skewMs - stepBackMs;
  const notBefore = issuedAtS !== undefined && sealedAtMs >= issuedAtS * 1000 - ledger.skewMs;
  return notAhead && notBefore ? convicted(sides.consumer) : either(sides, "SEAL_TIMES");
}
