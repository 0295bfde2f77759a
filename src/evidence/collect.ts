/** Builds the evidence package of one record from a ledger that is verified on the way. */
import { equalBytes, toHex } from "../base/bytes.ts";
import { CausewayError } from "../base/errors.ts";
import { agencyOf } from "../base/ids.ts";
import type { Verifier } from "../crypto/ports.ts";
import { openCallToken } from "../credential/call-token.ts";
import { openStatement } from "../credential/statement.ts";
import { EffectKind } from "../gen/causeway/registry/v1/effects_pb.ts";
import type { Address, Call, Decision } from "../gen/causeway/record/v1/parts_pb.ts";
import type { ExportEntry } from "../audit/export-file.ts";
import { type FoldedBatch, LedgerFold } from "../audit/ledger-fold.ts";
import { proveInclusion } from "../merkle/prove.ts";
import { formatTlogProof } from "../note/tlog-proof.ts";
import { formatAddress, type RecordAddress, type RecordHandle } from "../record/handle.ts";
import { openLeaf } from "../record/leaf.ts";
import { proveRecord } from "../record/proof.ts";
import { type LedgerRecord, openRecord, recordHash } from "../record/record.ts";
import type { RegistryState, Standing } from "../registry/state.ts";
import type { EvidenceOpening, EvidencePackage, ProvenEvidence } from "./package.ts";

export interface CollectOptions {
  /** The items of an export, from the beginning each time that it is called. */
  readonly readEntries: () => AsyncIterable<ExportEntry>;
  readonly networkId: Uint8Array;
  readonly verifier: Verifier;
  readonly target: RecordAddress | RecordHandle;
  readonly openings?: readonly EvidenceOpening[];
}

interface KeptBatch {
  readonly leaf: Uint8Array;
  readonly records: readonly Uint8Array[];
}

interface Ledger {
  readonly fold: LedgerFold;
  /** Governance batches and the target's, by index. */
  readonly kept: Map<bigint, KeptBatch>;
  /** The newest final checkpoint. */
  readonly note: Uint8Array;
  readonly finalSize: bigint;
  /** Final checkpoints by which cities, quorum or sequencer had changed, ascending. */
  readonly changedAt: readonly FinalNote[];
  /** Applied statements of cities and votes, ascending. */
  readonly cityStatements: readonly RecordAddress[];
}

interface FinalNote {
  readonly size: bigint;
  readonly note: Uint8Array;
}

/**
 * The package of one record. Throws RECORD_UNKNOWN when the target is not final on this ledger, and the
 * reason of the first item that does not verify, with its `index`.
 */
export async function collectEvidence(options: CollectOptions): Promise<EvidencePackage> {
  const { target, networkId, openings = [] } = options;
  const ledger = await foldAll(options);
  const address = "index" in target ? target : findHandle(target, ledger);
  const batch = address === undefined ? undefined : ledger.kept.get(address.index);
  const bytes = address === undefined ? undefined : batch?.records[address.position];
  if (address === undefined || bytes === undefined || address.index >= ledger.finalSize) {
    throw new CausewayError("RECORD_UNKNOWN", "the record is not final on this ledger");
  }
  const related = await findRelated(options, bytes, ledger);
  const addresses = statementsOf([bytes, ...related.map(({ bytes: other }) => other)], {
    state: ledger.fold.state,
    gateways: [address, ...related.map(({ address: at }) => at)].map((at) => gatewayAt(at, ledger)),
    ledger,
  });
  const opened = related.find(({ role }) => role === "opened");
  const acknowledgement = related.find(({ role }) => role === "acknowledgement");
  return {
    network: toHex(networkId),
    ...changesOf(ledger),
    record: prove(address, ledger),
    ...(opened === undefined ? {} : { opened: prove(opened.address, ledger) }),
    ...(acknowledgement === undefined
      ? {}
      : { acknowledgement: prove(acknowledgement.address, ledger) }),
    statements: addresses.map((at) => prove(at, ledger)),
    openings,
  };
}

