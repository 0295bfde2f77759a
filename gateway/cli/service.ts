import { type Command, Option } from "commander";
import { compareText, toHex } from "../../src/base/bytes.ts";
import { CausewayError } from "../../src/base/errors.ts";
import { sha256 } from "../../src/base/sha256.ts";
import type {
  RequiredDurability,
  ServiceAttribute,
  ServiceBody,
  SharingAttribute,
} from "../../src/credential/statements.ts";
import { AdminService, type ServiceEntry } from "../../src/gen/causeway/admin/v1/admin_pb.ts";
import { checkServicePublication } from "../../src/policy/publication.ts";
import {
  type AdminClient,
  type AdminOptions,
  readStatementAt,
  withAdminClient,
} from "./admin-client.ts";
import { type AdministratorOptions, sayAsAdministrator } from "./carry.ts";
import { type DescriptorOptions, describeMethods, readDescriptors } from "./descriptors.ts";
import { integerFlag, withAdmin, withAdministrator, withFormat } from "./flags.ts";
import type { Io } from "./io.ts";
import { type OutputOptions, writeRows } from "./output.ts";

export interface ServicePublishOptions extends AdministratorOptions, DescriptorOptions {
  readonly id: string;
  /** Method paths; `=writes` behind one that changes something. */
  readonly method: readonly string[];
  readonly purpose: readonly string[];
  readonly sharing: SharingAttribute;
  /** What every answer waits for at least. */
  readonly durability?: RequiredDurability | undefined;
  /** `name:type:public|personal:source`, of a request with `=path` behind it. */
  readonly attribute?: readonly string[] | undefined;
  /** Seconds; the network's bound unless given. */
  readonly maxStaleness?: number | undefined;
  readonly checkDays?: number | undefined;
  readonly answerDays?: number | undefined;
  /** People who must approve a grant. */
  readonly approvals?: number | undefined;
}

// Working days of the rules on requests for conditionally shared data: conformity check, then answer.
const checkDaysDefault = 2;
const answerDaysDefault = 5;
/** Address of the founding document: batch 0 begins with it. */
const foundingAddress = "0/0";

/** Publishes a data service, or its next version: descriptor set first, then the statement. */
export async function servicePublish(options: ServicePublishOptions, io: Io): Promise<void> {
  const { id } = options;
  const descriptors = await readDescriptors(options);
  const methods = describeMethods(descriptors, options.method);
  const attributes = (options.attribute ?? []).map(parseAttribute);
  await sayAsAdministrator("service", options, io, async (client) => {
    const { bounds } = await readStatementAt(client, foundingAddress, "network");
    const body: ServiceBody = {
      version: Number((await findService(client, id))?.version ?? 0n) + 1,
      descriptor: toHex(sha256(descriptors)),
      descriptor_bytes: descriptors.length,
      methods,
      sharing: options.sharing,
      purposes: options.purpose.toSorted(compareText),
      subject_paths: [],
      attributes: attributes.toSorted((a, b) => compareText(a.name, b.name)),
      approval: { approvals: options.approvals ?? 1 },
      deadline: {
        name: "standard",
        check_days: options.checkDays ?? checkDaysDefault,
        answer_days: options.answerDays ?? answerDaysDefault,
      },
      max_staleness_s: options.maxStaleness ?? bounds.max_staleness_s,
      ...(options.durability === undefined ? {} : { durability: options.durability }),
    };
    checkServicePublication(body, descriptors);
    await client.putBlob(descriptors);
    return { sub: id, body };
  });
}

/** Prints the data services in force. */
export async function serviceList(options: AdminOptions & OutputOptions, io: Io): Promise<void> {
  await withAdminClient(options, io, async (client) => {
    const { services } = await client.call(AdminService.method.listServices, {});
    const rows = services.map(
      ({ id, version, sharing, purposes, methods, address, policyAddress }) => ({
        service: id,
        version: String(version),
        sharing,
        purposes,
        methods,
        address,
        policy: policyAddress,
      }),
    );
    writeRows(io, rows, { ...options, none: "No data service is published." });
  });
}

/** The entry of a service that is in force. */
export async function findService(
  client: AdminClient,
  id: string,
): Promise<ServiceEntry | undefined> {
  const { services } = await client.call(AdminService.method.listServices, {});
  return services.find((service) => service.id === id);
}

const attributeTypes = ["boolean", "integer", "text", "text-set"] as const;
const attributeSources = ["token", "request", "provider"] as const;

/** Reads `name:type:public|personal:source`, where a request's is `request` or `request=path`. */
function parseAttribute(text: string): ServiceAttribute {
  const [name = "", typeText, privacy, origin = "", ...more] = text.split(":");
  const [sourceText, path, ...rest] = origin.split("=");
  const type = attributeTypes.find((one) => one === typeText);
  const source = attributeSources.find((one) => one === sourceText);
  const isKnown = privacy === "public" || privacy === "personal";
  const isPlaced = path === undefined || (source === "request" && path !== "");
  if (
    !isKnown ||
    !isPlaced ||
    type === undefined ||
    source === undefined ||
    more.length + rest.length > 0
  ) {
    throw new CausewayError(
      "USAGE_INVALID",
      `${text} is not name:${attributeTypes.join("|")}:public|personal:token|request[=path]|provider`,
    );
  }
  const attribute = { name, type, personal: privacy === "personal", source };
  return path === undefined ? attribute : { ...attribute, path };
}

export function registerService(program: Command, io: Io): void {
  const service = program.command("service").description("a gRPC service that an agency offers");
  const sharing = new Option("--sharing <attribute>", "how it is shared");
  withAdministrator(
    service
      .command("publish")
      .description("publish a data service, or its next version")
      .requiredOption("--id <id>", "such as hangzhou/market-regulation/enterprise-registry")
      .option("--proto <file>", ".proto file that holds it; built with buf")
      .option(
        "--proto-root <dir>",
        "folder that the file's imports start from; its buf module or own folder without it",
      )
      .option("--descriptors <file>", "FileDescriptorSet with all imports, in place of --proto")
      .requiredOption(
        "--method <path...>",
        "/package.Service/Method, with =writes if it changes something",
      )
      .requiredOption("--purpose <code...>", "what it may be called for")
      .addOption(
        sharing.choices(["unconditional", "conditional", "not-shared"]).makeOptionMandatory(),
      )
      .option(
        "--attribute <spec...>",
        "policy attribute, name:type:public|personal:token|request[=path]|provider",
      )
      .addOption(
        new Option(
          "--durability <state>",
          "what every answer waits for: its receipt in the journal, or final on the ledger",
        ).choices(["journal", "ledger"]),
      )
      .option(
        "--max-staleness <seconds>",
        "longest time that a revocation may go unseen; the network's without it",
        integerFlag(30),
      )
      .option(
        "--check-days <n>",
        "working days to check a request",
        integerFlag(0),
        checkDaysDefault,
      )
      .option("--approvals <n>", "people who must approve a grant, 1 or 2", integerFlag(1, 2), 1)
      .option(
        "--answer-days <n>",
        "working days to answer it then",
        integerFlag(0),
        answerDaysDefault,
      ),
  ).action((options: ServicePublishOptions) => servicePublish(options, io));
  withFormat(
    withAdmin(service.command("list").description("list the data services in force")),
  ).action((options: AdminOptions & OutputOptions) => serviceList(options, io));
}
