/**
 * The thread that ends a SQLite process with its gateway. The thread of the database cannot see to it: it
 * hears of nothing while a query takes its step, and of a gateway that was killed nobody else tells it.
 */
import { Socket } from "node:net";

/** Standard input: the gateway writes nothing there, and its end is the gateway's. */
const gateway = new Socket({ fd: 0, readable: true, writable: false });
const end = (): void => void process.kill(process.pid, "SIGKILL");
gateway.on("error", end);
gateway.on("close", end);
gateway.resume();
