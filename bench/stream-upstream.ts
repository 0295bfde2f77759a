/**
 * The data service at the end of the chains that carry a stream: the stream service of the tests, on stock grpc-js.
 *
 * `node stream-upstream.js`
 */
import { startStreamUpstream } from "../test/support/stream-service.ts";
import { serveParent } from "./child.ts";

const { address } = await startStreamUpstream();
serveParent(Number(address.slice(address.lastIndexOf(":") + 1)));
