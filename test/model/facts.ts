/**
 * What a ledger says, as one list of facts in its order. Nothing is looked up but by reading the list
 * from its beginning. Written from DESIGN.md sections 2 to 4 and RECORDS.md, not from the registry.
 */

/** Where a record stands. */
export interface Place {
  readonly index: number;
  readonly position: number;
}

export type FactKind =
  | "city"
  | "agency"
  | "gateway"
  | "administrator"
  | "service"
  | "policy"
  | "request"
  | "grant";

/** One thing that the ledger has said, and since when and until when it holds. */
export interface Fact {
  readonly kind: FactKind;
  /** Of an administrator the thumbprint of the key, of a request or grant the `jti`. */
  readonly id: string;
  /** Agency or city that it belongs to. */
  readonly owner: string;
  /** Body of the statement. */
  readonly body: Readonly<Record<string, unknown>>;
  readonly place: Place;
  readonly since: number;
  readonly nbf?: number | undefined;
  readonly exp?: number | undefined;
  until?: Place;
  suspendedBy?: string;
  /** Of a city: the authority keys before this one were stolen. */
  readonly recovered?: boolean;
}

/** Keys are named by the SHA-256 of their raw bytes, TLS keys by their digest: both lower-case hex. */
export interface BoundKey {
  readonly key: string;
  readonly use: string;
  readonly owner: string;
  /** Thumbprint, of a key that can sign. */
  readonly kid?: string;
}

export interface Vote {
  readonly on: string;
  readonly sub: string;
  readonly city: string;
  /** What counts together. */
  readonly choice: string;
}

export interface Term {
  readonly term: number;
  readonly gateway: string;
  readonly log: string;
  readonly since: number;
}

export interface Leaf {
  readonly gateway: string;
  readonly key: string;
  readonly epoch: number;
  readonly seq: number;
  readonly hash: string;
  readonly seenSize: number;
  readonly sealedAtMs: number;
}

/** The end of a draining: under these batch keys nothing beyond the place is taken. */
export interface Ending {
  readonly gateway: string;
  readonly keys: readonly string[];
  readonly epoch: number;
  readonly seq: number;
  readonly leaf: string;
}

/** Everything that was said and had an effect. Lists only grow; a fact may get its `until`. */
export interface History {
  readonly facts: Fact[];
  readonly keys: BoundKey[];
  readonly usedJti: string[];
  readonly candidacies: {
    readonly payload: string;
    readonly body: Fact["body"];
    readonly id: string;
    readonly since: number;
  }[];
  votes: Vote[];
  readonly quorums: { readonly since: number; readonly quorum: number; readonly faults: number }[];
  readonly rules: { readonly since: number; readonly version: number }[];
  readonly calendar: { readonly year: number; readonly since: number }[];
  readonly terms: Term[];
  readonly leaves: Leaf[];
  readonly frozen: { readonly gateway: string; readonly epoch: number }[];
  readonly endings: Ending[];
  /** Grants that wait for a second approval. */
  pending: (Omit<Fact, "until"> & { readonly approver: string })[];
}

export function emptyHistory(): History {
  return {
    facts: [],
    keys: [],
    usedJti: [],
    candidacies: [],
    votes: [],
    quorums: [],
    rules: [],
    calendar: [],
    terms: [],
    leaves: [],
    frozen: [],
    endings: [],
    pending: [],
  };
}

/** From where a record looks: its header's seen size, its own index, and the second of its seal. */
export interface Sight {
  readonly seenSize: number;
  readonly index: number;
  readonly atS: number;
}

export function factsOf(history: History, kind: FactKind, id: string): readonly Fact[] {
  return history.facts.filter((fact) => fact.kind === kind && fact.id === id);
}

/** The newest fact that gives: its `since` is below the seen size. */
export function given(
  history: History,
  kind: FactKind,
  id: string,
  { seenSize }: Pick<Sight, "seenSize">,
): Fact | undefined {
  return factsOf(history, kind, id).findLast(({ since }) => since < seenSize);
}

/** Whether a fact holds in the second of a seal. */
export function isInTime({ nbf, exp }: Fact, atS: number): boolean {
  return (nbf === undefined || nbf <= atS) && (exp === undefined || atS < exp);
}

/** The version of a service or policy on which a record may rest: what has followed it has ended it. */
export function resting(
  history: History,
  kind: "service" | "policy",
  id: string,
  sight: Sight,
): Fact | undefined {
  const fact = given(history, kind, id, sight);
  return fact?.until === undefined && fact !== undefined && isInTime(fact, sight.atS)
    ? fact
    : undefined;
}

/**
 * What a record may rest on of a member: the newest fact that it has seen, and those after it. What they
 * take, such as a role, is taken; what they give waits. None when one of them is suspended or over.
 */
export function speaking(
  history: History,
  kind: "agency" | "gateway" | "administrator",
  id: string,
  sight: Sight,
): readonly Fact[] {
  const seen = given(history, kind, id, sight);
  const all = factsOf(history, kind, id);
  const active = seen === undefined ? [] : all.slice(all.indexOf(seen));
  const isOver = active.some(({ suspendedBy, exp }) => {
    return suspendedBy !== undefined || (exp !== undefined && exp <= sight.atS);
  });
  return isOver || (seen !== undefined && !isInTime(seen, sight.atS)) ? [] : active;
}

/** The newest fact of an id, seen or not, that nothing has taken or followed. */
export function newest(history: History, kind: FactKind, id: string): Fact | undefined {
  return factsOf(history, kind, id).at(-1);
}

/** Cities that the first `size` leaves leave as members. */
export function citiesAt(history: History, size: number): readonly string[] {
  const ids = history.facts.filter(({ kind }) => kind === "city").map(({ id }) => id);
  return [...new Set(ids)].filter((id) => cityFactAt(history, id, size) !== undefined).sort();
}

/** The fact of a city in the tree of `size` leaves, unless it is excluded there. */
export function cityFactAt(history: History, id: string, size: number): Fact | undefined {
  const fact = factsOf(history, "city", id).findLast(({ since }) => since < size);
  if (fact === undefined || (fact.until !== undefined && fact.until.index < size)) return undefined;
  return fact;
}

export function quorumAt(history: History, size: number): History["quorums"][number] | undefined {
  return history.quorums.findLast(({ since }) => since < size);
}

export function rulesAt(history: History, seenSize: number): number {
  return history.rules.findLast(({ since }) => since < seenSize)?.version ?? 1;
}

export function tipOf(
  history: History,
  gateway: string,
): (Leaf & { readonly index: number }) | undefined {
  const index = history.leaves.findLastIndex((leaf) => leaf.gateway === gateway);
  const leaf = history.leaves[index];
  return leaf === undefined ? undefined : { ...leaf, index };
}
