/** Agencies, gateways and administrators: enrolled, changed, suspended and resumed. */
import { toHex, utf8 } from "../../src/base/bytes.ts";
import { agencyOf, cityOf } from "../../src/base/ids.ts";
import { sha256 } from "../../src/base/sha256.ts";
import { formatKey } from "../../src/credential/key-text.ts";
import type { AgencyRole, SuspensionBody } from "../../src/credential/statements.ts";
import { thumbprint } from "../../src/crypto/thumbprint.ts";
import { type Fact, tipOf } from "./facts.ts";
import { administrator, factsOfKind, pick, recent, speak, type Step } from "./step.ts";
import type { Spoken, World } from "./world.ts";

export function enrol(world: World, step: Step): Spoken {
  const agency = pick(world.agencies, step.a) as string;
  switch (step.verb) {
    case "agency":
      return step.b < 4 ? newAgency(world, step) : changedAgency(world, step, agency);
    case "administrator":
      return enrolAdministrator(world, step, agency);
    default:
      return enrolGateway(world, step, agency);
  }
}

function newAgency(world: World, step: Step): Spoken {
  const iss = pick(world.cities, step.c) as string;
  const sub = `${iss}/new-${world.said.length}`;
  const [authority, next] = [world.freshKey(), world.freshKey()];
  const body = {
    name: sub,
    authority: formatKey(authority.publicKey),
    next: toHex(sha256(next.publicKey)),
    roles: ["consumer", "provider"] as const,
  };
  return speak(world, step, "agency", { iss, sub, body }, [world.authorityOf(iss), authority]);
}

/** Other roles, or the next key in the place of the one in force. */
function changedAgency(world: World, step: Step, sub: string): Spoken {
  const { b, c } = step;
  const iss = cityOf(sub);
  const rotates = b < 8;
  const authority = rotates && c < 10 ? world.nextOf(sub) : world.authorityOf(sub);
  const next = rotates ? world.freshKey() : world.nextOf(sub);
  const roles: readonly AgencyRole[] = b % 4 === 1 ? ["provider"] : ["consumer", "provider"];
  const body = {
    name: sub,
    authority: formatKey(authority.publicKey),
    next: toHex(sha256(next.publicKey)),
    roles,
  };
  const end = c === 11 ? { exp: world.nowS + 500 } : {};
  return speak(world, step, "agency", { iss, sub, body, ...end }, [
    world.authorityOf(iss),
    authority,
  ]);
}

function enrolAdministrator(world: World, step: Step, iss: string): Spoken {
  const { b, c } = step;
  const known = pick(world.administratorsOf(iss), b);
  const key = b < 7 || known === undefined ? world.freshKey() : known;
  const roles = c % 3 === 0 ? (["operator"] as const) : (["approver", "operator"] as const);
  const body = { key: formatKey(key.publicKey), roles };
  const end = c === 11 ? { exp: world.nowS + 500 } : {};
  const sub = thumbprint(key.publicKey);
  return speak(world, step, "administrator", { iss, sub, body, ...end }, [
    world.authorityOf(iss),
    key,
  ]);
}

/** A new gateway, or other keys for one that is there; some say where the chain under the old keys ends. */
function enrolGateway(world: World, step: Step, iss: string): Spoken {
  const { b, c } = step;
  const known = pick(world.gatewaysOf(iss), b);
  const isNew = known === undefined || b < 4;
  const sub = isNew ? `${iss}/gw${world.gatewaysOf(iss).length + 1}` : known.id;
  const tip = tipOf(world.history, sub);
  const end = { epoch: tip?.epoch ?? 0, seq: tip?.seq ?? 0, leaf: tip?.hash ?? "ef".repeat(32) };
  const [batch, token] = [world.freshKey(), world.freshKey()];
  const body = {
    ...world.gatewayBody(sub, batch, token),
    ...(!isNew && tip !== undefined && c % 3 === 0 ? { last: end } : {}),
  };
  return speak(world, step, "gateway", { iss, sub, body }, [world.authorityOf(iss), batch, token]);
}

const whats = ["agency", "gateway", "administrator", "service"] as const;

export function suspend(world: World, step: Step): Spoken | undefined {
  const { a, b, c, verb } = step;
  const suspended = world.history.facts.filter(
    (fact) => fact.suspendedBy !== undefined && fact.kind !== "city",
  );
  const known = verb === "resumption" && a < 10 ? recent(suspended, b) : undefined;
  const fact = known ?? pick(factsOfKind(world, pick(whats, a) as Fact["kind"]), b + c);
  if (fact === undefined) return undefined;
  const what = fact.kind as SuspensionBody["what"];
  const agency =
    what === "agency" ? fact.id : what === "administrator" ? fact.owner : agencyOf(fact.id);
  const usual = what === "agency" || (what === "gateway" && c % 2 === 0) ? cityOf(agency) : agency;
  const iss = fact.suspendedBy ?? usual;
  const wording = { iss, sub: fact.id, body: { what, reason: "inquiry" } };
  const authority = world.authorityOf(iss);
  if (verb === "suspension") return speak(world, step, "suspension", wording, [authority]);
  const signer = iss.includes("/") ? administrator(world, iss, c) : authority;
  return speak(world, step, "resumption", wording, [signer]);
}

/** A TLS digest that nobody has. */
export function freshDigest(world: World, label: string): string {
  return toHex(sha256(utf8(`${label} ${world.said.length}`)));
}
