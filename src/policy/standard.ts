/** The generic Cedar model: a schema and a policy set that a provider may publish as they are. */
import type { ServiceAttribute } from "../credential/statements.ts";

const cedarTypes: Readonly<Record<ServiceAttribute["type"], string>> = {
  boolean: "Bool",
  integer: "Long",
  text: "String",
  "text-set": "Set<String>",
};

/** Not every method has the field in its request, and not every call names a case and an official. */
function isOptional({ name, source }: ServiceAttribute): boolean {
  return source === "request" || (source === "token" && (name === "case" || name === "official"));
}

/**
 * The schema of every policy request, with the attributes that a service declares.
 * What a call may lack is optional, and a policy asks whether it is there; each other attribute is
 * required, and a call that lacks one is denied.
 */
export function standardSchema(attributes: readonly ServiceAttribute[]): string {
  const members = attributes.map(
    (attribute) =>
      `  ${JSON.stringify(attribute.name)}${isOptional(attribute) ? "?" : ""}: ${cedarTypes[attribute.type]},\n`,
  );
  const record = members.length === 0 ? "{}" : `{\n${members.join("")}}`;
  return `// What a gateway asks its policies: may this agency call this data service?
entity Agency;
entity Service;

// The grant that the call names. It was found in force before any policy is asked.
type Grant = {
  legal_basis: String,
  methods: Set<String>,
  purposes: Set<String>,
  // Unix seconds: in force while not_before <= now < expires.
  not_before: Long,
  expires: Long,
};

// As the service statement declares them.
type Attributes = ${record};

action call appliesTo {
  principal: Agency,
  resource: Service,
  context: {
    // Full method path, such as /causeway.demo.v1.DivisionService/GetDivision.
    method: String,
    purpose: String,
    // Whether the method changes something at the provider.
    writes: Bool,
    consumer_city: String,
    provider_city: String,
    // Unix seconds.
    now: Long,
    grant: Grant,
    attributes: Attributes,
  },
};
`;
}

/** `policies/standard.cedarschema`: the schema of a service without attributes. */
export const standardSchemaText: string = standardSchema([]);

/** `policies/standard.cedar`: what the grant covers is permitted, and nothing else. */
export const standardPolicyText: string = `// What the grant covers is permitted; what no policy permits is denied.
@id("covered-by-grant")
permit (
  principal is Agency,
  action == Action::"call",
  resource is Service
)
when
{
  context.grant.methods.contains(context.method) &&
  context.grant.purposes.contains(context.purpose)
};

// A second lock on the period of the grant: a forbid wins over every permit.
@id("outside-period")
forbid (
  principal is Agency,
  action == Action::"call",
  resource is Service
)
when
{ context.now < context.grant.not_before || context.grant.expires <= context.now };

// Nothing is changed at the provider without a named legal basis.
@id("write-without-legal-basis")
forbid (
  principal is Agency,
  action == Action::"call",
  resource is Service
)
when { context.writes && context.grant.legal_basis == "" };
`;
