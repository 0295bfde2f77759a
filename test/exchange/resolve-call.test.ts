/** Which data service a call means that names none. */
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { type AgencySystem, resolveCall } from "../../src/exchange/resolve-call.ts";
import type { GrantFact, RegistryView, ServiceFact, Standing } from "../../src/registry/state.ts";
import {
  consumer,
  consumerGateway,
  expires,
  getDivision,
  grantFact,
  inside,
  notBefore,
  provider,
  purpose,
  registry,
  reportCorrection,
  serviceBody,
  standing,
  viewOf,
} from "../policy/fixtures.ts";

const [older, newer] = [`${provider}/divisions`, `${provider}/divisions-2`];
const inForce = { nbf: notBefore, exp: expires };

interface Granted {
  readonly methods?: readonly string[];
  readonly at?: Partial<Standing>;
}

/** Two services that have the same methods, and what the consumer was granted of each. */
function viewWith(granted: Readonly<Record<string, Granted>>): RegistryView {
  const services = [older, newer].map(
    (id): ServiceFact => ({ id, body: serviceBody(), standing: standing(4n) }),
  );
  const facts = registry();
  facts.grants = Object.entries(granted).map(
    ([service, { methods, at = inForce }], i): GrantFact => {
      const { detail, ...grant } = grantFact({ standing: standing(BigInt(6 + i), at) });
      return { ...grant, detail: { ...detail, service, methods: methods ?? detail.methods } };
    },
  );
  return {
    ...viewOf(facts),
    services: () => services,
    service: (id) => services.find((service) => service.id === id),
    grantsOf: () => facts.grants,
  };
}

function meant(
  view: RegistryView,
  options: { readonly service?: string; readonly system?: Partial<AgencySystem> } = {},
): string {
  const resolved = resolveCall({
    view,
    gateway: consumerGateway,
    agency: consumer,
    system: { id: "desk", ...options.system },
    path: getDivision,
    service: options.service,
    purpose,
    evaluatedAt: inside,
  });
  return "reason" in resolved ? resolved.reason : resolved.service.id;
}

describe("a call that names no service, of a method that two services have", () => {
  it("is ambiguous while both are granted", () => {
    const view = viewWith({ [older]: {}, [newer]: {} });
    assert.equal(meant(view), "SERVICE_AMBIGUOUS");
    assert.equal(meant(view, { service: older }), older);
  });

  it("means the one that its agency system may use", () => {
    const view = viewWith({ [older]: {}, [newer]: {} });
    assert.equal(meant(view, { system: { services: [newer] } }), newer);
  });

  it("means the default of its agency system", () => {
    const view = viewWith({ [older]: {}, [newer]: {} });
    assert.equal(meant(view, { system: { defaults: { service: newer } } }), newer);
  });

  const gone: readonly (readonly [what: string, granted: Granted])[] = [
    ["has been revoked", { at: { ...inForce, until: { index: 10n, position: 0 } } }],
    ["has expired", { at: { nbf: notBefore, exp: inside } }],
    ["has not begun", { at: { nbf: inside + 1, exp: expires } }],
    ["is of another method", { methods: [reportCorrection] }],
  ];
  for (const [what, granted] of gone) {
    it(`means the other one when the grant of one ${what}`, () => {
      const view = viewWith({ [older]: granted, [newer]: {} });
      assert.equal(meant(view), newer);
      assert.notEqual(meant(view, { service: older }), older);
    });
  }
});

describe("the reason of a call that resolves to nothing", () => {
  it("is what is missing: the service, the method or the grant", () => {
    const none = viewWith({});
    assert.equal(meant(none), "GRANT_MISSING");
    assert.equal(meant(none, { service: newer }), "GRANT_MISSING");
    assert.equal(meant(none, { service: `${provider}/nothing` }), "SERVICE_UNKNOWN");
    const other = { ...viewWith({ [older]: {} }), services: () => [] };
    const bare = { ...serviceBody(), methods: [] };
    const service = (id: string): ServiceFact => ({ id, body: bare, standing: standing(4n) });
    assert.equal(meant({ ...other, service }), "METHOD_UNKNOWN");
    assert.equal(meant({ ...other, service }, { service: older }), "METHOD_UNKNOWN");
    // What is granted of another service says nothing of this one.
    assert.equal(meant(viewWith({ [older]: {} }), { service: newer }), "GRANT_MISSING");
  });

  it("is all that the catalogue is gone through for", () => {
    const view = viewWith({ [older]: {} });
    const services = (): never => assert.fail("a call that is granted needs no catalogue");
    assert.equal(meant({ ...view, services }), older);
  });
});
