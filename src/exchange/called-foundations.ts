/** What a call rests on at the gateway that makes it. */
import { agencyOf } from "../base/ids.ts";
import type { ConsumerPorts } from "./consumer-attempt.ts";
import { type Stand, standAt } from "./recheck.ts";
import type { ResolvedCall } from "./resolve-call.ts";

/** How that stands now. The gateway that is called counts as soon as one is. */
export function standOfCall(
  { grant, service }: ResolvedCall,
  provider: string | undefined,
  ports: Pick<ConsumerPorts, "clock" | "localTakings" | "replica" | "self">,
): Stand {
  const { clock, localTakings, replica, self } = ports;
  const foundations = {
    grantJti: grant.jti,
    grantAddress: grant.standing.address,
    service: service.id,
    consumerGateway: self.gateway,
    consumerAgency: agencyOf(self.gateway),
    providerGateway: provider,
    maxStalenessMs: service.body.max_staleness_s * 1000,
  };
  return standAt({ foundations, replica, localTakings, atMs: clock.nowMs() });
}
