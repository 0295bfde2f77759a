import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import { type Client, Metadata, type ServiceError } from "@grpc/grpc-js";
import { Outcome } from "../../src/gen/causeway/record/v1/record_pb.ts";
import { openRecord, type LedgerRecord } from "../../src/record/record.ts";
import { eventually } from "../support/admin-client.ts";
import { errorInfo } from "../support/agency-client.ts";
import { streamMessage, streamMethods } from "../support/stream-service.ts";
import { FinalLedger } from "./final-ledger.ts";
import { type FaultNetwork, startNetwork } from "./processes.ts";
import { assertReplays } from "./replayed.ts";
import { isSoak } from "./rounds.ts";
import { assertOnLedger, settled } from "./settled.ts";
import { StreamCall, streamClient } from "./stream-calls.ts";

const calls = isSoak ? 10_000 : 2_000;
const callers = 64;
const streams = 8;
const pauseMs = 50;
const deadlineMs = 600_000;
const same = (bytes: Buffer): Buffer => bytes;

describe(`a grant that is revoked with ${calls} calls in flight`, () => {
  let network: FaultNetwork;
  let client: Client;
  /** `OK`, or the reason. */
  const answers: string[] = [];
  const chats: StreamCall[] = [];

  before(async () => {
    network = await startNetwork({ program: "product", service: "streams" });
    client = streamClient(network.consumer.member.addresses.agency);
  });

  after(async () => {
    client?.close();
    await network?.close();
  });

  function call(): Promise<string> {
    const metadata = new Metadata();
    metadata.set("causeway-purpose", "address-check");
    const message = streamMessage(Buffer.from("question"));
    const options = { deadline: Date.now() + deadlineMs };
    return new Promise((resolve) => {
      client.makeUnaryRequest(
        streamMethods.unary,
        same,
        same,
        message,
        metadata,
        options,
        (error: ServiceError | null) =>
          resolve(error === null ? "OK" : (errorInfo(error.metadata)?.reason ?? error.message)),
      );
    });
  }

  async function caller(): Promise<void> {
    while (issued < calls) {
      issued++;
      answers.push(await call());
    }
  }
  let issued = 0;

  /** Asks again with each answer, until the stream ends. */
  async function converse(chat: StreamCall): Promise<void> {
    for (let asked = 1; chat.status === undefined; asked++) {
      chat.send();
      await chat.has(asked).catch(() => undefined);
      await new Promise((resolve) => setTimeout(resolve, pauseMs));
    }
  }

  async function revoke(): Promise<void> {
    const { cities, provider, grant } = network;
    const body = { grant, reason: "PURPOSE_ENDED" };
    const consumer = cities.consumer.agency.card.id;
    const { jws } = cities.sign(cities.provider, "revocation", consumer, body);
    await provider.admin.submit(jws, 0);
  }

  it("answers each, by then or with GRANT_REVOKED, and ends the streams under way", async () => {
    for (let i = 0; i < streams; i++) {
      chats.push(new StreamCall(client, "chat", "address-check", { deadlineMs }));
    }
    const working = [
      ...Array.from({ length: callers }, caller),
      ...chats.map(async (chat) => converse(chat)),
    ];
    await eventually("half of them are answered", () => answers.length >= calls / 2, deadlineMs);
    await revoke();
    await Promise.all(working);
    assert.equal(answers.length, calls);
    const counts = new Map<string, number>();
    for (const answer of answers) counts.set(answer, (counts.get(answer) ?? 0) + 1);
    assert.deepEqual([...counts.keys()].toSorted(), ["GRANT_REVOKED", "OK"]);
    assert.ok((counts.get("OK") ?? 0) >= calls / 2);
    for (const { status } of chats) {
      assert.equal(status?.code, 7, status?.details);
      assert.equal(errorInfo(status.metadata)?.reason, "GRANT_REVOKED");
    }
  });

  it("seals no receipt and no Opened under it after the revocation, in the order of the journal", async () => {
    const ledger = new FinalLedger(network.consumer.member.addresses.http);
    const attempts = await settled(network, ledger);
    const whole = attempts.filter((attempt) => attempt.consumer === "match").length;
    assert.equal(whole, answers.filter((answer) => answer === "OK").length);
    await assertReplays(network);
    await network.provider.end("SIGTERM");
    const journal = network.provider.journal();
    // What counts refusals together is sealed up to a second after them, or when the gateway ends.
    await network.provider.start("product");
    await settled(network, ledger);
    assertOnLedger(journal, ledger);
    const records = journal.flatMap((batch) => batch.records.map((bytes) => openRecord(bytes)));
    const revoked = records.findLastIndex(({ body }) => body.case === "statement");
    assert.ok(revoked > 0 && isRevocation(records[revoked] as LedgerRecord));
    const kinds = records.slice(revoked + 1).map(({ body }) => body.case);
    assert.ok(records.slice(0, revoked).some(({ body }) => body.case === "receipt"));
    assert.ok(!kinds.includes("receipt") && !kinds.includes("opened"));
    const closed = records.filter(
      ({ body }) => body.case === "closed" && body.value.outcome === Outcome.REVOKED,
    );
    assert.equal(closed.length, streams);
  });
});

function isRevocation({ body }: LedgerRecord): boolean {
  const [jws = ""] = body.case === "statement" ? body.value.jws : [];
  const [header = ""] = jws.split(".");
  return Buffer.from(header, "base64url").toString().includes("revocation");
}
