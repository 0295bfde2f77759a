/** The bodies of the statements: every member described, none beside them. */
import { parseBase64 } from "../base/bytes.ts";
import { blobBytesMax } from "../base/limits.ts";
import {
  address,
  certificate,
  cityId,
  code,
  digest,
  displayName,
  divisionCode,
  fieldPath,
  key,
  memberId,
  methodPath,
  unixTime,
  uuidV7,
  version,
} from "./atoms.ts";
import { authorizationDetail } from "./authorization.ts";
import {
  ascending,
  boolean,
  integer,
  list,
  object,
  oneOf,
  oneShapeOf,
  optional,
  refined,
  text,
  type Shape,
} from "./shape.ts";
import type {
  AdministratorBody,
  AdministratorRole,
  AgencyBody,
  AgencyRole,
  ApprovalBody,
  ApprovalRule,
  Bounds,
  Calendar,
  CalendarYear,
  ChainEnd,
  CityBody,
  DeadlineProfile,
  DenialBody,
  EpochBody,
  FoundingCity,
  FoundingSequencer,
  GatewayBody,
  GatewayEndpoints,
  GrantBody,
  NetworkBody,
  PolicyBody,
  RequestBody,
  RequiredDurability,
  ResumptionBody,
  RevocationBody,
  ServiceAttribute,
  ServiceBody,
  ServiceMethod,
  SharingAttribute,
  StatementBodies,
  StatementName,
  SuspensionBody,
  VoteBody,
} from "./statements.ts";

const self = (value: string): string => value;
const seconds = (max: number): Shape<number> => integer({ min: 1, max });
const day = 24 * 3600;

// Each founding city signs with two keys and the log with one: at most 64 signatures in all.
const citiesMax = 31;

const foundingCity: Shape<FoundingCity> = object<FoundingCity>({
  id: cityId,
  authority: key,
  next: digest,
  witness: key,
  witness_address: address,
  witness_tls: digest,
  division: divisionCode,
});

const bounds: Shape<Bounds> = object<Bounds>({
  skew_s: seconds(300),
  heartbeat_s: seconds(3600),
  max_staleness_s: integer({ min: 30, max: day }),
  inclusion_bound_s: seconds(day),
  token_life_s: seconds(60),
  window_segments: integer({ min: 1, max: 1024 }),
  segment_messages: integer({ min: 1, max: 2 ** 16 }),
  segment_bytes: integer({ min: 1024, max: 2 ** 26 }),
  unacknowledged_receipts: integer({ min: 1, max: 2 ** 20 }),
  sealing_queue_bytes: integer({ min: 2 ** 20, max: 2 ** 32 }),
});

const isoDate = text((value) => {
  const found = /^([0-9]{4})-([0-9]{2})-([0-9]{2})$/.exec(value);
  if (found === null) return false;
  const date = new Date(0);
  date.setUTCFullYear(Number(found[1]), Number(found[2]) - 1, Number(found[3]));
  return date.toISOString().slice(0, 10) === value;
});
const days = ascending(isoDate, { min: 0, max: 366 }, self);

const calendarYear: Shape<CalendarYear> = refined(
  object<CalendarYear>({ year: integer({ min: 2000, max: 9999 }), off: days, on: days }),
  ({ year, off, on }) =>
    [...off, ...on].every((date) => date.startsWith(`${year}-`)) &&
    !on.some((date) => off.includes(date)),
);

const calendar: Shape<Calendar> = object<Calendar>({
  years: ascending(calendarYear, { min: 0, max: 100 }, ({ year }) => String(year)),
});

const sequencer: Shape<FoundingSequencer> = object<FoundingSequencer>({
  gateway: memberId,
  address,
  tls: digest,
  log: key,
});

/** A quorum that any two of share a city that does not lie (DESIGN section 4). */
function isQuorum({ cities, quorum, faults }: NetworkBody): boolean {
  return quorum <= cities.length && 2 * quorum >= cities.length + faults + 1;
}

const network: Shape<NetworkBody> = refined(
  object<NetworkBody>({
    name: displayName,
    cities: ascending(foundingCity, { min: 1, max: citiesMax }, ({ id }) => id),
    quorum: integer({ min: 1, max: citiesMax }),
    faults: integer({ min: 0, max: citiesMax }),
    bounds,
    rules: version,
    calendar,
    sequencer,
  }),
  isQuorum,
);

const agency: Shape<AgencyBody> = object<AgencyBody>({
  name: displayName,
  authority: key,
  next: digest,
  roles: ascending(
    oneOf<AgencyRole>("consumer", "provider", "data-authority"),
    { min: 1, max: 3 },
    self,
  ),
});

const chainEnd: Shape<ChainEnd> = object<ChainEnd>({
  epoch: integer({ min: 0, max: 0xffffffff }),
  seq: integer({ min: 0, max: Number.MAX_SAFE_INTEGER }),
  leaf: digest,
});

const gatewayCertificates = { min: 1, max: 4 };

const gateway: Shape<GatewayBody> = refined(
  object<GatewayBody>({
    batch: key,
    token: key,
    certificates: list(certificate, gatewayCertificates),
    tls: list(digest, gatewayCertificates),
    endpoints: object<GatewayEndpoints>({ peer: address, http: address }),
    last: optional(chainEnd),
  }),
  ({ certificates, tls }) => certificates.length === tls.length && new Set(tls).size === tls.length,
);

const administrator: Shape<AdministratorBody> = object<AdministratorBody>({
  key,
  roles: ascending(
    oneOf<AdministratorRole>("operator", "approver", "auditor"),
    { min: 1, max: 3 },
    self,
  ),
});

