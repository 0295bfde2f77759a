/** The re-check of a release, made again at its header's seen size (RECORDS.md, "What the auditor matches"). */
import { agencyOf, cityOf } from "../base/ids.ts";
import type { ReasonCode } from "../base/reasons.ts";
import type { Header } from "../gen/causeway/record/v1/header_pb.ts";
import type { RegistryState, RegistryView, Standing } from "../registry/state.ts";
import type { GrantEnd } from "./batch-times.ts";
import type { FindingCode } from "./findings.ts";

/** What one release rests on. */
export interface ReleaseGround {
  readonly grant: GrantEnd;
  readonly service: string;
  readonly consumerGateway: string;
  /** Of the release's batch. */
  readonly header: Header;
  readonly index: bigint;
  /** The registry before the batch, and as its header has seen it. */
  readonly state: RegistryState;
  readonly view: RegistryView;
  /** Whose chain carried the revocation of a grant, by its `jti`. */
  readonly carrierOf: (grantJti: string) => string | undefined;
}

/** A finding at the release. */
export interface Fallen {
  readonly code: FindingCode;
  readonly fields: Readonly<Record<string, string>>;
}

/** What of it did not stand any more when the batch was closed. */
export function fallenOf(ground: ReleaseGround): readonly Fallen[] {
  return [...fallenGrant(ground), ...fallenFoundation(ground)];
}

function fallenGrant({ grant, header, index, carrierOf }: ReleaseGround): readonly Fallen[] {
  const { jti, until, exp } = grant;
  const { gateway, seenSize, sealedAt } = header;
  const fields = { grant: jti };
  const fallen: Fallen[] = [];
  if (until !== undefined && until < seenSize) {
    fallen.push({ code: "GRANT_TAKEN", fields });
  } else if (until !== undefined && until < index && carrierOf(jti) === gateway) {
    fallen.push({ code: "RELEASE_AFTER_REVOCATION", fields });
  }
  if (exp !== undefined && Number(sealedAt) >= exp * 1000) {
    fallen.push({ code: "GRANT_EXPIRED", fields });
  }
  return fallen;
}

/** Members on both sides, the service, and the chains: the first that had fallen. */
function fallenFoundation(ground: ReleaseGround): readonly Fallen[] {
  const { consumerGateway, header, service, state, view } = ground;
  const { seenSize, sealedAt } = header;
  const isTaken = (fact: { readonly standing: Standing } | undefined): boolean => {
    const { until, exp } = fact?.standing ?? {};
    const isOver = exp !== undefined && Number(sealedAt) >= exp * 1000;
    return isOver || (until !== undefined && until.index < seenSize);
  };
  const fallen = (of: string, reason: ReasonCode): readonly Fallen[] => [
    { code: "FOUNDATION_TAKEN", fields: { of, reason } },
  ];
  for (const gateway of [consumerGateway, header.gateway]) {
    const agency = agencyOf(gateway);
    const city = cityOf(agency);
    if (isTaken(view.city(city))) return fallen(city, "MEMBER_NOT_ACTIVE");
    if (isTaken(view.agency(agency))) return fallen(agency, "MEMBER_NOT_ACTIVE");
    if (isTaken(view.gateway(gateway))) return fallen(gateway, "MEMBER_NOT_ACTIVE");
    const frozen = state.chainStops.get(gateway)?.frozen;
    if (frozen !== undefined && frozen.index < seenSize) return fallen(gateway, "CHAIN_FROZEN");
  }
  return isTaken(view.service(service)) ? fallen(service, "SERVICE_UNKNOWN") : [];
}
