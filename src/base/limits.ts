/** Every named bound of the system with its reason. Bounds that a network chooses stand in its founding document. */

/** Records in a batch: a path of at most 12 hashes. */
export const batchRecordsMax: number = 4096;
/** Bytes of the records of a batch: one row of the journal, one message between members. */
export const batchBytesMax: number = 512 * 1024;
/** Bytes of one record: it must fit a batch alone. */
export const recordBytesMax: number = batchBytesMax;
/** Bytes of an encoded header: ids and fixed fields, with room to spare. */
export const headerBytesMax: number = 1024 - 64;
/** Bytes of a leaf: signature and header. A C2SP entry bundle holds up to 65,535. */
export const leafBytesMax: number = 1024;
/** Bytes of a statement's payload. */
export const statementBytesMax: number = 64 * 1024;
/** Signers of one statement: the keys of a gateway statement, or all cities of a founding document. */
export const statementSignersMax: number = 64;
/** Bytes of a compact call token: it travels with every call. */
export const callTokenBytesMax: number = 4096;
/** Call statements under one token: a path of at most 6 hashes. */
export const callStatementsMax: number = 64;
/** Bytes of a blob: descriptor sets, policies and schemas. */
export const blobBytesMax: number = 8 * 1024 * 1024;
/** Bytes of one chunk of a blob. */
export const blobChunkBytesMax: number = 1024 * 1024;
/** Signatures that a note may carry: more is refused unread. */
export const noteSignaturesMax: number = 100;
/** Bytes of a note: 64 signatures with room for post-quantum ones. */
export const noteBytesMax: number = 1024 * 1024;
/** Hashes of an inclusion proof: the height of the largest tree. */
export const inclusionHashesMax: number = 63;
/** Bytes of a tlog-proof: a record of the largest size in base64, and a note of the largest size. */
export const tlogProofBytesMax: number = 2 * 1024 * 1024;
/** Bytes of all gRPC metadata of a call: grpc-go and grpc-java refuse more. */
export const metadataBytesMax: number = 8 * 1024;
/** Bytes of a request that may share the multiplexed link. */
export const linkRequestBytesMax: number = 64 * 1024;
/** Bytes of an answer that may share the multiplexed link in one frame. */
export const linkAnswerBytesMax: number = 64 * 1024;
/** Largest tree size: Go's tlog holds sizes in int64. */
export const treeSizeMax: bigint = (1n << 63n) - 1n;
/** Attempts of one peer that are remembered against reuse until their tokens expire. */
export const attemptsRememberedMax: number = 1_000_000;
/** Bytes of an open request that may be under way between two gateways and that the upstream has not taken. */
export const requestCreditBytes: number = 1024 * 1024;
/** Bytes of an open request that are kept so that it can be sent in a new attempt. */
export const replayBytesMax: number = 64 * 1024;
/**
 * Bytes of requests and answers that a provider's gateway holds for one peer: what a few dozen calls with the largest
 * messages by default, or four with the largest that can be configured, have under way.
 */
