/** Which rule a statement is under. */
import type { StatementName } from "../../src/credential/statements.ts";
import type { History } from "./facts.ts";
import * as access from "./access-rules.ts";
import * as members from "./member-rules.ts";
import type { Against, Effect, Ground, Said } from "./rules.ts";
import { countVotes } from "./votes.ts";

type Rule = (history: History, said: Said, ground: Ground, against: Against) => Effect;

const rules: Readonly<Record<StatementName, Rule>> = {
  network: () => () => undefined,
  city: members.judgeCity,
  vote: countVotes,
  agency: members.judgeAgency,
  gateway: members.judgeGateway,
  administrator: members.judgeAdministrator,
  service: access.judgeService,
  policy: access.judgePolicy,
  request: access.judgeRequest,
  grant: access.judgeGrant,
  denial: access.judgeDenial,
  approval: access.judgeApproval,
  revocation: access.judgeRevocation,
  suspension: members.judgeSuspension,
  resumption: members.judgeResumption,
  epoch: members.judgeEpoch,
};

/** The faults of one statement, and what it does when there are none. */
export function judge(history: History, said: Said, ground: Ground, against: Against): Effect {
  return rules[said.statement.name](history, said, ground, against);
}
