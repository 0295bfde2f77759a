// A data service as an agency has it: plain gRPC that knows nothing of gateways.
import { readFileSync } from "node:fs";
import grpc from "@grpc/grpc-js";
import { loadSync } from "@grpc/proto-loader";

const definition = loadSync("causeway/demo/v1/division.proto", { includeDirs: ["proto"] });
const { DivisionService } = grpc.loadPackageDefinition(definition).causeway.demo.v1;

const rows = readFileSync("demo/data/divisions.tsv", "utf8").trimEnd().split("\n");
const divisions = new Map(
  rows.map((row) => {
    const [code, parentCode, name] = row.split("\t");
    return [code, { code, parentCode, name }];
  }),
);

const server = new grpc.Server();
server.addService(DivisionService.service, {
  getDivision: ({ request }, answer) => {
    const division = divisions.get(request.code);
    if (division) answer(null, { division });
    else answer({ code: grpc.status.NOT_FOUND, details: "no division has this code" });
  },
});
server.bindAsync(process.argv[2], grpc.ServerCredentials.createInsecure(), (error, port) => {
  if (error) throw error;
  console.log(`serving on port ${port}`);
});
