/** Meaning: what a governance record does, or why it is void. It never refuses a batch. */
import { toHex } from "../base/bytes.ts";
import { statementAgeMaxMs } from "../base/limits.ts";
import type { ReasonCode } from "../base/reasons.ts";
import { networkId } from "../credential/statement.ts";
import type { StatementName, VerifiedStatement } from "../credential/statements.ts";
import {
  approveAccess,
  denyAccess,
  grantAccess,
  requestAccess,
  revokeAccess,
} from "./access-rules.ts";
import { authorityFault } from "./authority.ts";
import { publishPolicy, publishService } from "./catalogue-rules.ts";
import { stateCity } from "./city-rules.ts";
import { openEpoch } from "./epoch-rules.ts";
import { foundNetwork, stateAdministrator, stateAgency, stateGateway } from "./membership-rules.ts";
import type { Change, Rule, VotedCheckpoint } from "./rule.ts";
import { rulesFor } from "./rules-version.ts";
import type { Ground } from "./standing.ts";
import type { FactAddress } from "./state.ts";
import { isSupported } from "./supported.ts";
import { resume, suspend } from "./suspension-rules.ts";
import { castVote } from "./vote-rules.ts";

type Rules = { readonly [N in StatementName]: Rule<N> };

const rules: Rules = {
  network: foundNetwork,
  city: stateCity,
  vote: castVote,
  agency: stateAgency,
  gateway: stateGateway,
  administrator: stateAdministrator,
  epoch: openEpoch,
  service: publishService,
  policy: publishPolicy,
  request: requestAccess,
  grant: grantAccess,
  denial: denyAccess,
  approval: approveAccess,
  revocation: revokeAccess,
  suspension: suspend,
  resumption: resume,
};

/** A record that holds a statement, and what was verified about it besides the signatures. */
export interface StatementRecord {
  readonly address: FactAddress;
  readonly recordHash: Uint8Array;
  /** Of a vote on a sequencer. */
  readonly checkpoint?: VotedCheckpoint;
}

/** What the statement at `address` does on this ground, or why it is void; the first check that fails names the reason. */
export function effectOf(
  verified: VerifiedStatement,
  record: StatementRecord,
  ground: Ground,
): Change | ReasonCode {
  const { payload, signers, statement } = verified;
  const { claims, body, name } = statement;
  const rule = rules[name] as Rule<StatementName>;
  if (!isOfNetwork(verified, ground)) return "NETWORK_WRONG";
  if (!isSupported(statement, rulesFor(ground.state, ground))) return "NOT_SUPPORTED";
  const fault =
    timeFault(verified, ground) ??
    (ground.state.usedJti.has(claims.jti) ? "REPLAYED" : undefined) ??
    authorityFault(verified, ground);
  if (fault !== undefined) return fault;
  const change = rule({ claims, body, payload, signers, ...record }, ground);
  if (typeof change === "string") return change;
  const usedJti = change.state.usedJti.with(claims.jti, record.address);
  return { ...change, state: { ...change.state, usedJti } };
}

/** A founding document is of the network that it founds; every other statement names its network. */
function isOfNetwork({ statement, payload }: VerifiedStatement, { state }: Ground): boolean {
  const { name, claims } = statement;
  const net = name === "network" ? toHex(networkId(payload)) : claims.net;
  return net === toHex(state.networkId);
}

function timeFault(
  { statement: { claims } }: VerifiedStatement,
  { state, index, sealedAtMs, atS }: Ground,
): ReasonCode | undefined {
  const { iat, nbf, exp } = claims;
  if (index > 0n && sealedAtMs - iat * 1000 > statementAgeMaxMs) return "STALE";
  // Without this a statement could be dated ahead and held back for as long as one likes.
  const skewS = state.network?.bounds.skew_s ?? 0;
  if (index > 0n && iat > atS + skewS) return "NOT_YET_VALID";
  if (nbf !== undefined && atS < nbf) return "NOT_YET_VALID";
  return exp !== undefined && atS >= exp ? "EXPIRED" : undefined;
}
