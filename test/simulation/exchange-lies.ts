/** What a lying gateway does otherwise. */
import type { FrameBody } from "../../src/exchange/ports.ts";
import type { LocalTakings } from "../../src/exchange/recheck.ts";
import type { Sealer } from "../../src/ledger/ports.ts";
import type { SimSealerOptions } from "./exchange-journal.ts";
import type { SimProcess } from "./exchange-process.ts";

export interface Lies {
  readonly kind: string;
  /** Its batches do not reach the ledger any more. */
  readonly withholds?: boolean;
  /** In the place of the revocations that it has accepted. */
  readonly takings?: LocalTakings;
  sealer(honest: Sealer, process: SimProcess): Sealer;
  frames(body: FrameBody, at: unknown, process: SimProcess): readonly FrameBody[];
  journal(process: SimProcess): Pick<SimSealerOptions, "swaps"> | undefined;
}