async function foldAll({
  readEntries,
  networkId,
  verifier,
  target,
}: CollectOptions): Promise<Ledger> {
  const fold = new LedgerFold(networkId, verifier);
  const kept = new Map<bigint, KeptBatch>();
  const changedAt: FinalNote[] = [];
  const cityStatements: RecordAddress[] = [];
  let trusted: RegistryState | undefined;
  let note: Uint8Array | undefined;
  for await (const entry of readEntries()) {
    const step = await fold.take(entry);
    if (step.kind === "broken") {
      const { index, fields } = step.finding;
      throw new CausewayError("EVIDENCE_INVALID", `the ledger is broken: ${step.finding.code}`, {
        fields: { ...fields, index: String(index) },
      });
    }
    if (entry.kind === "note") note = entry.note.slice();
    if (step.kind === "final" && note !== undefined) {
      if (!isSameTrust(trusted, fold.state)) changedAt.push({ size: step.final.size, note });
      trusted = fold.state;
    }
    if (step.kind !== "batch" || entry.kind !== "batch") continue;
    const { index, batch } = step.folded;
    trusted ??= fold.state;
    cityStatements.push(...cityStatementsOf(step.folded));
    const isTarget =
      "index" in target ? target.index === index : equalBytes(target.leafHash, batch.leafHash);
    if (isTarget || batch.recordKind === "governance") kept.set(index, copyOf(entry));
  }
  if (note === undefined) throw new CausewayError("RECORD_UNKNOWN", "nothing is final here");
  const finalSize = fold.finals.newest?.size ?? 0n;
  return { fold, kept, note, finalSize, changedAt, cityStatements };
}

function isSameTrust(before: RegistryState | undefined, now: RegistryState): boolean {
  return (
    before?.cities === now.cities && before.quorums === now.quorums && before.terms === now.terms
  );
}

/** Statements of cities and votes that had an effect, without the founding document. */
function cityStatementsOf({ index, batch, applied }: FoldedBatch): readonly RecordAddress[] {
  return batch.facts.flatMap((fact, position) => {
    const isApplied = applied.effects.effects[position]?.kind === EffectKind.APPLIED;
    if (fact.kind !== "statement" || !isApplied) return [];
    const { name } = fact.said.statement;
    return name === "city" || name === "vote" ? [{ index, position }] : [];
  });
}

/** Each statement stands under the first checkpoint of a change that covers it. */
function changesOf(ledger: Ledger): Pick<EvidencePackage, "changes"> {
  let from = 0n;
  const changes = ledger.changedAt.map((final) => {
    const covered = ledger.cityStatements.filter(
      ({ index }) => index >= from && index < final.size,
    );
    from = final.size;
    return covered.map((address) => prove(address, ledger, final));
  });
  return changes.length === 0 ? {} : { changes };
}

function copyOf({ leaf, records }: KeptBatch): KeptBatch {
  return { leaf: leaf.slice(), records: records.map((record) => record.slice()) };
}

function findHandle(target: RecordHandle, { kept }: Ledger): RecordAddress | undefined {
  for (const [index, { leaf }] of kept) {
    if (equalBytes(openLeaf(leaf).leafHash, target.leafHash)) {
      return { index, position: target.position };
    }
  }
  return undefined;
}

interface Related {
  readonly role: "opened" | "acknowledgement";
  readonly address: RecordAddress;
  readonly bytes: Uint8Array;
}

/** The record that a receipt follows, and its acknowledgement: they may stand before or behind it. */
async function findRelated(
  { readEntries }: CollectOptions,
  bytes: Uint8Array,
  { kept, finalSize }: Ledger,
): Promise<readonly Related[]> {
  const { body } = openRecord(bytes);
  if (body.case !== "receipt") return [];
  const hash = recordHash(bytes);
  const { start } = body.value;
  const before = start.case === "prevRecord" ? start.value.hash : undefined;
  const found: Related[] = [];
  let index = -1n;
  for await (const entry of readEntries()) {
    if (entry.kind !== "batch") continue;
    index += 1n;
    if (index >= finalSize) break;
    for (const [position, other] of entry.records.entries()) {
      const role = roleOf(other, { hash, before });
      if (role === undefined || found.some((known) => known.role === role)) continue;
      kept.set(index, copyOf(entry));
      found.push({ role, address: { index, position }, bytes: other.slice() });
    }
  }
  return found;
}

