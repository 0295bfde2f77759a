// Calls a data service of another agency through the own gateway, with stock grpc-js stubs.
import grpc from "@grpc/grpc-js";
import { loadSync } from "@grpc/proto-loader";

const load = (...files) => loadSync(files, { includeDirs: ["proto"] });
const { DivisionService } = grpc.loadPackageDefinition(load("causeway/demo/v1/division.proto"))
  .causeway.demo.v1;
const rpc = load("google/rpc/status.proto", "google/rpc/error_details.proto");
const decode = (type, bytes) => rpc[type].deserialize(bytes);

const client = new DivisionService(process.argv[2], grpc.credentials.createInsecure());

/** One call: its answer or error, with its trailers. */
function getDivision(code, entries) {
  const metadata = new grpc.Metadata();
  for (const [key, value] of Object.entries(entries)) metadata.set(key, value);
  const deadline = Date.now() + 10_000;
  return new Promise((resolve) => {
    const answer = {};
    const call = client.getDivision({ code }, metadata, { deadline }, (error, response) => {
      resolve(Object.assign(answer, { error, response }));
    });
    call.on("status", (status) => Object.assign(answer, { trailers: status.metadata }));
  });
}

// What the call is for goes in metadata: purpose, and the case that it belongs to.
const granted = { "causeway-purpose": "trial", "causeway-case": "case-2026-001" };
const { error: failed, response, trailers } = await getDivision("330106", granted);
if (failed) throw failed;
console.log(response.division.name);
console.log("exchange", ...trailers.get("causeway-exchange-id"));
console.log("receipt", ...trailers.get("causeway-receipt"));

const { error } = await getDivision("330106", { "causeway-purpose": "curiosity" });
const [bytes] = error.metadata.get("grpc-status-details-bin");
const info = decode("google.rpc.Status", bytes).details.find((any) => any.type_url.endsWith("ErrorInfo"));
console.log("refused", decode("google.rpc.ErrorInfo", info.value).reason);
client.close();
