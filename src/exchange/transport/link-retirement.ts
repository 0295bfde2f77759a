/** The end of a link that takes no new exchanges: once those that it carries have ended. */
import type { Scheduler } from "../../base/clock.ts";
import { linkAcknowledgeMs, linkIdleMs } from "../../base/limits.ts";
import type { Activity } from "./link-activity.ts";

export interface RetirementOptions {
  readonly scheduler: Scheduler;
  readonly activity: () => Activity;
  readonly close: () => void;
}

export interface Retirement {
  /** To be called whenever the activity may have changed. */
  check(): void;
  /** The link has ended. */
  cancel(): void;
}

export function retireLink({ scheduler, activity, close }: RetirementOptions): Retirement {
  let cancelTimer: (() => void) | undefined;
  let before: Activity | undefined;
  const cancel = (): void => {
    cancelTimer?.();
    cancelTimer = undefined;
  };
  const check = (): void => {
    const now = activity();
    if (now === before) return;
    before = now;
    cancel();
    if (now === "busy") return;
    cancelTimer = scheduler.after(now === "idle" ? linkIdleMs : linkAcknowledgeMs, close);
  };
  check();
  return { check, cancel };
}