function roleOf(
  bytes: Uint8Array,
  receipt: { readonly hash: Uint8Array; readonly before: Uint8Array | undefined },
): Related["role"] | undefined {
  const { body } = openRecord(bytes);
  if (body.case === "acknowledgement") {
    return equalBytes(body.value.receiptRecord, receipt.hash) ? "acknowledgement" : undefined;
  }
  const isBefore =
    body.case === "opened" &&
    receipt.before !== undefined &&
    equalBytes(recordHash(bytes), receipt.before);
  return isBefore ? "opened" : undefined;
}

function gatewayAt({ index }: RecordAddress, { kept }: Ledger): string {
  return openLeaf((kept.get(index) as KeptBatch).leaf).header.gateway;
}

/** Under the newest final checkpoint, unless another one is given. */
function prove(
  { index, position }: RecordAddress,
  { fold, kept, ...newest }: Ledger,
  { size, note }: FinalNote = { size: newest.finalSize, note: newest.note },
): ProvenEvidence {
  const { record, path, leaf } = proveRecord(kept.get(index) as KeptBatch, position);
  const proof = proveInclusion({ index, size, reader: fold.tree });
  return {
    record,
    position,
    path,
    leaf,
    proof: formatTlogProof({ index, proof, checkpoint: note }),
  };
}

/** Addresses, ascending, of every statement that these records rest on, the founding document first. */
function statementsOf(
  records: readonly Uint8Array[],
  options: {
    readonly state: RegistryState;
    readonly gateways: readonly string[];
    readonly ledger: Ledger;
  },
): readonly RecordAddress[] {
  const { state, ledger } = options;
  const wanted = new Map<string, RecordAddress>();
  const add = (address: RecordAddress): boolean => {
    const key = formatAddress(address.index, address.position);
    if (wanted.has(key)) return false;
    wanted.set(key, { index: address.index, position: address.position });
    return true;
  };
  const addFact = (facts: readonly { readonly standing: Standing }[] | undefined): void => {
    for (const { standing } of facts ?? []) {
      if (standing.address.index < ledger.finalSize) add(standing.address);
    }
  };
  const addAgency = (id: string): void => addFact(state.agencies.get(id));
  const addGateway = (id: string): void => {
    addFact(state.gateways.get(id));
    addAgency(agencyOf(id));
  };
  const addSigned = (address: Address | RecordAddress | undefined): void => {
    if (address === undefined || !add(address)) return;
    for (const { agency, at } of administratorsOf(address, ledger)) {
      add(at);
      addAgency(agency);
    }
  };
  add({ index: 0n, position: 0 });
  for (const gateway of options.gateways) addGateway(gateway);
  for (const bytes of records) {
    const { call, decision } = partsOf(openRecord(bytes));
    if (call !== undefined) {
      const issuer = issuerOf(call);
      if (issuer !== undefined) addGateway(issuer);
    }
    for (const address of [decision?.grant, decision?.service, decision?.policy]) {
      addSigned(address);
    }
  }
  return [...wanted.values()].sort((a, b) => Number(a.index - b.index) || a.position - b.position);
}

function issuerOf({ token }: Call): string | undefined {
  try {
    return openCallToken(token).claims.iss;
  } catch (cause) {
    if (cause instanceof CausewayError) return undefined;
    throw cause;
  }
}

/** The administrators who signed the statement at an address. */
function administratorsOf(
  { index, position }: Address | RecordAddress,
  { fold, kept }: Ledger,
): readonly { readonly agency: string; readonly at: RecordAddress }[] {
  const bytes = kept.get(index)?.records[position];
  const body = bytes === undefined ? undefined : openRecord(bytes).body;
  if (body?.case !== "statement") return [];
  return openStatement(body.value.jws).signatures.flatMap(({ kid }) =>
    (fold.state.administrators.get(kid) ?? []).map(({ agency, standing }) => ({
      agency,
      at: standing.address,
    })),
  );
}

/** The call and the decision that a record holds. */
function partsOf({ body }: LedgerRecord): {
  readonly call: Call | undefined;
  readonly decision: Decision | undefined;
} {
  switch (body.case) {
    case "opened":
      return { call: body.value.begin?.call, decision: body.value.begin?.decision };
    case "receipt": {
      const begin = body.value.start.case === "begin" ? body.value.start.value : undefined;
      return { call: begin?.call, decision: begin?.decision };
    }
    case "refusal":
    case "closed": {
      const call = body.case === "refusal" ? body.value.call : undefined;
      return { call, decision: body.value.decision };
    }
    default:
      return { call: undefined, decision: undefined };
  }
}
