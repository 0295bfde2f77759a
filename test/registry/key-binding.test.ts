import { concatBytes, parseHex, toHex } from "../../src/base/bytes.ts";
import { sha256 } from "../../src/base/sha256.ts";
import type { Signer } from "../../src/crypto/ports.ts";
import { formatKey } from "../../src/credential/key-text.ts";
import {
  createTestAgency,
  sayAdministrator,
  sayAgency,
  sayGateway,
  type SignedStatement,
  type TestCity,
  type TestGateway,
} from "../support/network.ts";

import { checkAll, createFlow, type Case } from "./support.ts";

const flow = await createFlow();
const { network, consumer } = flow;
const [hangzhou, shenzhen] = network.cities as readonly [TestCity, TestCity];
const agencyId = network.provider.id;
const foreign = createTestAgency(network, "hangzhou/elsewhere");

const provider = network.provider;

/** Every use that a key can be bound to; of a next authority only the digest is known. */
const bound: readonly { readonly use: string; readonly key: Signer; readonly isHidden?: true }[] = [
  { use: "a city's authority", key: hangzhou.authority },
  { use: "a city's next authority", key: hangzhou.next, isHidden: true },
  { use: "a witness", key: shenzhen.witness },
  { use: "the log", key: network.log },
  { use: "an agency's authority", key: provider.authority },
  { use: "an agency's next authority", key: provider.next, isHidden: true },
  { use: "an administrator", key: provider.administrator },
  { use: "a gateway's batches", key: provider.gateway.batch },
  { use: "a gateway's tokens", key: provider.gateway.token },
];
const spkiDigest = (key: Uint8Array): string =>
  toHex(sha256(concatBytes(parseHex("302a300506032b6570032100") as Uint8Array, key)));
const withTls = (tls: string): SignedStatement => {
  const gateway = renamed(foreign.gateway);
  return sayGateway(network, network.provider, {
    ...gateway,
    body: { ...gateway.body, tls: [tls] },
  });
};

checkAll(
  flow,
  bound.flatMap(({ use, key, isHidden }): readonly Case[] => [
    {
      what: `an agency with the key of ${use} as its authority`,
      reason: "KEY_BOUND",
      record: sayAgency(network, shenzhen, {
        ...foreign,
        id: "shenzhen/elsewhere",
        authority: key,
      }),
    },
    {
      what: `an agency with the key of ${use} as its next authority`,
      reason: "KEY_BOUND",
      record: sayAgency(network, hangzhou, { ...foreign, next: key }),
    },
    {
      what: `a gateway with the key of ${use} as its batch key`,
      reason: "KEY_BOUND",
      record: gatewayWith({ batch: key }),
    },
    {
      what: `a gateway with the key of ${use} as its token key`,
      reason: "KEY_BOUND",
      record: gatewayWith({ token: key }),
    },
    {
      what: `a gateway with the key of ${use} as its TLS key`,
      reason: isHidden === true ? undefined : "KEY_BOUND",
      record: withTls(spkiDigest(key.publicKey)),
    },
  ]),
);

checkAll(flow, [
  {
    what: "another agency's administrator",
    reason: "KEY_BOUND",
    record: sayAdministrator(network, network.consumer, provider.administrator),
  },
  {
    what: "a gateway with another gateway's TLS key",
    reason: "KEY_BOUND",
    record: withTls(consumer.body.tls[0] as string),
  },
  {
    what: "a gateway with a witness's TLS key",
    reason: "KEY_BOUND",
    record: withTls(network.body.cities[0]?.witness_tls as string),
  },
  {
    what: "an agency whose next authority is its authority",
    reason: "KEY_BOUND",
    record: sayAgency(network, hangzhou, { ...foreign, next: foreign.authority }),
  },
  { what: "a gateway with keys of its own", reason: undefined, record: gatewayWith({}) },
]);

/** A second gateway of the provider. One with its agency's authority as a key has one signature less. */
function gatewayWith(keys: Partial<Pick<TestGateway, "batch" | "token">>): SignedStatement {
  const gateway = { ...renamed(foreign.gateway), ...keys };
  const body = {
    ...gateway.body,
    batch: formatKey(gateway.batch.publicKey),
    token: formatKey(gateway.token.publicKey),
  };
  const { authority } = network.provider;
  const own = [gateway.batch, gateway.token];
  return network.say(
    "gateway",
    { iss: agencyId, sub: gateway.id, body },
    own.includes(authority) ? own : [authority, ...own],
  );
}

function renamed(gateway: TestGateway): TestGateway {
  return { ...gateway, id: `${network.provider.id}/gw2` };
}
