import assert from "node:assert/strict";
import { describe, test } from "node:test";
import type { ReasonCode } from "../../src/base/reasons.ts";
import type { AgencySystem } from "../../src/exchange/resolve-call.ts";
import type { RegistryView } from "../../src/registry/state.ts";
import { type HealthState, healthState } from "../../gateway/services/health-state.ts";
import { consumer, expires, inside, standing } from "../policy/fixtures.ts";
import { catalogueView, descriptorSetOf } from "./catalogue.ts";

const descriptor = descriptorSetOf({ pack: "companies", name: "Companies", fields: ["name"] });
const register = "hangzhou/civil-affairs/register";
const permits = "hangzhou/civil-affairs/permits";
const own = `${consumer}/licences`;
const system: AgencySystem = { id: "portal" };

const view = catalogueView([
  { id: register, descriptor, method: "/companies.Companies/Get", granted: true },
  { id: permits, descriptor, method: "/permits.Permits/Get", granted: false },
  {
    id: own,
    descriptor,
    method: "/licences.Licences/Get",
    granted: false,
    body: { max_staleness_s: 60 },
  },
]);

function stateOf(
  options: {
    readonly view?: RegistryView;
    readonly reasons?: readonly ReasonCode[];
    readonly ageS?: number;
    readonly nowS?: number;
    readonly system?: AgencySystem;
  } = {},
): HealthState {
  const nowMs = (options.nowS ?? inside) * 1000;
  const timeMs = nowMs - (options.ageS ?? 1) * 1000;
  const final = { size: 20n, root: new Uint8Array(32), note: new Uint8Array(), timeMs };
  return healthState(
    {
      replica: { final: () => final, view: () => options.view ?? view },
      clock: { nowMs: () => nowMs, monotonicMs: () => 0 },
      agency: consumer,
      notReady: () => options.reasons ?? [],
    },
    options.system ?? system,
  );
}

describe("the state of a data service", () => {
  test("is known for what is granted and for the agency's own, by its id and by its gRPC name", () => {
    assert.deepEqual(
      [...stateOf().keys()].toSorted(),
      ["", "companies.Companies", register, "licences.Licences", own].toSorted(),
    );
    assert.ok([...stateOf().values()].every((serving) => serving));
  });

  for (const reason of [
    "CLOCK_OFF",
    "STALE_REPLICA",
    "JOURNAL_ROLLED_BACK",
    "SHUTTING_DOWN",
  ] as const) {
    test(`is not serving, as the gateway is not, while ${reason}`, () => {
      assert.ok([...stateOf({ reasons: [reason] }).values()].every((serving) => !serving));
    });
  }

  test("is not serving once the replica is older than this service allows, which others may still", () => {
    const state = stateOf({ ageS: 61 });
    assert.equal(state.get(own), false);
    assert.equal(state.get(register), true);
    assert.equal(state.get(""), true);
  });

  test("is not serving while its agency is suspended", () => {
    const until = { index: 10n, position: 0 };
    const suspended: RegistryView = {
      ...view,
      agency: (id) => {
        const fact = view.agency(id);
        return fact === undefined ? undefined : { ...fact, standing: standing(1n, { until }) };
      },
    };
    assert.equal(stateOf({ view: suspended }).get(register), false);
    assert.equal(stateOf({ view: suspended }).get(""), true);
  });

  test("is unknown after the grant has expired", () => {
    assert.equal(stateOf({ nowS: expires }).get(register), undefined);
    assert.equal(stateOf({ nowS: expires - 1 }).get(register), true);
  });

  test("is unknown from the revocation on, before that is final", () => {
    const revoked: RegistryView = {
      ...view,
      grantsOf: (agency) =>
        view.grantsOf(agency).map((grant) => ({
          ...grant,
          standing: { ...grant.standing, until: { index: view.seenSize + 5n, position: 0 } },
        })),
    };
    assert.equal(stateOf({ view: revoked }).get(register), undefined);
  });

  test("is unknown to an agency system that may not use it", () => {
    assert.deepEqual(
      [...stateOf({ system: { id: "kiosk", services: [own] } }).keys()].toSorted(),
      ["", "licences.Licences", own].toSorted(),
    );
  });
});
