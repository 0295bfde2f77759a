import type { SimBatch } from "./history.ts";
import type { SimNode } from "./node.ts";
import type { Inclusion, SimReplica } from "./replica.ts";

/** Hands a batch to the sequencer of the newest term that the replica knows. */
export function submitTo(
  node: SimNode,
  replica: SimReplica,
  batch: SimBatch,
  options: { readonly timeoutMs: number; readonly done: (result: Inclusion | undefined) => void },
): void {
  const { sim } = node;
  const gateway = replica.facts.terms.at(-1)?.gateway ?? 0;
  if (replica.fault !== undefined) {
    node.after(1, () => options.done(undefined));
    return;
  }
  sim.network.call<Inclusion>({
    from: node,
    to: sim.nodes[gateway] as SimNode,
    timeoutMs: options.timeoutMs,
    serve: (server, answer) => server.process?.role.submit(batch, answer),
    done: options.done,
  });
}
