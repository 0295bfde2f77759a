/** Where this agency's data services and the attributes of their calls come from: all that reads another system. */
import type { Logger } from "pino";
import { DescriptorSets } from "../src/policy/descriptors.ts";
import {
  ProviderAttributes,
  type ProviderAttributesConfig,
} from "./attributes/provider-attributes.ts";
import { openDatabase } from "./connectors/create-upstream.ts";
import { openUpstreams } from "./open-upstream.ts";
import type { Reloader } from "./reload.ts";
import type { Upstreams } from "./upstreams.ts";

export interface Sources {
  readonly upstreams: Upstreams;
  readonly attributes: ProviderAttributes;
  close(): Promise<void>;
}

type UpstreamOptions = Parameters<typeof openUpstreams>;

/**
 * Opens what the configuration names, and gives it to the reloader. Rejects with FILE_UNREADABLE, and
 * CONFIG_INVALID for a query that does not fit what is published.
 */
export async function openSources(
  config: UpstreamOptions[0] & ProviderAttributesConfig,
  options: UpstreamOptions[1] & { readonly reloader: Pick<Reloader, "add"> },
): Promise<Sources> {
  const { reloader } = options;
  const upstreams = await openUpstreams(config, options);
  try {
    const attributes = await openAttributes(config, options);
    reloader.add(upstreams);
    reloader.add(attributes);
    return {
      upstreams,
      attributes,
      close: async () => {
        await Promise.all([upstreams.close(), attributes.close()]);
      },
    };
  } catch (error) {
    await upstreams.close();
    throw error;
  }
}

function openAttributes(
  config: ProviderAttributesConfig,
  { replica, scheduler, logger }: UpstreamOptions[1] & { readonly logger: Logger },
): Promise<ProviderAttributes> {
  return ProviderAttributes.open(config, {
    scheduler,
    descriptors: new DescriptorSets((digest) => replica.blob(digest)),
    view: () => replica.view(),
    open: openDatabase,
    onFault: (service, what) =>
      logger.error({ event: "lookup failed", service, what }, "attributes cannot be looked up"),
    onUnfit: (service, unfit) =>
      logger.warn(
        { event: "attributes differ", service, ...unfit },
        "attributes are configured or declared in vain",
      ),
    onAway: (service, err) =>
      logger.warn({ event: "database away", service, err }, "a database cannot be asked yet"),
  });
}
