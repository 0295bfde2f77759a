/** Every recorded decision evaluated again, equal ones once (DESIGN.md invariant 4). */
import { concatBytes, emptyBytes, mapKey, u32be, utf8 } from "../base/bytes.ts";
import { auditDecisionsRememberedMax } from "../base/limits.ts";
import { Lru } from "../base/lru.ts";
import { sha256 } from "../base/sha256.ts";
import type {
  CallStatement,
  Decision,
  Obligations,
  PersonalAttribute,
} from "../gen/causeway/record/v1/parts_pb.ts";
import { memoiseVerdicts } from "../policy/memo.ts";
import type { PolicyEngine } from "../policy/ports.ts";
import { type AttributeOpening, type DecisionReplay, replayDecision } from "../policy/replay.ts";
import type { RegistryView } from "../registry/state.ts";
import type { EncodedDecision } from "./encoded-decision.ts";
import { findingAt, type Place, type Report } from "./findings.ts";

export interface DecidedCall {
  readonly place: Place;
  readonly decision: Decision;
  readonly obligations?: Obligations;
  /** Both as they stand in the record. */
  readonly encoded: EncodedDecision;
  readonly statement: CallStatement;
  readonly consumerGateway: string;
}

/** How many decisions came out how. */
export interface DecisionCounts {
  /** All that were judged, equal ones among them. */
  total: number;
  /** Asked of grant check and policy, not remembered. */
  evaluated: number;
  same: number;
  differs: number;
  /** A personal attribute has no opening at hand. */
  sealed: number;
  /** Another engine or version of it decided. */
  engineUnavailable: number;
  blobMissing: number;
}

export class Decisions {
  readonly counts: DecisionCounts = {
    total: 0,
    evaluated: 0,
    same: 0,
    differs: 0,
    sealed: 0,
    engineUnavailable: 0,
    blobMissing: 0,
  };
  /** Other engines that decided, as `<name> <version>`. */
  readonly otherEngines: Set<string> = new Set();
  readonly #engine: PolicyEngine;
  readonly #blob: (sha256: Uint8Array) => Uint8Array | undefined;
  readonly #opening: ((attribute: PersonalAttribute) => AttributeOpening | undefined) | undefined;
  readonly #report: Report;
  readonly #known: Lru<string, DecisionReplay> = new Lru(auditDecisionsRememberedMax);
  /** Wait for the end: the facts that they heeded may stand further on. */
  readonly #early: DecidedCall[] = [];

  constructor(options: {
    readonly engine: PolicyEngine;
    readonly blob: (sha256: Uint8Array) => Uint8Array | undefined;
    readonly opening?: (attribute: PersonalAttribute) => AttributeOpening | undefined;
    readonly report: Report;
  }) {
    this.#engine = memoiseVerdicts(options.engine);
    this.#blob = options.blob;
    this.#opening = options.opening;
    this.#report = options.report;
  }

  /**
   * Decides again under `view`, the registry at the decided size. A decision with early facts waits for
   * `finish`: a taking acts before its statement is on the ledger.
   */
  judge(call: DecidedCall, view: RegistryView): void {
    if (call.decision.earlyFacts.length > 0) {
      this.#early.push(call);
      return;
    }
    const key = keyOf(call);
    const known = this.#known.get(key);
    const replay = known ?? this.#evaluate(call, view);
    if (known === undefined) this.#known.set(key, replay);
    this.#count(replay, call.place);
  }

  /** Judges what waited, under views of the whole ledger. */
  finish(viewAt: (decidedSize: bigint) => RegistryView): void {
    for (const call of this.#early) {
      const view = viewAt(call.decision.decidedSize);
      this.#count(this.#evaluate(call, view), call.place);
    }
    this.#early.length = 0;
  }

  #evaluate(call: DecidedCall, view: RegistryView): DecisionReplay {
    this.counts.evaluated += 1;
    const { decision, statement, consumerGateway, obligations, place } = call;
    const opening = this.#opening;
    return replayDecision(
      {
        view,
        decision,
        statement,
        consumerGateway,
        providerGateway: place.gateway,
        blob: this.#blob,
        ...(obligations === undefined ? {} : { obligations }),
        ...(opening === undefined ? {} : { opening }),
      },
      this.#engine,
    );
  }

  #count(replay: DecisionReplay, place: Place): void {
    const { counts } = this;
    counts.total += 1;
    switch (replay.kind) {
      case "same":
        counts.same += 1;
        return;
      case "differs":
        counts.differs += 1;
        this.#report(findingAt(place, "DECISION_DIFFERS", { members: replay.members.join(",") }));
        return;
      case "sealed":
        counts.sealed += 1;
        return;
      case "engine-unavailable":
        counts.engineUnavailable += 1;
        this.otherEngines.add(`${replay.name} ${replay.version}`);
        return;
      case "blob-missing":
        counts.blobMissing += 1;
    }
  }
}

/** All that a replay depends on, apart from facts that no later leaf changes for a decided size. */
function keyOf({ encoded, statement, consumerGateway, place }: DecidedCall): string {
  const { service, method, purpose, grant } = statement;
  const { decision, obligations = emptyBytes } = encoded;
  const address = [String(grant?.index), grant?.position];
  const gateways = [consumerGateway, place.gateway];
  const texts = utf8(JSON.stringify([...gateways, service, method, purpose, ...address]));
  const lengths = [u32be(decision.length), u32be(obligations.length)];
  return mapKey(sha256(concatBytes(...lengths, decision, obligations, texts)));
}
