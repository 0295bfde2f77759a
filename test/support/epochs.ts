/** The statement by which an agency's authority opens a new epoch of one of its gateways. */
import { systemRandom } from "../../gateway/runtime.ts";
import { createUuidV7, formatUuid } from "../../src/base/ids.ts";
import { createStatement } from "../../src/credential/statement.ts";
import type { EpochBody } from "../../src/credential/statements.ts";
import type { Member, TwoCities } from "./two-cities.ts";

export function signEpoch(
  { networkId }: Pick<TwoCities, "networkId">,
  { agency, gateway }: Pick<Member, "agency" | "gateway">,
  body: EpochBody,
  atMs: number = Date.now(),
): readonly string[] {
  const claims = {
    iss: agency.card.id,
    sub: gateway.card.id,
    net: networkId,
    jti: formatUuid(createUuidV7(Date.now(), systemRandom(10))),
    iat: Math.floor(atMs / 1000),
  };
  return createStatement({ name: "epoch", claims, body }, [agency.authority]);
}
