/** The rules that what stands around the two sides keeps, and that a schedule can be run without. */
export interface ExchangeRules {
  /** What the provider's journal answers is durable. */
  readonly receiptsDurable: boolean;
  /** So is what the consumer's answers. */
  readonly acknowledgementsDurable: boolean;
  /** A record is checked again when its batch is closed. */
  readonly rechecked: boolean;
  /** What is open stands in the journal, in the transaction of the record that opens it. */
  readonly openKept: boolean;
  /** A receipt counts as answered when it is. */
  readonly answersAwaited: boolean;
  /** A token of another boot is refused. */
  readonly nonceChecked: boolean;
  /** An accepted revocation acts before the ledger has it. */
  readonly takingsAct: boolean;
  /** So it does after a restart: the journal has it. */
  readonly takingsKept: boolean;
  /** What is used of a quota is counted again at a start. */
  readonly quotasKept: boolean;
}

export const allExchangeRules: ExchangeRules = {
  receiptsDurable: true,
  acknowledgementsDurable: true,
  rechecked: true,
  openKept: true,
  answersAwaited: true,
  nonceChecked: true,
  takingsAct: true,
  takingsKept: true,
  quotasKept: true,
};