export const peerHeldBytesMax: number = 256 * 1024 * 1024;
/** Bytes that an exchange counts for beside its messages: its token, its statement and what is decided about it. */
export const exchangeHeldBytes: number = 16 * 1024;
/** Exchanges that one link may hold open. */
export const linkExchangesMax: number = 4096;
/** Lifetime that a statement's `iat` may lie before the seal, in milliseconds: 7 days. */
export const statementAgeMaxMs: number = 7 * 24 * 3600 * 1000;
/** Public keys whose check is remembered: the keys in use of a network, a few kilobytes each at most. */
export const acceptedKeysMax: number = 1024;
/** Levels of messages inside a canonical message, encoded ones included: the contract has 11. */
export const canonicalDepthMax: number = 16;
/** Depth of the JSON of a statement or token: the printer recurses, and no type of ours is deeper than 8. */
export const jsonDepthMax: number = 16;
/** Bytes of a DER certificate with one name and one P-256 key: a few hundred, with room for other keys. */
export const certificateBytesMax: number = 4096;
/** Call tokens of others that are kept as read: those of a moment under load, some kilobytes each. */
export const callTokensReadMax: number = 256;
/** Compact JWS whose signature is remembered as right: those of the last second under load. */
export const signaturesRememberedMax: number = 4096;
/** Signatures of leaves and notes that are remembered as right: a few seconds of a busy ledger. */
export const signaturesVerifiedMax: number = 4096;
/** Certificates of peers whose key digest is remembered: a few for each gateway of a large network. */
export const certificatesRememberedMax: number = 1024;
/** Imported verification keys that are kept: the token keys and signers of a large network. */
export const importedKeysMax: number = 1024;
/** Submitted batches that wait for a sequencer: 512 KiB each at the most. */
export const submitQueueMax: number = 256;
/** Batches that a sequencer or replica verifies and stores in one transaction: one fsync for all of them. */
export const appendBatchesMax: number = 64;
/** Milliseconds between two such transactions of a sequencer, unless one is full: well below a round of the witnesses. */
export const appendIntervalMs: number = 100;
/** Batches after which the registry is stored whole, so that a start refolds fewer than this many. */
export const snapshotEveryBatches: number = 1024;
/** Items of the follow stream that a replica holds before it stops reading. */
export const followInboxMax: number = 128;
/** Streams of the ledger that a sequencer serves at one time. */
export const followStreamsMax: number = 256;
/** Proof lines of an add-checkpoint request (C2SP tlog-witness). */
export const witnessProofLinesMax: number = 63;
/** Bytes of an add-checkpoint request: 63 proof lines and a note. */
export const addCheckpointBytesMax: number = 64 * 1024;
/** Requests that wait at a witness for its replica. */
export const witnessWaitingMax: number = 16;
/** Policy sets that the policy engine keeps parsed: more than the services of a busy provider. */
export const policySetsParsedMax: number = 64;
/** Policy verdicts that are remembered: their inputs hold the second, so older ones are of no use. */
export const policyVerdictsMax: number = 1024;
/** Milliseconds that the clock may step back before nothing is sealed any more (DESIGN.md section 10). */
export const clockStepBackMaxMs: number = 1000;
/** Batches below the tip whose links a journal checks at its start: the tip's signature covers all of them. */
export const journalLinksChecked: number = 64;
/** Batches that a journal takes in one transaction while it is written again from the ledger. */
export const journalRebuildGroup: number = 256;
/** Milliseconds that records wait to be sealed together with others that are on their way: a fraction of a call. */
export const sealGatherMs: number = 5;
/** Records, waiting and on their way, from which they are sealed together: fewer leave a gateway time enough. */
export const sealTogetherMin: number = 4;
/** Milliseconds after which a record that was on its way is not waited for: its upstream takes its time. */
export const sealExpectMs: number = 50;
/** Milliseconds that a batch's new state may wait for a seal to commit it: a loss is learnt again. */
export const journalDeferMs: number = 250;
/** Batches of the own chain that are submitted at one time: as many as fill a group at the sequencer. */
export const submissionsInFlightMax: number = 64;
/**
 * Milliseconds that sealed batches are gathered behind one that was submitted, before they are submitted
 * together: a fraction of a round of the witnesses, and no exchange waits for it.
 */
