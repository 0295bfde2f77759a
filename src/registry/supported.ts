import type { AuthorizationDetail, Claims, Statement } from "../credential/statements.ts";

/** Version of the rules that this fold applies; a founding document names it. */
export const rulesVersion: number = 1;

/**
 * Whether these rules act on every member of a statement. One that they do not act on is never
 * ignored: it makes the statement void (DESIGN section 3).
 */
export function isSupported({ name, claims, body }: Statement): boolean {
  switch (name) {
    case "network":
      return body.rules === rulesVersion && isUnlimited(claims);
    case "service":
      return (
        body.approval.approvals === 1 && body.subject_paths.length === 0 && isUnlimited(claims)
      );
    case "policy":
      return isUnlimited(claims);
    case "request":
      return body.authorization_details.every(isPlainDetail);
    case "grant":
      // A fact has one address and a decision names one grant: one detail for each statement.
      return (
        body.authorization_details.length === 1 && body.authorization_details.every(isPlainDetail)
      );
    case "agency":
    case "gateway":
    case "administrator":
    case "denial":
    case "revocation":
      return true;
    case "city":
    case "vote":
    case "epoch":
    case "approval":
    case "resumption":
    case "suspension":
      return false;
  }
}

// A network, service or policy lasts until it is replaced: no decision looks at an end of its own.
function isUnlimited({ nbf, exp }: Claims): boolean {
  return nbf === undefined && exp === undefined;
}

function isPlainDetail({ fields, quota }: AuthorizationDetail): boolean {
  return fields === undefined && quota === undefined;
}