const serviceMethod: Shape<ServiceMethod> = object<ServiceMethod>({
  path: methodPath,
  writes: boolean,
  client_streaming: boolean,
  server_streaming: boolean,
});

const serviceAttribute: Shape<ServiceAttribute> = refined(
  object<ServiceAttribute>({
    name: text(/^[A-Za-z][A-Za-z0-9_-]{0,63}$/),
    type: oneOf<ServiceAttribute["type"]>("boolean", "integer", "text", "text-set"),
    personal: boolean,
    source: oneOf<ServiceAttribute["source"]>("token", "request", "provider"),
    path: optional(fieldPath),
  }),
  ({ source, path }) => path === undefined || source === "request",
);

const purposes = ascending(code, { min: 1, max: 64 }, self);
const blobBytes = integer({ min: 1, max: blobBytesMax });

const service: Shape<ServiceBody> = object<ServiceBody>({
  version,
  descriptor: digest,
  descriptor_bytes: blobBytes,
  methods: ascending(serviceMethod, { min: 1, max: 256 }, ({ path }) => path),
  sharing: oneOf<SharingAttribute>("unconditional", "conditional", "not-shared"),
  purposes,
  subject_paths: ascending(fieldPath, { min: 0, max: 64 }, self),
  attributes: ascending(serviceAttribute, { min: 0, max: 64 }, ({ name }) => name),
  approval: object<ApprovalRule>({ approvals: integer({ min: 1, max: 2 }) }),
  deadline: object<DeadlineProfile>({
    name: code,
    check_days: integer({ min: 0, max: 366 }),
    answer_days: integer({ min: 0, max: 366 }),
  }),
  max_staleness_s: integer({ min: 30, max: day }),
  durability: optional(oneOf<RequiredDurability>("journal", "ledger")),
});

const policy: Shape<PolicyBody> = object<PolicyBody>({
  version,
  policy: digest,
  policy_bytes: blobBytes,
  schema: digest,
  schema_bytes: blobBytes,
});

const details = list(authorizationDetail, { min: 1, max: 16 });

const request: Shape<RequestBody> = object<RequestBody>({ authorization_details: details });
const grant: Shape<GrantBody> = object<GrantBody>({
  request: uuidV7,
  authorization_details: details,
});
const denial: Shape<DenialBody> = object<DenialBody>({
  request: uuidV7,
  reason: code,
  text: optional(digest),
});
const revocation: Shape<RevocationBody> = object<RevocationBody>({
  grant: uuidV7,
  reason: code,
  text: optional(digest),
});

const cityKeys = { authority: key, next: digest };
const cityWitness = { witness: key, witness_address: address, witness_tls: digest };

const city: Shape<CityBody> = oneShapeOf<CityBody>("change", {
  candidacy: object({
    change: oneOf("candidacy"),
    ...cityKeys,
    ...cityWitness,
    division: divisionCode,
  }),
  rotation: object({ change: oneOf("rotation"), ...cityKeys }),
  recovery: object({ change: oneOf("recovery"), ...cityKeys }),
  witness: object({ change: oneOf("witness"), ...cityWitness }),
});

const newQuorum = {
  quorum: integer({ min: 1, max: citiesMax }),
  faults: integer({ min: 0, max: citiesMax }),
};

const vote: Shape<VoteBody> = oneShapeOf<VoteBody>("on", {
  admission: object({ on: oneOf("admission"), candidacy: digest, ...newQuorum }),
  exclusion: object({ on: oneOf("exclusion"), ...newQuorum }),
  quorum: object({ on: oneOf("quorum"), ...newQuorum }),
  rules: object({ on: oneOf("rules"), version }),
  calendar: object({ on: oneOf("calendar"), year: calendarYear }),
  sequencer: object({
    on: oneOf("sequencer"),
    term: version,
    address,
    tls: digest,
    log: key,
    checkpoint: text((value) => isCheckpointText(value)),
  }),
  engine: object({ on: oneOf("engine"), engine: oneOf("cometbft"), genesis: digest }),
});

// One signature of the log and as many cosignatures as there may be cities, with room to spare.
const checkpointTextMax = 16_384;

function isCheckpointText(value: string): boolean {
  return value !== "" && value.length <= checkpointTextMax && parseBase64(value) !== undefined;
}

const epoch: Shape<EpochBody> = refined(
  object<EpochBody>({
    epoch: version,
    last: chainEnd,
    reason: code,
    lost_from: unixTime,
    lost_to: unixTime,
  }),
  ({ epoch: number, last, lost_from: from, lost_to: to }) => number > last.epoch && from <= to,
);

const approval: Shape<ApprovalBody> = object<ApprovalBody>({ grant: uuidV7 });

const suspendable = oneOf<SuspensionBody["what"]>("agency", "gateway", "administrator", "service");

const suspension: Shape<SuspensionBody> = refined(
  object<SuspensionBody>({
    what: suspendable,
    reason: code,
    text: optional(digest),
    last: optional(chainEnd),
  }),
  ({ what, last }) => last === undefined || what === "gateway",
);

const resumption: Shape<ResumptionBody> = object<ResumptionBody>({
  what: suspendable,
  reason: code,
});

/** The member that is named like the type, for each type. */
export const bodyShapes: { readonly [N in StatementName]: Shape<StatementBodies[N]> } = {
  network,
  city,
  vote,
  agency,
  gateway,
  administrator,
  epoch,
  service,
  policy,
  request,
  grant,
  denial,
  approval,
  revocation,
  resumption,
  suspension,
};