export const submitGatherMs: number = 50;
/** Batches that travel in one message between members, of at most `batchMessageBytesMax` unless it is one. */
export const groupBatchesMax: number = 64;
/** Milliseconds that a sequencer lets a batch wait for those of its chain that it has overtaken. */
export const submitGapWaitMs: number = 2000;
/** Milliseconds before the first new attempt at the ledger; doubled after each failure. */
export const submitBackoffMinMs: number = 100;
/** Milliseconds between two attempts at a ledger that stays away. */
export const submitBackoffMaxMs: number = 5000;
/** Milliseconds after which an included batch that is not final is submitted again. */
export const submitAgainMs: number = 30_000;
/** Milliseconds that openings wait to be written together: what a killed process may lose of them. */
export const openingsBufferMs: number = 50;
/** Bytes of openings that wait to be written: at this many they are written at once. */
export const openingsBufferBytesMax: number = 1024 * 1024;
/** Bytes of a policy set or schema as text: the engine's parser needs a multiple of it in memory. */
export const policyTextBytesMax: number = 256 * 1024;
/** UTF-16 units of one policy: a longer chain of operators could exhaust the stack of the engine. */
export const policyUnitsMax: number = 4096;
/** Brackets within brackets in a policy or schema; the engine's stack holds about three times as many. */
export const policyBracketsMax: number = 32;
/** Levels of one policy's expression tree; the engine's stack holds about four times as many. */
export const policyLevelsMax: number = 64;
/** Bytes of one message of an agency system or upstream: the default limit of the gRPC libraries. */
export const callMessageBytesMax: number = 4 * 1024 * 1024;
/** Bytes of one such message that a configuration may allow at the most: it lies in memory whole. */
export const callMessageBytesBound: number = 64 * 1024 * 1024;
/** Bytes of one message between our own services: a batch, or the frames of one turn. */
export const grpcMessageBytesMax: number = 4 * 1024 * 1024;
/** HTTP/2 flow-control window of one stream: what a paused reader holds at most. */
export const http2StreamWindowBytes: number = 256 * 1024;
/** HTTP/2 flow-control window of one connection: all of its paused readers together. */
export const http2SessionWindowBytes: number = 8 * 1024 * 1024;
/** Bytes of a call that wait to be sent before its sender is held up: as many as keep the connection busy. */
export const http2WriteBytesMax: number = 128 * 1024;
/** Bytes of an answer that wait to be sent to its caller: a segment, so that the next one is sealed meanwhile. */
export const answerWriteBytesMax: number = 1024 * 1024;
/** Bytes of a message that is compressed or inflated on the spot: below a millisecond. */
export const gzipAtOnceBytesMax: number = 16 * 1024;
/** Milliseconds of silence of an upstream with open calls until a ping, and to the answer before it counts as lost. */
export const upstreamPingMs: number = 30_000;
export const upstreamPingTimeoutMs: number = 10_000;
/** Such pings in one silence; then one every 5 minutes: gRPC servers end connections that ping more (gRFC A8). */
export const upstreamPingsMax: number = 2;
export const upstreamSlowPingMs: number = 301_000;
/** Calls that one connection of an agency system may have open. */
export const http2StreamsMax: number = 1024;
/** Megabytes that node:http2 may hold for one connection; its default of 10 drops streams. */
export const http2SessionMemoryMegabytes: number = 64;
/** Milliseconds between two pings of a connection, and to the answer before it counts as lost. */
export const keepaliveMs: number = 20_000;
export const keepaliveTimeoutMs: number = 10_000;
/** Milliseconds to connect, TLS handshake included. */
export const connectMs: number = 10_000;
/** Milliseconds to the other side's Hello once a link is open. */
export const linkHelloMs: number = 10_000;
/** Bytes of one frame of a link: an answer with a record of the largest size. */
export const linkFrameBytesMax: number = 1024 * 1024;
/** Bytes of the frames that are written as one message: more go into the next. */
export const linkBatchBytesMax: number = 1024 * 1024;
/** Frames in one message of a link: 2 bytes each at the least. */
export const linkBatchFramesMax: number = 16 * 1024;
/** Unwritten bytes of a link at which new exchanges are refused. */
export const linkCongestedBytes: number = 8 * 1024 * 1024;
/** Unwritten bytes of a link at which it is given up: the other side has stopped reading. */
export const linkQueueBytesMax: number = 32 * 1024 * 1024;
/** Milliseconds before the first new connection after a failed one; doubled after each failure. */
export const reconnectMinMs: number = 100;
/** Milliseconds between two attempts to connect at the most. */
export const reconnectMaxMs: number = 2_000;
/** Longest delay that a timer takes: 2^31 - 1 milliseconds. */
export const timerMsMax: number = 0x7fffffff;
/** Bytes of a public card: the certificates of a gateway with room to spare. */
export const cardBytesMax: number = 64 * 1024;
/** Bytes of a key file: an age header and a PEM key. */
export const keyFileBytesMax: number = 16 * 1024;
/** Bytes of a passphrase file. */
export const passphraseBytesMax: number = 1024;
/** Milliseconds that a closing upstream connection waits for its open calls. */
export const upstreamCloseMs: number = 2000;
/** Milliseconds that a closed link waits for its other side to end too. */
export const linkCloseMs: number = 2000;
/** Names in a schema once every type is written out: the engine writes them out, and types can double. */
export const policySchemaNamesMax: number = 10_000;
/** Types that one type of a schema may lead through. */
export const policySchemaTypesMax: number = 32;
/** Bytes of one item of an export: the largest blob and its wrapping. */
export const exportItemBytesMax: number = blobBytesMax + 64;
/** Call tokens that a replay keeps opened: those of the gateways of one moment, a few kilobytes each. */
export const auditTokensRememberedMax: number = 16 * 1024;
/** Sizes whose registry a replay keeps at hand: those that records of one moment rest on. */
export const auditViewsRememberedMax: number = 1024;
/** Decisions that a replay remembers as evaluated: one digest each. */
export const auditDecisionsRememberedMax: number = 256 * 1024;
/** Bytes of an evidence package: its record, and the statements that it rests on. */
export const evidenceBytesMax: number = 64 * 1024 * 1024;
/** Statements in an evidence package: every member and fact that one call can rest on, many times over. */
export const evidenceStatementsMax: number = 256;
/** Checkpoints in an evidence package under which cities, quorum or sequencer changed: decades of a network. */
export const evidenceChangesMax: number = 256;
/** Full tiles that a reader of a log keeps: 2 MiB, the path to the root of several places at once. */
export const tilesKeptMax: number = 256;
/** Milliseconds that a sequencer waits at its start: what an earlier process of its key still sends arrives before. */
export const sequencerQuietMs: number = 10_000;
/** Batches of one gateway that a witness holds until they are final: a few seconds of a busy one. */
export const heldBatchesMax: number = 256;
/** Bytes of the batches of one gateway that a witness holds. */
export const heldBatchesBytesMax: number = 16 * 1024 * 1024;
/** Bytes of all batches that a witness holds. */
export const heldBytesMax: number = 128 * 1024 * 1024;
/** Bytes of a batch that is handed to a witness: leaf and records with the framing of each record. */
export const batchMessageBytesMax: number = batchBytesMax + leafBytesMax + 8 * batchRecordsMax;
/** Messages with batches a second that a witness takes, and how many at once: above what the gateways of a city send. */
export const heldBatchesPerSecond: number = 100;
export const heldBatchesBurst: number = 400;
/** Bytes of a tlog-policy: its longest keys in base64, a few hundred times. */
export const policyFileBytesMax: number = 1024 * 1024;
/** Logs, witnesses and groups that a tlog-policy may define, of each: eight times what C2SP asks for. */
export const policyNamesMax: number = 256;
/** Bytes of the leaves that open a term, held in memory until they do: the backlog of one gateway. */
export const pendingTermBytesMax: number = 256 * 1024 * 1024;
/** Bytes of the evidence of a term's start: two proofs of 63 hashes for each of 64 cities. */
export const startEvidenceBytesMax: number = 512 * 1024;
/** Terms whose evidence a witness keeps until it is needed. */
export const startEvidencesMax: number = 4;
/** Bytes of answers over HTTP that clients have not taken yet: a few blobs of the largest size. */
export const httpBytesInFlightMax: number = 64 * 1024 * 1024;
/** Connections of an HTTP listener: anyone may open them, and each holds a few tens of kilobytes. */
export const httpConnectionsMax: number = 1024;
/** Milliseconds for the headers of an HTTP request, for all of it, and without any byte either way. */
export const httpHeadersMs: number = 10_000;
export const httpRequestMs: number = 30_000;
/** Streams of the ledger that one member may have open: its follower, a copy that is made, and what reconnects. */
export const followStreamsPerMemberMax: number = 8;
/** Messages inside of one another, groups included: what protobuf's own decoders take. */
export const messageDepthMax: number = 100;
/** Descriptor sets that are kept parsed: one for each data service that is called through a mask or read by a policy. */
export const descriptorSetsParsedMax: number = 64;
/** Compiled masks: one for each method of each grant that is in use. */
export const masksRememberedMax: number = 1024;
/** Bytes of names and values in the `ErrorInfo` of a status: with the texts, the details stay below 2 KiB. */
export const statusFieldsBytesMax: number = 512;
/** Health watches that a gateway serves at once: a few for each agency system. */
export const healthWatchesMax: number = 256;
/** Descriptor sets that reflection keeps opened: the services that one agency develops against. */
export const reflectionSetsMax: number = 16;
/** Own acknowledgements to one provider that are kept to be sent again: what one link can have had in flight. */
export const acknowledgementsKeptMax: number = 4096;
/** Acknowledgements of one agency that wait for the batch key of their gateway to be final: those of a rotation's seconds. */
export const acknowledgementsWaitingMax: number = 4096;
/** Bytes of one that may wait, record and leaf: an acknowledgement has a few hundred. */
export const acknowledgementWaitingBytesMax: number = 4096;
/** Milliseconds after which a receipt without an acknowledgement counts as overdue (DESIGN.md section 6). */
export const acknowledgementDueMs: number = 60_000;
/** Receipts of one agency that wait for an acknowledgement, the fresh ones too: above it new calls are refused. */
export const receiptsUnansweredMax: number = 100_000;
/** Closings of one agency that are remembered for receipts still to come: those of seconds in which links break. */
export const closingsRememberedMax: number = 16 * 1024;
/** Batches of the own journal that a provider looks back through at its start for receipts without an answer. */
export const unansweredBatchesMax: number = 16 * 1024;
/** Leaves of other gateways that are kept until they are final: those of minutes without a ledger. */
export const heldLeavesMax: number = 256 * 1024;
/** Records of other gateways that are kept on disk until they are final, a few kilobytes each. */
export const heldRecordsMax: number = 1024 * 1024;
/** Milliseconds that held records wait to be written together: what a killed process may lose of them. */
export const heldBufferMs: number = 50;
/** Bytes of held records that wait to be written: at this many they are written at once. */
export const heldBufferBytesMax: number = 1024 * 1024;
/** Closed attempts that are forgotten with one closing: more than one, so that none are left over. */
export const attemptsForgottenTogetherMax: number = 64;
/** Bytes of a value that is kept to open a refusal: a call token has some 700, a method path below 200. */
export const refusedValueBytesMax: number = 1024;
/** Openings that are erased at one time, with one record on the ledger. */
export const erasedTogetherMax: number = 16 * 1024;
/** Reports of missing records that are sealed at one time: the queue is for exchanges. */
export const missingReportsInFlightMax: number = 64;
/** Exchanges with a stream of their own that one peer may have open. */
export const exchangeStreamsMax: number = 1024;
/** Bytes of a frame beside its messages: two records of the largest size, metadata, status, and the framing of each. */
export const exchangeFrameOverheadBytes: number = 2 * 1024 * 1024;
/**
 * Milliseconds for which the messages of a stream that flows are gathered into one segment: a record is
 * sealed for each on either side, and some hundred a second would cost more than the stream.
 */
