import type { Claims, Statement, VoteBody } from "../credential/statements.ts";
import { calendarVotesSince, isKnownRules } from "./rules-version.ts";

/**
 * Whether the rules of `version` act on every member of a statement. One that they do not act on is never
 * ignored: it makes the statement void (DESIGN section 3).
 */
export function isSupported({ name, claims, body }: Statement, version: number): boolean {
  switch (name) {
    case "network":
      return isKnownRules(body.rules) && isUnlimited(claims);
    case "city":
      return body.change === "candidacy" || isUnlimited(claims);
    case "vote":
      return isSupportedVote(body, version) && isUnlimited(claims);
    case "service":
      return body.subject_paths.length === 0 && isUnlimited(claims);
    case "policy":
    case "suspension":
    case "resumption":
      return isUnlimited(claims);
    case "request":
      // How a quota is shared among the provider's gateways is the provider's to say.
      return body.authorization_details.every(({ quota }) => quota?.shares === undefined);
    case "grant":
      // A fact has one address and a decision names one grant: one detail for each statement.
      return body.authorization_details.length === 1;
    case "agency":
    case "gateway":
    case "administrator":
    case "epoch":
    case "denial":
    case "approval":
    case "revocation":
      return true;
  }
}

function isSupportedVote({ on }: VoteBody, version: number): boolean {
  return on !== "engine" && (on !== "calendar" || version >= calendarVotesSince);
}

// What lasts until something else is said, or happens once: nothing looks at an end of its own.
function isUnlimited({ nbf, exp }: Claims): boolean {
  return nbf === undefined && exp === undefined;
}
