/** Exported functions whose name says that they read, and that the fuzzing does not run: each with the reason. */

const resource = "it opens a resource; its input is a path, a database or an address";
const composed = "it reads a file or answer and gives the bytes to a decoder that is run";

export const exempt: Readonly<Record<string, string>> = {
  "gateway/agency/key-source.ts openKeySource": resource,
  "gateway/agency/listener.ts openAgencyListener": resource,
  "gateway/admin/appointments.ts openTerm": "it acts on statements that openStatement has read",
  "gateway/cli/admin-client.ts readStatementAt": composed,
  "gateway/cli/descriptors.ts readDescriptors": composed,
  "gateway/cli/enrol.ts readNetwork": composed,
  "gateway/cli/key-folders.ts openFolder": resource,
  "gateway/cli/key-folders.ts openFolders": resource,
  "gateway/cli/key-folders.ts readCardAt": composed,
  "gateway/cli/ledger-download.ts openServedTree": composed,
  "gateway/cli/ledger-download.ts readExport": composed,
  "gateway/cli/ledger-download.ts readForReplay": composed,
  "gateway/cli/ledger-download.ts readTree": composed,
  "gateway/cli/ledger-input.ts readExportFile": composed,
  "gateway/cli/ledger-input.ts readWhole": composed,
  "gateway/cli/network-found.ts readFoundingStatements": composed,
  "gateway/config-secrets.ts readSecretFile": "a secret is any text",
  "gateway/config.ts readConfig": composed,
  "gateway/config.ts readWholeConfig": composed,
  "gateway/connectors/client-tls.ts readClientTls":
    "certificates and keys are the operator's own files, and OpenSSL reads them",
  "gateway/connectors/create-upstream.ts openDatabase": resource,
  "gateway/connectors/http-body.ts readBytes": "any bytes up to the bound are read",
  "gateway/connectors/http-body.ts readText":
    "any UTF-8 up to the bound is read; what it holds goes to parsers that have tests of their own",
  "gateway/connectors/http-prepare.ts readAnswer": composed,
  "gateway/connectors/http-stream.ts openHttpStream": resource,
  "gateway/connectors/one-request.ts openFailed": resource,
  "gateway/connectors/one-request.ts openOneRequest": resource,
  "gateway/connectors/open-json-listener.ts openJsonListener": resource,
  "gateway/env.ts readEnvironment": "the environment is the operator's own, and any text is a path",
  "gateway/keys/files.ts readBounded": "any bytes up to the bound are read",
  "gateway/keys/key-folder.ts openKeyFolder": resource,
  "gateway/keys/key-folder.ts openWitnessKeys": resource,
  "gateway/keys/key-folder.ts readCard": composed,
  "gateway/keys/log-keys.ts openLogKeys": resource,
  "gateway/keys/log-keys.ts readAppointments": composed,
  "gateway/keys/sealed-file.ts openFolderIdentity":
    "as openKey, behind a passphrase whose work factor makes each input cost a second",
  "gateway/ledger/witness-paths.ts readBody": "any bytes up to the bound are read",
  "gateway/listeners.ts openListeners": resource,
  "gateway/open-upstream.ts openUpstream": resource,
  "gateway/open-upstream.ts openUpstreams": resource,
  "gateway/self.ts openIdentity": resource,
  "gateway/services/served-call.ts readOnly":
    "it counts messages; the one that it takes goes to the generated decoder alone",
  "gateway/sources.ts openSources": resource,
  "src/exchange/open-attempts.ts openStateKey": "it names a key of the journal's own states",
  "src/exchange/transport/link-client.ts openLink": resource,
  "src/exchange/transport/read-unary.ts readUnary": "it counts messages and reads none",
  "src/exchange/transport/tls-options.ts acceptExactly":
    "it compares certificates byte for byte and parses none",
  "src/ledger/embedded/checkpoints.ts readOwnCosignature":
    "it reads a note that was verified before it was stored",
  "src/ledger/embedded/branch.ts readBranch":
    "it follows another member, whose items are read by toFollowItemss",
  "src/ledger/embedded/sequencer-cities.ts acceptOutside": "it moves the state of a machine",
  "src/ledger/embedded/sequencer-start.ts acceptTold": "it moves the state of a machine",
  "src/ledger/journal/sealer.ts openJournal": resource,
  "src/ledger/journal/sqlite-journal.ts openSqliteJournal": resource,
  "src/ledger/journal/sqlite-open.ts openJournalDatabase": resource,
  "src/ledger/journal/sqlite-open.ts openJournalReadOnly": resource,
  "src/ledger/journal/sqlite-reader.ts openSqliteJournalReader": resource,
  "src/ledger/held/held.ts openHeld": resource,
  "src/ledger/openings/openings.ts openOpenings": resource,
  "src/ledger/store/sqlite-open.ts openSqlite": resource,
  "src/merkle/tile-hashes.ts readTile": "it makes the bytes of a tile from own hashes",
};
