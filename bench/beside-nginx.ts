/** Both gateways beside two hops of nginx, with one client and one upstream in Go: what evidence costs against the fastest way to have none. */
import { mkdtempSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createTwoCities } from "../test/support/two-cities.ts";
import { type Chain, startEvidenceOn } from "./chains.ts";
import {
  type ChainFigures,
  chainFigures,
  type Comparison,
  comparisons,
  ledgerFigures,
} from "./figures.ts";
import { buildGoPrograms, startGoProgram } from "./go-programs.ts";
import type { Missing } from "./missing.ts";
import { findNginx, type Nginx, startNginx } from "./nginx.ts";
import { benchMethod, benchRequest } from "./raw-grpc.ts";
import { measureRounds, type RoundPlan } from "./rounds.ts";
import { syntheticAnswer } from "./synthetic-upstream.ts";

export interface NginxPlan extends RoundPlan {
  readonly answerBytes: number;
  readonly nodeFlags: readonly string[];
}

export interface NginxFigures {
  /** Of nginx. */
  readonly version: string;
  readonly answerBytes: number;
  readonly chains: readonly ChainFigures[];
  readonly comparisons: readonly Comparison[];
}

/** Measures both chains in turn, or says what this machine lacks. */
export async function measureBesideNginx(
  plan: NginxPlan,
  progress: (what: string) => void,
): Promise<NginxFigures | Missing> {
  const nginx = findNginx();
  if ("missing" in nginx) return nginx;
  const missing = buildGoPrograms("grpc-client", "grpc-upstream");
  return missing === undefined ? measure(plan, nginx, progress) : { missing };
}

async function measure(
  plan: NginxPlan,
  nginx: Nginx,
  progress: (what: string) => void,
): Promise<NginxFigures> {
  progress("starting nginx and the gateways");
  const { answerBytes, nodeFlags } = plan;
  const answer = syntheticAnswer(answerBytes).toString("base64");
  const request = benchRequest.toString("base64");
  const shared = {
    client: await startGoProgram("grpc-client", ["-method", benchMethod.path, "-request", request]),
    upstream: await startGoProgram("grpc-upstream", ["-answer", answer]),
  };
  const upstream = `127.0.0.1:${shared.upstream.port}`;
  const cities = await createTwoCities({ upstream });
  const chains: Chain[] = [];
  try {
    const folder = mkdtempSync(join(tmpdir(), "causeway-nginx-"));
    chains.push(await startNginx(nginx, { upstream, folder }));
    chains.push(await startEvidenceOn({ nodeFlags }, cities));
    const samples = await measureRounds(chains, shared, plan, progress);
    for (const chain of chains.splice(0)) await chain.stop();
    // It throws unless every exchange has left its receipt.
    ledgerFigures(samples, join(cities.provider.folder, "data"));
    return {
      version: nginx.version,
      answerBytes,
      chains: chainFigures(samples),
      comparisons: comparisons(samples),
    };
  } finally {
    for (const chain of chains) await chain.stop();
    await shared.client.stop();
    await shared.upstream.stop();
    cities.remove();
  }
}
