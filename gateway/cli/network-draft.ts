/** The founding document, made from public cards alone. */
import { compareText, parseUtf8 } from "../../src/base/bytes.ts";
import { CausewayError } from "../../src/base/errors.ts";
import { cityOf } from "../../src/base/ids.ts";
import type {
  Bounds,
  Calendar,
  FoundingCity,
  NetworkBody,
} from "../../src/credential/statements.ts";
import { defaultBounds } from "../../src/credential/statements.ts";
import { rulesVersion } from "../../src/registry/rules-version.ts";
import type { CityCard, GatewayCard } from "../keys/card.ts";
import { readBounded } from "../keys/files.ts";
import { createClaims, createDraft, type Draft } from "./drafts.ts";
import type { Io } from "./io.ts";
import { readCardAt } from "./key-folders.ts";

export interface NetworkDraftOptions {
  readonly name: string;
  /** Cards of the founding cities. */
  readonly city: readonly string[];
  /** Card of the first sequencer's gateway. */
  readonly sequencer: string;
  readonly calendar?: string | undefined;
  readonly quorum?: number | undefined;
  readonly bound?: Partial<Bounds> | undefined;
}

// Of text: a century of public holidays is a tenth of it.
const calendarBytesMax = 1024 * 1024;

/**
 * Cities that must cosign, and that may lie: q ≥ ⌈(n+f+1)/2⌉ with f = 1 from three cities on (DESIGN
 * section 4). A smaller quorum tolerates fewer; none that two disjoint groups of cities could form.
 *
 * @throws CausewayError `USAGE_INVALID` for a quorum that does not hold together.
 */
export function quorumOf(
  cities: number,
  wanted?: number,
): { readonly quorum: number; readonly faults: number } {
  const faultsMax = cities >= 3 ? 1 : 0;
  const quorum = wanted ?? Math.ceil((cities + faultsMax + 1) / 2);
  const faults = Math.min(faultsMax, 2 * quorum - cities - 1);
  if (quorum > cities || faults < 0) {
    const least = Math.ceil((cities + 1) / 2);
    throw new CausewayError(
      "USAGE_INVALID",
      `a quorum of ${cities} cities is ${least} to ${cities}`,
    );
  }
  return { quorum, faults };
}

/** The founding document that these cards make, unsigned. */
export async function draftNetwork(options: NetworkDraftOptions, io: Io): Promise<Draft> {
  const { name, bound } = options;
  const cards = await Promise.all(options.city.map((path) => readCardAt(path, "city")));
  const cities = cards.map(foundingCity).sort((a, b) => compareText(a.id, b.id));
  const body: NetworkBody = {
    name,
    cities,
    ...quorumOf(cities.length, options.quorum),
    bounds: { ...defaultBounds, ...bound },
    rules: rulesVersion,
    calendar: await readCalendar(options.calendar),
    sequencer: foundingSequencer(await readCardAt(options.sequencer, "gateway"), cities),
  };
  const claims = createClaims({ iss: name, sub: name }, io);
  return createDraft({ name: "network", claims, body });
}

function foundingCity(card: CityCard): FoundingCity {
  const { kind: _, witness_certificate: __, ...city } = card;
  return city;
}

function foundingSequencer(
  { id, endpoints, tls, log }: GatewayCard,
  cities: readonly FoundingCity[],
): NetworkBody["sequencer"] {
  if (log === undefined) {
    throw new CausewayError(
      "CARD_INVALID",
      `${id} has no log key: it was made without --sequencer`,
    );
  }
  if (!cities.some((city) => city.id === cityOf(id))) {
    throw new CausewayError("MEMBER_UNKNOWN", `the sequencer ${id} is of no founding city`);
  }
  return { gateway: id, address: endpoints.peer, tls: tls[0] as string, log };
}

/** Its form is checked with the whole document. */
async function readCalendar(file: string | undefined): Promise<Calendar> {
  if (file === undefined) return { years: [] };
  const text = parseUtf8(await readBounded(file, calendarBytesMax));
  try {
    return JSON.parse(text ?? "") as Calendar;
  } catch (cause) {
    throw new CausewayError("MALFORMED", `${file} is not JSON`, { cause });
  }
}
