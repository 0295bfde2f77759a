/** An exchange on the multiplexed link: a number of its own among the others. */
import type { Carriage, FrameBody, LinkEnd } from "./ports.ts";

export function linkCarriage(link: LinkEnd, number: bigint, closed: () => void): Carriage {
  let open = true;
  return {
    link,
    send: (body: FrameBody) => {
      if (open) link.send(number, body);
    },
    // What shares the link is small, and the link itself is given up when it is not read.
    ready: () => Promise.resolve(),
    take: () => undefined,
    close: () => {
      if (!open) return;
      open = false;
      closed();
    },
  };
}
