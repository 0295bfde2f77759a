/** What the provider's side of an exchange asks of the process around it, and each attempt of that side. */
import type { CallFrame, Proof } from "../gen/causeway/exchange/v1/link_pb.ts";
import type { ExpectedRecords } from "../ledger/journal/expected-records.ts";
import type { SealedRecord } from "../ledger/ports.ts";
import type { JoinedCalls } from "./joined-calls.ts";
import type { Carriage } from "./ports.ts";
import type { Holding } from "./peer-memory.ts";
import type { Judged, JudgePorts } from "./provider-judge.ts";
import type { RefusalLimiter } from "./refusal-limiter.ts";
import type { UpstreamConnector } from "./transport/ports.ts";
import type { UnacknowledgedReceipts } from "./unacknowledged.ts";
import type { UsedAttempts } from "./used-attempts.ts";

export interface ProviderPorts extends JudgePorts {
  upstream(service: string): UpstreamConnector | undefined;
  /** Receipts that were released and wait for their acknowledgement. */
  readonly unacknowledged: UnacknowledgedReceipts;
  /** Records that are soon to be sealed. */
  readonly expected: Pick<ExpectedRecords, "expect">;
  /** Calls of the upstream that share an idempotency key. */
  readonly joined: JoinedCalls;
}

export interface AttemptOptions {
  readonly ports: ProviderPorts;
  /** Nothing is judged yet. */
  readonly judged: Judged;
  readonly used: UsedAttempts;
  readonly limiter: RefusalLimiter;
  readonly carriage: Carriage;
  /** Largest message that the carriage may bring. */
  readonly requestBytesMax: number;
  readonly frame: CallFrame;
  /** Whether its peer may have one more exchange; without, it is refused before it is judged. */
  readonly hasRoom: boolean;
  /** What the attempt holds of its peer's memory; the call itself counts already. */
  readonly holding: Holding;
  /** A receipt was sent to the consumer; `acknowledged` is to be called once when it is answered. */
  released(receipt: SealedRecord, attemptKey: string, acknowledged: (() => void) | undefined): void;
  /** An acknowledgement has come on the carriage. */
  acknowledged(proof: Proof | undefined): void;
  /** The attempt is on record and what was to close it could not be sealed. */
  unsealed(attemptKey: string): void;
  /** Unix seconds at which the first of what the attempt rests on ends by itself, if anything does. */
  standsUntil(endsAtS: number | undefined): void;
  done(): void;
}
