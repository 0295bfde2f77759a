/**
 * Every stable reason code: its gRPC status, what it means in two languages, and the next step.
 * The one place where a reason becomes a status; `docs/reasons.md` is generated from it.
 * Row: [gRPC status, English, 简体中文, next step in English].
 */
const grpcCodes = {
  CANCELLED: 1,
  INVALID_ARGUMENT: 3,
  DEADLINE_EXCEEDED: 4,
  NOT_FOUND: 5,
  ALREADY_EXISTS: 6,
  PERMISSION_DENIED: 7,
  RESOURCE_EXHAUSTED: 8,
  FAILED_PRECONDITION: 9,
  ABORTED: 10,
  UNIMPLEMENTED: 12,
  INTERNAL: 13,
  UNAVAILABLE: 14,
  DATA_LOSS: 15,
  UNAUTHENTICATED: 16,
} as const;

type Row = readonly [status: keyof typeof grpcCodes, en: string, zh: string, next: string];

// Groups stand in the order in which a call meets them.
const rows = {
  // Bytes and encodings.
  MALFORMED: ["INVALID_ARGUMENT", "The bytes cannot be decoded.", "字节无法解码。", "Send a message of the documented type."],
  NOT_CANONICAL: ["INVALID_ARGUMENT", "The encoding is not the canonical one.", "编码不是规范形式。", "Encode as RECORDS describes: ascending fields, minimal varints, absent defaults."],
  TOO_LARGE: ["INVALID_ARGUMENT", "The input is larger than its limit.", "输入超过上限。", "Send less; the message names the limit."],
  PROOF_INVALID: ["DATA_LOSS", "A proof does not lead to its root.", "证明与根不符。", "Keep the proof and report it to the other side's operator."],
  SIGNATURE_INVALID: ["UNAUTHENTICATED", "A signature does not verify under its key.", "签名验证失败。", "Sign again with the key that the ledger binds."],
  KEY_NOT_ACCEPTED: ["INVALID_ARGUMENT", "The public key is not canonical, has small order or torsion.", "公钥不符合要求。", "Create a new key."],
  NOTE_INVALID: ["INVALID_ARGUMENT", "The signed note is malformed.", "签名文书格式错误。", "Send a note as c2sp.org/signed-note describes."],
  NOTE_SIGNER_UNKNOWN: ["UNAUTHENTICATED", "The note carries no signature of a known key.", "文书没有已知密钥的签名。", "Send a note that a key of this network has signed."],
  CHECKPOINT_INVALID: ["INVALID_ARGUMENT", "The checkpoint is malformed or of another origin.", "检查点格式错误或来源不符。", "Send a checkpoint of this network's log."],
  QUORUM_NOT_MET: ["FAILED_PRECONDITION", "Too few cities have cosigned the checkpoint.", "会签检查点的城市不足。", "Wait until a quorum has cosigned."],

  // Statements and tokens (RFC 8725 order).
  TOKEN_MALFORMED: ["UNAUTHENTICATED", "The token is not a canonical compact JWS.", "令牌不是规范的紧凑 JWS。", "Send three canonical base64url segments."],
  TOKEN_TOO_LARGE: ["UNAUTHENTICATED", "The token is larger than its limit.", "令牌过大。", "Send a smaller token."],
  TOKEN_HEADER_INVALID: ["UNAUTHENTICATED", "The token's header is not exactly alg, kid and typ.", "令牌头部不正确。", "Use exactly alg, kid and typ."],
  TOKEN_ALG_NOT_ALLOWED: ["UNAUTHENTICATED", "The token's algorithm is not Ed25519.", "不允许的签名算法。", "Sign with Ed25519."],
  TOKEN_TYP_WRONG: ["UNAUTHENTICATED", "The token is of another type.", "令牌类型不符。", "Send a token of the expected type."],
  TOKEN_KEY_UNKNOWN: ["UNAUTHENTICATED", "The token's key is not on the ledger for this purpose.", "账本上没有该令牌密钥。", "Wait until the key is final, or use the bound key."],
  TOKEN_SIGNATURE_INVALID: ["UNAUTHENTICATED", "The token's signature does not verify.", "令牌签名无效。", "Sign again."],
  TOKEN_CLAIMS_INVALID: ["UNAUTHENTICATED", "A claim is missing, unknown or of the wrong kind.", "令牌声明缺失或错误。", "Send exactly the documented claims."],
  TOKEN_ISSUER_WRONG: ["UNAUTHENTICATED", "The token's issuer is not the peer that sent it.", "令牌签发者与对端不符。", "Send your own token."],
  TOKEN_AUDIENCE_WRONG: ["UNAUTHENTICATED", "The token is for another gateway.", "令牌的受众是其他网关。", "Request a token for this gateway."],
  TOKEN_NETWORK_WRONG: ["UNAUTHENTICATED", "The token is of another network.", "令牌属于其他网络。", "Use this network's id."],
  TOKEN_EXPIRED: ["UNAUTHENTICATED", "The token has expired.", "令牌已过期。", "Send a new token; check the clock."],
  TOKEN_NOT_YET_VALID: ["UNAUTHENTICATED", "The token is not valid yet.", "令牌尚未生效。", "Check the clock."],
  TOKEN_LIFE_TOO_LONG: ["UNAUTHENTICATED", "The token lives longer than the network allows.", "令牌有效期过长。", "Issue tokens of at most 60 seconds."],
  TOKEN_REPLAYED: ["UNAUTHENTICATED", "This attempt of the token was used before.", "令牌已被使用。", "Sign a new call statement for each attempt."],
  CALL_STATEMENT_INVALID: ["UNAUTHENTICATED", "The call statement is malformed or not under the token's root.", "调用声明无效或不在令牌的根之下。", "Send the statement with its index and path."],
  NONCE_STALE: ["UNAVAILABLE", "The token names an earlier start of this gateway.", "令牌引用了网关先前的启动标识。", "Sign again with the nonce of the answer."],
  STATEMENT_INVALID: ["INVALID_ARGUMENT", "The statement's payload is not of its type.", "声明内容不符合其类型。", "See the statement table of the documentation."],
  STATEMENT_SIGNER_MISSING: ["PERMISSION_DENIED", "A signature that the statement needs is missing.", "声明缺少必要签名。", "Have every named signer sign the same payload."],

  // Structure of a batch.
  NETWORK_UNKNOWN: ["INVALID_ARGUMENT", "The batch is of another network.", "批次属于其他网络。", "Submit to the gateway of its own network."],
  GATEWAY_UNKNOWN: ["PERMISSION_DENIED", "The ledger binds no such gateway.", "账本上没有该网关。", "Have the agency enrol the gateway first."],
  KEY_UNKNOWN: ["PERMISSION_DENIED", "The ledger binds no such batch key to the gateway.", "账本上没有该批次密钥。", "Seal with the bound key."],
  CHAIN_GAP: ["FAILED_PRECONDITION", "The batch does not follow the gateway's last one.", "批次与上一批次不连续。", "Submit the missing batches first."],
  CHAIN_FORK: ["ABORTED", "Another batch stands at this place of the chain.", "链上该位置已有其他批次。", "Stop sealing and run ledger recover."],
  BATCH_KNOWN: ["ALREADY_EXISTS", "This very batch is the newest of its chain.", "该批次已在链上。", "Nothing is left to do."],
  CHAIN_FROZEN: ["FAILED_PRECONDITION", "The chain is frozen after an equivocation or rollback.", "链已冻结。", "Open a new epoch."],
  CHAIN_ENDED: ["FAILED_PRECONDITION", "The chain under this batch key was ended at an earlier leaf.", "该批次密钥下的链已终止。", "Seal with the key that is in force."],
  BATCH_INVALID: ["INVALID_ARGUMENT", "Count, size, kind or root of the batch do not agree with its records.", "批次与其记录不一致。", "Seal again from the records."],
  SEEN_INVALID: ["FAILED_PRECONDITION", "The header names a size or root that this ledger does not have.", "头部引用的大小或根与账本不符。", "Compare both signed heads: one of them is a fork."],
  SEEN_DECREASING: ["INVALID_ARGUMENT", "The header goes back in seen size or time.", "头部的已见大小或时间倒退。", "Check the clock and the replica."],
  BLOB_MISSING: ["FAILED_PRECONDITION", "A blob that a statement names is missing.", "缺少声明引用的数据块。", "Put the blob first."],
  BLOB_MISMATCH: ["INVALID_ARGUMENT", "The blob does not have the digest or size that it was announced with.", "数据块与摘要不符。", "Send the blob again."],

  // Meaning of a governance record: reasons of a void effect.
  NOT_SUPPORTED: ["UNIMPLEMENTED", "The rules in force do not act on a member of this statement.", "现行规则不支持该成员。", "Leave the member out, or move the rules forward by vote."],
  REPLAYED: ["ALREADY_EXISTS", "A statement with this jti was applied before.", "该 jti 的声明已生效。", "Use a new jti."],
  STALE: ["FAILED_PRECONDITION", "The statement was issued more than 7 days before its seal.", "声明签发距封存超过 7 天。", "Sign it again."],
  NOT_YET_VALID: ["FAILED_PRECONDITION", "The statement is not valid yet.", "声明尚未生效。", "Wait for its nbf."],
  EXPIRED: ["FAILED_PRECONDITION", "The statement has expired.", "声明已过期。", "Sign a new one."],
  NETWORK_WRONG: ["INVALID_ARGUMENT", "The statement names another network.", "声明属于其他网络。", "Name this network."],
  SIGNER_NOT_ALLOWED: ["PERMISSION_DENIED", "The signer has no authority for this statement.", "签名者无权签发该声明。", "Have the authority in charge sign it."],
  KEY_BOUND: ["ALREADY_EXISTS", "A key of the statement is bound already.", "密钥已被绑定。", "Create a new key: one key, one use."],
  MEMBER_UNKNOWN: ["NOT_FOUND", "The city, agency, gateway or administrator is not on the ledger.", "账本上没有该成员。", "Enrol it first."],
  SERVICE_UNKNOWN: ["NOT_FOUND", "No such data service is published.", "没有该数据服务。", "List the services with `causeway service list`."],
  REQUEST_UNKNOWN: ["NOT_FOUND", "No such open access request.", "没有该待处理的访问请求。", "List the requests with `causeway request list`."],
  GRANT_UNKNOWN: ["NOT_FOUND", "No such grant.", "没有该授权。", "List the grants with `causeway grant list`."],
  OUTSIDE_REQUEST: ["INVALID_ARGUMENT", "The grant gives more than the request or the service offers.", "授权超出请求或服务范围。", "Grant what was asked for."],
  VERSION_WRONG: ["FAILED_PRECONDITION", "The version does not follow the newest one.", "版本号与最新版本不连续。", "State the version after the newest one; the first is 1."],
  OUTSIDE_BOUNDS: ["INVALID_ARGUMENT", "The statement goes beyond a bound of the network.", "声明超出网络的限值。", "Stay within the bounds of the founding document."],
  ALREADY_TAKEN: ["FAILED_PRECONDITION", "What the statement is about has ended, or what it asks for has happened already.", "声明所涉事项已终止或已完成。", "Nothing is left to do."],
  KEY_NOT_COMMITTED: ["PERMISSION_DENIED", "The new authority key is not the one that was committed to.", "新的主管密钥与事先承诺的不符。", "Use the next key of the folder, and commit to another one."],
  QUORUM_INVALID: ["INVALID_ARGUMENT", "The quorum does not fit the number of cities, or can never be reached.", "法定数与城市数量不符，或无法达到。", "Name q and f with q ≤ n and 2q ≥ n + f + 1."],
  VOTES_MISSING: ["FAILED_PRECONDITION", "Too few votes on the sequencer that agree and count stand in this batch of its gateway.", "批次中有效且一致的定序者投票不足。", "Collect the votes of a quorum, and open the term with all of them."],
  TERM_INVALID: ["FAILED_PRECONDITION", "The votes open no term here: it is not above the newest, or the checkpoints do not let it begin with these leaves.", "投票无法在此开启新任期。", "Bring the gateway's replica to the start, and collect votes for the next term."],
  EQUIVOCATION_UNPROVED: ["INVALID_ARGUMENT", "The two leaves or checkpoints do not contradict each other.", "两份签名内容并不矛盾。", "Report two signed heads of which only one can be true."],

  // Ledger and replica.
  LEDGER_BEHIND: ["UNAVAILABLE", "This gateway's replica has not reached the needed size.", "本网关的账本副本落后。", "Try again when the size that is named is final here."],
  LEDGER_UNAVAILABLE: ["UNAVAILABLE", "The ledger cannot be reached.", "无法连接账本。", "Try again later; nothing was lost."],
  LEDGER_FORK: ["DATA_LOSS", "The ledger shows two histories.", "账本出现分叉。", "Keep both signed heads and call the authorities of the network."],
  TERM_ENDED: ["FAILED_PRECONDITION", "This witness has promised this term or a later one.", "本见证已承诺该任期或更晚任期。", "Vote for a term above it."],
  WITNESS_STATE_LOST: ["FAILED_PRECONDITION", "This city's witness has lost what it promised.", "本市见证丢失了承诺状态。", "State a new witness key; it cosigns from the next term on."],
  BATCH_WITHHELD: ["UNAVAILABLE", "The sequencer leaves out a batch past the inclusion bound.", "排序者逾期未收录批次。", "Appoint another sequencer if it goes on."],
  INDEX_UNKNOWN: ["NOT_FOUND", "No leaf with this index is final here.", "该索引尚未最终确认。", "Check the index against `causeway ledger status`."],
  RECORD_UNKNOWN: ["NOT_FOUND", "No such record.", "没有该记录。", "Check the handle or address."],
  TILE_MISSING: ["UNAVAILABLE", "The log does not serve a tile or bundle that is needed; it may be pruned.", "日志不提供所需的分块，可能已被修剪。", "Ask another gateway of the network, or begin above the minimum index."],
  DIGEST_DIVERGES: ["DATA_LOSS", "The registry digest differs from the sequencer's.", "注册表摘要与排序者不一致。", "Stop; compare versions and replay the ledger."],
  STALE_REPLICA: ["UNAVAILABLE", "The newest final checkpoint is older than the service allows.", "最新的最终检查点已超过允许的时限。", "Wait until the ledger is final again."],
  CLOCK_OFF: ["UNAVAILABLE", "This gateway's clock is off.", "本网关时钟不准。", "Set the clock and restart."],
  JOURNAL_ROLLED_BACK: ["UNAVAILABLE", "The ledger or a peer holds a later record of this gateway than its journal.", "日志已被回滚。", "Run causeway ledger recover."],
  JOURNAL_LOCKED: ["FAILED_PRECONDITION", "Another process holds the journal.", "日志被另一进程占用。", "Stop the other gateway of this folder; one process seals a chain."],
  STORE_LOCKED: ["FAILED_PRECONDITION", "Another process holds the database of the ledger or witness.", "账本或见证数据库被另一进程占用。", "Stop the other gateway of this folder; one process keeps a replica."],
  JOURNAL_MISMATCH: ["FAILED_PRECONDITION", "The journal belongs to another gateway, network, key, epoch or start.", "日志属于其他网关、网络或密钥。", "Start the gateway with its own folder."],
  STORAGE_FAILED: ["INTERNAL", "The disk refused a read or a write, or holds what was not written.", "存储读写失败或内容不符。", "Check the disk; the process ends and recovers on restart."],
  SHUTTING_DOWN: ["UNAVAILABLE", "The gateway is shutting down.", "网关正在关闭。", "Try again."],

  // The call at the consumer gateway.
  CALLER_UNKNOWN: ["UNAUTHENTICATED", "The caller is not a configured agency system.", "调用方未登记。", "Configure the agency system at its gateway."],
  CALLER_NOT_ALLOWED: ["PERMISSION_DENIED", "The agency system may not use this service or purpose.", "该业务系统无权使用此服务或用途。", "Ask the gateway's administrator."],
  METHOD_UNKNOWN: ["UNIMPLEMENTED", "No published data service has this method.", "没有提供该方法的数据服务。", "Check the method path against the catalogue."],
  SERVICE_AMBIGUOUS: ["INVALID_ARGUMENT", "Several granted services have this method.", "多个已授权服务提供该方法。", "Name one in causeway-service."],
  PURPOSE_MISSING: ["INVALID_ARGUMENT", "The call names no purpose.", "调用未说明用途。", "Send causeway-purpose."],
  CASE_MISSING: ["INVALID_ARGUMENT", "The call names no case.", "调用未说明案件。", "Send causeway-case."],
  METADATA_INVALID: ["INVALID_ARGUMENT", "A causeway-* entry is malformed or given twice.", "causeway-* 元数据错误。", "Send each entry once, as documented."],
  METADATA_TOO_LARGE: ["RESOURCE_EXHAUSTED", "The metadata is larger than 8 KiB.", "元数据超过 8 KiB。", "Send less metadata."],
  MESSAGE_TOO_LARGE: ["RESOURCE_EXHAUSTED", "The message is larger than this gateway carries.", "消息超过网关上限。", "Ask for less, or page."],
  CALL_TYPE_UNSUPPORTED: ["UNIMPLEMENTED", "This gateway carries unary calls only.", "本网关仅支持一元调用。", "Use a unary method."],
  COMPRESSION_UNSUPPORTED: ["UNIMPLEMENTED", "The message is compressed in a way that this gateway does not read.", "不支持的压缩方式。", "Send gzip or identity."],
  PROTOCOL_ERROR: ["INTERNAL", "The caller broke the gRPC framing.", "gRPC 帧格式错误。", "Use a gRPC library."],
  PEER_UNAVAILABLE: ["UNAVAILABLE", "The provider's gateway cannot be reached.", "无法连接提供方网关。", "Try again later."],

  // Decision.
  GRANT_MISSING: ["PERMISSION_DENIED", "No grant covers this service.", "没有覆盖该服务的授权。", "Request access with `causeway request create`."],
  GRANT_NOT_YET: ["PERMISSION_DENIED", "The grant is not in force yet.", "授权尚未生效。", "Wait for its start."],
  GRANT_EXPIRED: ["PERMISSION_DENIED", "The grant has expired.", "授权已过期。", "Request access again."],
  GRANT_REVOKED: ["PERMISSION_DENIED", "The grant has been revoked.", "授权已被撤销。", "Ask the provider agency."],
  GRANT_OF_ANOTHER: ["PERMISSION_DENIED", "The grant belongs to another agency or service.", "授权属于其他机构或服务。", "Name your own grant."],
  METHOD_NOT_GRANTED: ["PERMISSION_DENIED", "The grant does not cover this method.", "授权不包含该方法。", "Request access to the method."],
  PURPOSE_NOT_GRANTED: ["PERMISSION_DENIED", "The grant does not cover this purpose.", "授权不包含该用途。", "Call for a purpose of the grant, or request another."],
  FIELD_NOT_GRANTED: ["PERMISSION_DENIED", "The grant does not cover a field of the answer.", "授权不包含该字段。", "Request access to the field."],
  QUOTA_EXHAUSTED: ["RESOURCE_EXHAUSTED", "The quota of the grant is used up.", "授权配额已用完。", "Wait for the next period."],
  MEMBER_NOT_ACTIVE: ["PERMISSION_DENIED", "The agency or gateway is not active.", "机构或网关未处于有效状态。", "Ask the city's authority."],
  POLICY_MISSING: ["PERMISSION_DENIED", "The service has no policy in force.", "服务没有生效的策略。", "The provider publishes one with `causeway policy publish`."],
  POLICY_DENIED: ["PERMISSION_DENIED", "The provider's policy denies the call.", "提供方策略拒绝该调用。", "Read the policy of the service."],
  POLICY_ERROR: ["PERMISSION_DENIED", "The provider's policy could not be evaluated.", "提供方策略无法求值。", "The provider corrects the policy."],
  POLICY_INVALID: ["INVALID_ARGUMENT", "The policy set does not validate against its schema.", "策略未通过模式校验。", "Correct the policy; the message names the place."],
  DESCRIPTOR_INVALID: ["INVALID_ARGUMENT", "The descriptor set does not hold what the statement says.", "描述符与声明不符。", "Build the descriptor set again from the .proto files."],

  // Exchange and evidence.
  COMMITMENT_MISMATCH: ["DATA_LOSS", "Bytes and commitment do not agree.", "内容与承诺不符。", "Keep the evidence and call the other side's operator."],
  MASK_VIOLATION: ["DATA_LOSS", "The answer holds fields that the mask excludes.", "响应包含被屏蔽的字段。", "Keep the evidence and call the provider."],
  RECEIPT_KEY_UNKNOWN: ["DATA_LOSS", "The receipt is sealed with a key that the ledger does not bind.", "回执使用了未登记的密钥。", "Keep the evidence and call the provider."],
  SEEN_FORK: ["DATA_LOSS", "The other side has seen another ledger.", "对方看到的账本与本方不同。", "Keep both heads: one of them is a fork."],
  TIME_IMPLAUSIBLE: ["DATA_LOSS", "The receipt's time is implausible.", "回执时间不合理。", "Compare the clocks."],
  STALE_SEAL: ["DATA_LOSS", "The receipt rests on a checkpoint that is too old.", "回执依据的检查点过旧。", "Call the provider."],
  GRANT_TAKEN: ["DATA_LOSS", "The receipt stands after the revocation of its grant.", "回执晚于授权撤销。", "Keep the evidence."],
  RECEIPT_PROOF_INVALID: ["DATA_LOSS", "The receipt's proof does not verify.", "回执证明无效。", "Keep the evidence and call the provider."],
  EVIDENCE_INVALID: ["INVALID_ARGUMENT", "The evidence package is malformed, incomplete or proves something else.", "证据包格式错误、不完整或与所证不符。", "Ask for the package again; the step that failed is named."],
  ACKNOWLEDGEMENT_INVALID: ["INVALID_ARGUMENT", "An acknowledgement does not verify or answers nothing that was sent.", "确认无效或与已发送内容不符。", "Keep it and report it to the consumer's operator."],
  ACKNOWLEDGEMENT_OVERDUE: ["FAILED_PRECONDITION", "Too many receipts of this agency are unacknowledged.", "未确认的回执过多。", "Bring the consumer gateway back; it acknowledges by itself."],
  NO_ANSWER: ["UNAVAILABLE", "The provider's gateway went away without an answer.", "提供方网关中断，未作答复。", "Try again; a method that writes may have taken effect."],
  PEER_LOST: ["UNAVAILABLE", "The other gateway went away.", "对端网关中断。", "Try again."],
  BUSY: ["RESOURCE_EXHAUSTED", "The gateway is at a limit.", "网关繁忙。", "Slow down and try again."],
  UPSTREAM_UNAVAILABLE: ["UNAVAILABLE", "The data service behind the provider's gateway cannot be reached.", "数据服务不可达。", "The provider checks its upstream."],
  DEADLINE: ["DEADLINE_EXCEEDED", "The deadline passed.", "已超过截止时间。", "Allow more time."],
  CANCELLED: ["CANCELLED", "The caller cancelled.", "调用方已取消。", "Nothing is left to do."],
  IDEMPOTENCY_MISMATCH: ["ABORTED", "The same idempotency key came with another request.", "同一幂等键对应不同请求。", "Use a new key."],

  // Administration.
  CONFIG_INVALID: ["INVALID_ARGUMENT", "The configuration is not valid.", "配置无效。", "Correct the line that is named."],
  LISTENER_FAILED: ["FAILED_PRECONDITION", "A listener cannot be opened.", "无法打开监听地址。", "Free the address, or give the listener another one in the configuration."],
  KEY_LOCKED: ["FAILED_PRECONDITION", "The key file cannot be opened with this passphrase.", "无法用该口令打开密钥。", "Give the passphrase of the folder."],
  CARD_INVALID: ["INVALID_ARGUMENT", "The public card is malformed or is not of these keys.", "公开卡片格式错误或与密钥不符。", "Send the card that init printed."],
  FOLDER_NOT_EMPTY: ["ALREADY_EXISTS", "The folder holds keys already.", "目录中已有密钥。", "Choose another folder: keys are never overwritten."],
  GATEWAY_UNAVAILABLE: ["UNAVAILABLE", "The own gateway does not answer on its admin socket.", "本网关的管理套接字无应答。", "Start it with `causeway gateway run`, or check --admin."],
  FILE_UNREADABLE: ["FAILED_PRECONDITION", "A file cannot be read.", "文件无法读取。", "Check the path and the permissions."],
  YEAR_NOT_PUBLISHED: ["FAILED_PRECONDITION", "The calendar on the ledger does not hold this year.", "账本上的日历未公布该年份。", "Have the network publish the year's calendar."],
  FINDINGS: ["DATA_LOSS", "The replay found something wrong.", "重放发现问题。", "Read the findings."],
  INTERNAL: ["INTERNAL", "An unexpected error; the log has its cause under the error id.", "内部错误，日志中有原因。", "Give the error id to the operator."],
} as const;

export type ReasonCode = keyof typeof rows;

export interface Reason {
  readonly code: ReasonCode;
  /** gRPC status code, 1 to 16. */
  readonly grpcCode: number;
  readonly en: string;
  readonly zh: string;
  readonly next: string;
}

const table: Readonly<Record<ReasonCode, Row>> = rows;

export const reasonCodes: readonly ReasonCode[] = Object.keys(table) as ReasonCode[];

/** The row of one reason code. */
export function reason(code: ReasonCode): Reason {
  const [status, en, zh, next] = table[code];
  return { code, grpcCode: grpcCodes[status], en, zh, next };
}

/** Whether `text` is a reason code of this release. */
export function isReasonCode(text: string): text is ReasonCode {
  return Object.hasOwn(table, text);
}