export const segmentGatherMs: number = 20;
/** Bytes of one frame on a stream of its own: a message of 64 MiB behind a segment of 1 MiB that it fills. */
export const exchangeFrameBytesMax: number =
  callMessageBytesBound + 1024 * 1024 + exchangeFrameOverheadBytes;
/** Bytes of one attribute of a request that a decision may rest on: its text stands in the record. */
export const attributeBytesMax: number = 4096;
/** HTTP/2 flow-control window of such a stream: a frame with a full segment never waits in the middle for its reader. */
export const exchangeStreamWindowBytes: number = 2 * 1024 * 1024;
/** HTTP/2 flow-control window of the connection below such streams. */
export const exchangeSessionWindowBytes: number = 16 * 1024 * 1024;
/** Bytes of frames in part that the streams of one peer may hold together: four of the largest. */
export const exchangePartialBytesMax: number = 4 * exchangeFrameBytesMax;
/** Bytes of a buffer for frames that is used again: that of a full segment, with room to spare. */
export const frameBufferBytes: number = 2 * 1024 * 1024;
/** Such buffers that one connection keeps while it has streams: those of a window, and of what is handed over meanwhile. */
export const frameBuffersKeptMax: number = 8;
/** Unwritten bytes of a stream from which its sender is to wait. */
export const exchangeQueueBytes: number = 256 * 1024;
/** Milliseconds that a closed stream waits for its other side to read what is left and end too. */
export const exchangeCloseMs: number = 10_000;
/** Connections that the listener for peers holds at one time: a few for each gateway of a large network. */
export const peerConnectionsMax: number = 4096;
/** Bytes of a configuration file: a few hundred agency systems. */
export const configBytesMax: number = 1024 * 1024;
/** Bytes of a token of an agency's identity provider: as much as all metadata of a call. */
export const agencyTokenBytesMax: number = 8 * 1024;
/** Bytes of a JWK set: a few keys with their certificates. */
export const keySetBytesMax: number = 64 * 1024;
/** Keys of a JWK set, those of other uses included. */
export const keySetKeysMax: number = 64;
/** Milliseconds for a JWK set to be fetched, the name looked up and TLS set up. */
export const keySetFetchMs: number = 5_000;
/** Milliseconds between two attempts to fetch a JWK set because of a key that is not in it. */
export const keySetFetchAgainMs: number = 60_000;
/** Tokens of agency systems whose verification is remembered until they expire, 8 KiB each at the most. */
export const agencyTokensRememberedMax: number = 1024;
/** Bytes of JSON that one byte of a message may take: names of fields, quotes and escapes around short values. */
export const jsonBytesPerMessageByte: number = 4;
/** Bytes of one piece of a larger answer on the link: the largest that nothing else on it waits behind. */
export const partBytesMax: number = linkAnswerBytesMax;
/** Bytes of such pieces of one exchange that may be under way before their receiver has taken them. */
export const partCreditBytes: number = 256 * 1024;
/** Links to one peer: more than a few only divide what is written at once. */
export const linksPerPeerMax: number = 8;
/** Milliseconds that a link without exchanges stays when it is to end: what was begun with it in mind may come. */
export const linkIdleMs: number = 100;
/** Milliseconds that such a link waits for acknowledgements of the answers that it brought. */
export const linkAcknowledgeMs: number = 2000;
/** Milliseconds that a new TLS certificate waits for the peers that are connected to show that they know it. */
export const certificateWaitMs: number = 30_000;
/** Rows that a query of a database gives at one time, and the bytes of their values at which fewer are. */
export const sqlBatchRowsMax: number = 256;
export const sqlBatchBytesMax: number = 256 * 1024;
/** Queries that wait for a process of a SQLite database. */
export const sqlWaitingMax: number = 256;
/** Milliseconds for attributes of a call to be looked up: they are small, and the call waits for them. */
export const attributeLookupMs: number = 5_000;
/** Descriptor sets that the routes of HTTP callers keep opened: the services granted to a large agency. */
export const routeDescriptorsMax: number = 256;
/** Milliseconds for a call of an HTTP caller that names no time of its own: as long as its request may take. */
export const jsonCallMs: number = 60_000;
