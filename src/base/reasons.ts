/**
 * Every stable reason code: its gRPC status, what it means and what to do about it, in two languages.
 * The one place where a reason becomes a status; `docs/reasons.md` is generated from it.
 * Row: [gRPC status, meaning, 含义, what to do, 如何处理]. The texts hold no values of a call.
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

type Row = readonly [status: keyof typeof grpcCodes, en: string, zh: string, next: string, nextZh: string];

// Groups stand in the order in which a call meets them.
const rows = {
  // Bytes and encodings.
  MALFORMED: ["INVALID_ARGUMENT", "The bytes cannot be decoded.", "字节无法解码。", "Send a message of the documented type.", "请发送文档规定类型的消息。"],
  NOT_CANONICAL: ["INVALID_ARGUMENT", "The encoding is not the canonical one.", "编码不是规范形式。", "Encode as RECORDS describes: ascending fields, minimal varints, absent defaults.", "请按 RECORDS 编码：字段升序、最短变长整数、省略默认值。"],
  TOO_LARGE: ["INVALID_ARGUMENT", "The input is larger than its limit.", "输入超过上限。", "Send less; the message names the limit.", "请减少内容；消息中注明了上限。"],
  PROOF_INVALID: ["DATA_LOSS", "A proof does not lead to its root.", "证明与根不符。", "Keep the proof and report it to the other side's operator.", "请保留该证明，并报告对方运维人员。"],
  SIGNATURE_INVALID: ["UNAUTHENTICATED", "A signature does not verify under its key.", "签名验证失败。", "Sign again with the key that the ledger binds.", "请用账本登记的密钥重新签名。"],
  KEY_NOT_ACCEPTED: ["INVALID_ARGUMENT", "The public key is not canonical, has small order or torsion.", "公钥编码不规范、阶数过小或含有挠成分。", "Create a new key.", "请生成新的密钥。"],
  NOTE_INVALID: ["INVALID_ARGUMENT", "The signed note is malformed.", "签名文书格式错误。", "Send a note as c2sp.org/signed-note describes.", "请按 c2sp.org/signed-note 的格式发送文书。"],
  NOTE_SIGNER_UNKNOWN: ["UNAUTHENTICATED", "The note carries no signature of a known key.", "文书没有已知密钥的签名。", "Send a note that a key of this network has signed.", "请发送由本网络密钥签名的文书。"],
  CHECKPOINT_INVALID: ["INVALID_ARGUMENT", "The checkpoint is malformed or of another origin.", "检查点格式错误或来源不符。", "Send a checkpoint of this network's log.", "请发送本网络日志的检查点。"],
  QUORUM_NOT_MET: ["FAILED_PRECONDITION", "Too few cities have cosigned the checkpoint.", "会签检查点的城市不足。", "Wait until a quorum has cosigned.", "请等待达到法定数的城市会签。"],

  // Statements and tokens (RFC 8725 order).
  TOKEN_MALFORMED: ["UNAUTHENTICATED", "The token is not a canonical compact JWS.", "令牌不是规范的紧凑 JWS。", "Send three canonical base64url segments.", "请发送三段规范的 base64url。"],
  TOKEN_TOO_LARGE: ["UNAUTHENTICATED", "The token is larger than its limit.", "令牌过大。", "Send a smaller token.", "请发送较小的令牌。"],
  TOKEN_HEADER_INVALID: ["UNAUTHENTICATED", "The token's header lacks a member, or has one that is not taken.", "令牌头部缺少成员，或含有不接受的成员。", "Use alg, kid and typ, and no key, URL, certificate or extension.", "请使用 alg、kid 和 typ，不要携带密钥、网址、证书或扩展。"],
  TOKEN_ALG_NOT_ALLOWED: ["UNAUTHENTICATED", "The token's signature algorithm is not allowed here.", "不允许的签名算法。", "Sign with Ed25519; an agency's identity provider may use ES256.", "请使用 Ed25519 签名；机构的身份提供方也可使用 ES256。"],
  TOKEN_TYP_WRONG: ["UNAUTHENTICATED", "The token is of another type.", "令牌类型不符。", "Send a token of the expected type.", "请发送所要求类型的令牌。"],
  TOKEN_KEY_UNKNOWN: ["UNAUTHENTICATED", "The token's key is bound to its issuer neither on the ledger nor in a key set.", "令牌密钥未登记在账本上，也不在身份提供方的密钥集中。", "Use a bound key; a new one counts once final or published.", "请使用已登记的密钥；新密钥在最终确认或发布后生效。"],
  TOKEN_SIGNATURE_INVALID: ["UNAUTHENTICATED", "The token's signature does not verify.", "令牌签名无效。", "Sign again.", "请重新签名。"],
  TOKEN_CLAIMS_INVALID: ["UNAUTHENTICATED", "A claim is missing, given twice, unknown or of the wrong kind.", "令牌声明缺失、重复或错误。", "Send exactly the documented claims.", "请恰好发送文档规定的声明。"],
  TOKEN_ISSUER_WRONG: ["UNAUTHENTICATED", "The token's issuer is not the one that is expected here.", "令牌签发者与要求不符。", "Send a token of your own gateway, or of the configured identity provider.", "请发送本方网关或已配置的身份提供方签发的令牌。"],
  TOKEN_AUDIENCE_WRONG: ["UNAUTHENTICATED", "The token is for another gateway.", "令牌的受众是其他网关。", "Request a token for this gateway.", "请为本网关申请令牌。"],
  TOKEN_NETWORK_WRONG: ["UNAUTHENTICATED", "The token is of another network.", "令牌属于其他网络。", "Use this network's id.", "请使用本网络的标识。"],
  TOKEN_EXPIRED: ["UNAUTHENTICATED", "The token has expired.", "令牌已过期。", "Send a new token; check the clock.", "请发送新令牌，并检查时钟。"],
  TOKEN_NOT_YET_VALID: ["UNAUTHENTICATED", "The token is not valid yet.", "令牌尚未生效。", "Check the clock.", "请检查时钟。"],
  TOKEN_LIFE_TOO_LONG: ["UNAUTHENTICATED", "The token lives longer than the network allows.", "令牌有效期过长。", "Issue tokens of at most 60 seconds.", "请签发有效期不超过 60 秒的令牌。"],
  TOKEN_REPLAYED: ["UNAUTHENTICATED", "This attempt of the token was used before.", "令牌已被使用。", "Sign a new call statement for each attempt.", "请为每次尝试签署新的调用声明。"],
  CALL_STATEMENT_INVALID: ["UNAUTHENTICATED", "The call statement is malformed or not under the token's root.", "调用声明无效或不在令牌的根之下。", "Send the statement with its index and path.", "请连同序号和路径一并发送声明。"],
  NONCE_STALE: ["UNAVAILABLE", "The token names an earlier start of this gateway.", "令牌引用了网关先前的启动标识。", "Sign again with the nonce of the answer.", "请用应答中的启动标识重新签名。"],
  STATEMENT_INVALID: ["INVALID_ARGUMENT", "The statement's payload is not of its type.", "声明内容不符合其类型。", "See the statement table of the documentation.", "请参阅文档中的声明表。"],
  STATEMENT_SIGNER_MISSING: ["PERMISSION_DENIED", "A signature that the statement needs is missing.", "声明缺少必要签名。", "Have every named signer sign the same payload.", "请让每个指定签名者签署同一内容。"],

  // Structure of a batch.
  NETWORK_UNKNOWN: ["INVALID_ARGUMENT", "The batch is of another network.", "批次属于其他网络。", "Submit to the gateway of its own network.", "请提交到所属网络的网关。"],
  GATEWAY_UNKNOWN: ["PERMISSION_DENIED", "The ledger binds no such gateway.", "账本上没有该网关。", "Have the agency enrol the gateway first.", "请先由机构登记该网关。"],
  KEY_UNKNOWN: ["PERMISSION_DENIED", "The ledger binds no such batch key to the gateway.", "账本上没有该批次密钥。", "Seal with the bound key.", "请用已登记的密钥封存。"],
  CHAIN_GAP: ["FAILED_PRECONDITION", "The batch does not follow the gateway's last one.", "批次与上一批次不连续。", "Submit the missing batches first.", "请先提交缺少的批次。"],
  CHAIN_FORK: ["ABORTED", "Another batch stands at this place of the chain.", "链上该位置已有其他批次。", "Stop sealing and run ledger recover.", "请停止封存，并运行 ledger recover。"],
  BATCH_KNOWN: ["ALREADY_EXISTS", "This very batch is the newest of its chain.", "该批次已在链上。", "Nothing is left to do.", "无需处理。"],
  CHAIN_FROZEN: ["FAILED_PRECONDITION", "The chain is frozen after an equivocation or rollback.", "链已冻结。", "Open a new epoch.", "请开启新的纪元。"],
  CHAIN_ENDED: ["FAILED_PRECONDITION", "The chain under this batch key was ended at an earlier leaf.", "该批次密钥下的链已终止。", "Seal with the key that is in force.", "请用现行密钥封存。"],
  BATCH_INVALID: ["INVALID_ARGUMENT", "Count, size, kind or root of the batch do not agree with its records.", "批次与其记录不一致。", "Seal again from the records.", "请根据记录重新封存。"],
  SEEN_INVALID: ["FAILED_PRECONDITION", "The header names a size or root that this ledger does not have.", "头部引用的大小或根在本账本上不存在。", "Compare both signed heads: one of them is a fork.", "请比较两份签名头部：其中一份是分叉。"],
  SEEN_DECREASING: ["INVALID_ARGUMENT", "The header goes back in seen size or time.", "头部的已见大小或时间倒退。", "Check the clock and the replica.", "请检查时钟和账本副本。"],
  BLOB_MISSING: ["FAILED_PRECONDITION", "A blob that a statement names is missing.", "缺少声明引用的数据块。", "Put the blob first.", "请先上传该数据块。"],
  BLOB_MISMATCH: ["INVALID_ARGUMENT", "The blob does not have the digest or size that it was announced with.", "数据块与摘要不符。", "Send the blob again.", "请重新发送该数据块。"],

  // Meaning of a governance record: reasons of a void effect.
  NOT_SUPPORTED: ["UNIMPLEMENTED", "The rules in force do not act on a member of this statement.", "现行规则不支持该成员。", "Leave the member out, or move the rules forward by vote.", "请去掉该成员，或通过投票升级规则。"],
  REPLAYED: ["ALREADY_EXISTS", "A statement with this jti was applied before.", "该 jti 的声明已生效。", "Use a new jti.", "请使用新的 jti。"],
  STALE: ["FAILED_PRECONDITION", "The statement was issued more than 7 days before its seal.", "声明签发距封存超过 7 天。", "Sign it again.", "请重新签署。"],
  NOT_YET_VALID: ["FAILED_PRECONDITION", "The statement is not valid yet.", "声明尚未生效。", "Wait for its nbf.", "请等到 nbf 之后。"],
  EXPIRED: ["FAILED_PRECONDITION", "The statement has expired.", "声明已过期。", "Sign a new one.", "请签署新的声明。"],
  NETWORK_WRONG: ["INVALID_ARGUMENT", "The statement names another network.", "声明属于其他网络。", "Name this network.", "请写明本网络。"],
  SIGNER_NOT_ALLOWED: ["PERMISSION_DENIED", "The signer has no authority for this statement.", "签名者无权签发该声明。", "Have the authority in charge sign it.", "请由主管方签署。"],
  KEY_BOUND: ["ALREADY_EXISTS", "A key of the statement is bound already.", "密钥已被绑定。", "Create a new key: one key, one use.", "请生成新密钥：一把密钥只有一种用途。"],
  MEMBER_UNKNOWN: ["NOT_FOUND", "The city, agency, gateway or administrator is not on the ledger.", "账本上没有该成员。", "Enrol it first.", "请先登记该成员。"],
  SERVICE_UNKNOWN: ["NOT_FOUND", "No such data service is published.", "没有该数据服务。", "List the services with `causeway service list`.", "请用 `causeway service list` 查看服务。"],
  REQUEST_UNKNOWN: ["NOT_FOUND", "No such open access request.", "没有该待处理的访问请求。", "List the requests with `causeway request list`.", "请用 `causeway request list` 查看申请。"],
  GRANT_UNKNOWN: ["NOT_FOUND", "No such grant.", "没有该授权。", "List the grants with `causeway grant list`.", "请用 `causeway grant list` 查看授权。"],
  OUTSIDE_REQUEST: ["INVALID_ARGUMENT", "The grant gives more than the request or the service offers.", "授权超出请求或服务范围。", "Grant what was asked for.", "请按申请的范围授权。"],
  VERSION_WRONG: ["FAILED_PRECONDITION", "The version does not follow the newest one.", "版本号与最新版本不连续。", "State the version after the newest one; the first is 1.", "请写最新版本的下一个版本号；第一版为 1。"],
  OUTSIDE_BOUNDS: ["INVALID_ARGUMENT", "The statement goes beyond a bound of the network.", "声明超出网络的限值。", "Stay within the bounds of the founding document.", "请遵守创始文件中的限值。"],
  ALREADY_TAKEN: ["FAILED_PRECONDITION", "What the statement is about has ended, or what it asks for has happened already.", "声明所涉事项已终止或已完成。", "Nothing is left to do.", "无需处理。"],
  KEY_NOT_COMMITTED: ["PERMISSION_DENIED", "The new authority key is not the one that was committed to.", "新的主管密钥与事先承诺的不符。", "Use the next key of the folder, and commit to another one.", "请使用目录中的下一把密钥，并承诺另一把。"],
  QUORUM_INVALID: ["INVALID_ARGUMENT", "The quorum does not fit the number of cities, or can never be reached.", "法定数与城市数量不符，或无法达到。", "Name q and f with q ≤ n and 2q ≥ n + f + 1.", "请给出满足 q ≤ n 且 2q ≥ n + f + 1 的 q 和 f。"],
  VOTES_MISSING: ["FAILED_PRECONDITION", "Too few votes on the sequencer that agree and count stand in this batch of its gateway.", "该网关的批次中，有效且一致的排序者投票不足。", "Collect the votes of a quorum, and open the term with all of them.", "请收集法定数的投票，并连同全部投票开启任期。"],
  TERM_INVALID: [
    "FAILED_PRECONDITION",
    "The votes open no term here: it is not above the newest, or the checkpoints do not let it begin with these leaves.",
    "投票无法在此开启任期：任期号不高，或检查点不容许从这些叶子开始。",
    "Bring the gateway's replica to the start, and collect votes for the next term.",
    "请让副本追到起点，再为下一任期收集投票。",
  ],
  EQUIVOCATION_UNPROVED: ["INVALID_ARGUMENT", "The two leaves or checkpoints do not contradict each other.", "两份签名内容并不矛盾。", "Report two signed heads of which only one can be true.", "请报告两份只有一份可能为真的签名头部。"],

  // Ledger and replica.
  LEDGER_BEHIND: ["UNAVAILABLE", "This gateway's replica has not reached the needed size.", "本网关的账本副本落后。", "Try again when the size that is named is final here.", "请等所述大小在本网关最终确认后重试。"],
  LEDGER_UNAVAILABLE: ["UNAVAILABLE", "The ledger cannot be reached.", "无法连接账本。", "Try again later; nothing was lost.", "请稍后重试；没有任何丢失。"],
  LEDGER_FORK: ["DATA_LOSS", "The ledger shows two histories.", "账本出现分叉。", "Keep both signed heads and call the authorities of the network.", "请保留两份签名头部，并联系本网络的主管方。"],
  TERM_ENDED: ["FAILED_PRECONDITION", "This witness has promised this term or a later one.", "本见证已承诺该任期或更晚任期。", "Vote for a term above it.", "请为更高的任期投票。"],
  WITNESS_STATE_LOST: ["FAILED_PRECONDITION", "This city's witness has lost what it promised.", "本市见证丢失了承诺状态。", "State a new witness key; it cosigns from the next term on.", "请声明新的见证密钥；它从下一任期起会签。"],
  BATCH_WITHHELD: ["UNAVAILABLE", "The sequencer leaves out a batch past the inclusion bound.", "排序者逾期未收录批次。", "Appoint another sequencer if it goes on.", "若持续如此，请任命另一个排序者。"],
  INDEX_UNKNOWN: ["NOT_FOUND", "No leaf with this index is final here.", "该索引尚未最终确认。", "Check the index against `causeway ledger status`.", "请用 `causeway ledger status` 核对索引。"],
  OPENING_UNKNOWN: ["NOT_FOUND", "No opening of this exchange is here.", "本侧没有该交换的打开信息。", "Ask for another label, or the other side; what was erased is gone.", "请换一个标签，或询问对方；已删除的内容无法恢复。"],
  RECORD_UNKNOWN: ["NOT_FOUND", "No such record.", "没有该记录。", "Check the handle or address.", "请核对句柄或地址。"],
  TILE_MISSING: ["UNAVAILABLE", "The log does not serve a tile or bundle that is needed; it may be pruned.", "日志不提供所需的分块，可能已被修剪。", "Ask another gateway of the network, or begin above the minimum index.", "请向本网络的其他网关获取，或从最小索引以上开始。"],
  DIGEST_DIVERGES: ["DATA_LOSS", "The registry digest differs from the sequencer's.", "注册表摘要与排序者不一致。", "Stop; compare versions and replay the ledger.", "请停止使用，比较版本并重放账本。"],
  STALE_REPLICA: ["UNAVAILABLE", "The newest final checkpoint is older than the service allows.", "最新的最终检查点已超过允许的时限。", "Wait until the ledger is final again.", "请等账本恢复最终确认。"],
  CLOCK_OFF: ["UNAVAILABLE", "This gateway's clock is off.", "本网关时钟不准。", "Set the clock and restart.", "请校准时钟后重新启动。"],
  JOURNAL_ROLLED_BACK: ["UNAVAILABLE", "The ledger or a peer holds a later record of this gateway than its journal.", "账本或对端持有比本网关日志更新的记录。", "Run causeway ledger recover.", "请运行 causeway ledger recover。"],
  JOURNAL_LOCKED: ["FAILED_PRECONDITION", "Another process holds the journal.", "日志被另一进程占用。", "Stop the other gateway of this folder; one process seals a chain.", "请停止使用该目录的另一网关；一条链只由一个进程封存。"],
  STORE_LOCKED: ["FAILED_PRECONDITION", "Another process holds the database of the ledger or witness.", "账本或见证数据库被另一进程占用。", "Stop the other gateway of this folder; one process keeps a replica.", "请停止使用该目录的另一网关；一份副本只由一个进程维护。"],
  JOURNAL_MISMATCH: ["FAILED_PRECONDITION", "The journal belongs to another gateway, network, key, epoch or start.", "日志属于其他网关、网络、密钥、纪元或启动。", "Start the gateway with its own folder.", "请用网关自己的目录启动。"],
  STORAGE_FAILED: ["INTERNAL", "The disk refused a read or a write, or holds what was not written.", "存储读写失败或内容不符。", "Check the disk; the process ends and recovers on restart.", "请检查磁盘；进程会退出，并在重启时恢复。"],
  SHUTTING_DOWN: ["UNAVAILABLE", "The gateway is shutting down.", "网关正在关闭。", "Try again.", "请重试。"],

  // The call at the consumer gateway.
  CALLER_UNKNOWN: ["UNAUTHENTICATED", "The caller is not a configured agency system.", "调用方未登记。", "Configure the agency system at its gateway.", "请在其网关上配置该业务系统。"],
  CREDENTIALS_MISSING: ["UNAUTHENTICATED", "The caller shows neither a client certificate nor a token.", "调用方未出示客户端证书或令牌。", "Connect with the agency system's certificate, or send its token.", "请使用业务系统的证书连接，或发送其令牌。"],
  CERTIFICATE_INVALID: ["UNAUTHENTICATED", "The client certificate is out of date, or stands under no configured authority.", "客户端证书不在有效期内，或不属于已配置的颁发机构。", "Renew the certificate.", "请更新证书。"],
  CREDENTIALS_DIFFER: ["UNAUTHENTICATED", "Certificate and token are not of one agency system, or one of two that are needed is missing.", "证书与令牌不属于同一业务系统，或缺少其中之一。", "Show the certificate and the token of one agency system.", "请出示同一业务系统的证书和令牌。"],
  ISSUER_UNAVAILABLE: ["UNAVAILABLE", "The keys of the token's issuer cannot be had.", "无法取得令牌签发者的密钥。", "Try again later; the gateway's log has the cause.", "请稍后重试；原因见网关日志。"],
  CALLER_NOT_ALLOWED: ["PERMISSION_DENIED", "The agency system may not use this service or purpose.", "该业务系统无权使用此服务或用途。", "Ask the gateway's administrator.", "请联系网关管理员。"],
  METHOD_UNKNOWN: ["UNIMPLEMENTED", "No published data service has this method.", "没有提供该方法的数据服务。", "Check the method path against the catalogue.", "请对照目录检查方法路径。"],
  SERVICE_AMBIGUOUS: ["INVALID_ARGUMENT", "Several granted services have this method.", "多个已授权服务提供该方法。", "Name one in causeway-service.", "请在 causeway-service 中指明一个。"],
  PURPOSE_MISSING: ["INVALID_ARGUMENT", "The call names no purpose.", "调用未说明用途。", "Send causeway-purpose.", "请发送 causeway-purpose。"],
  CASE_MISSING: ["INVALID_ARGUMENT", "The call names no case.", "调用未说明案件。", "Send causeway-case.", "请发送 causeway-case。"],
  METADATA_INVALID: [
    "INVALID_ARGUMENT",
    "An entry of the metadata is malformed, given twice, or contradicts the token.",
    "元数据某项格式错误、重复，或与令牌内容矛盾。",
    "Send each entry once, as documented; leave out an official that the token names.",
    "请按文档规定，每项只发送一次；令牌已载明经办人的，请勿另行发送。",
  ],
  METADATA_TOO_LARGE: ["RESOURCE_EXHAUSTED", "The metadata is larger than 8 KiB.", "元数据超过 8 KiB。", "Send less metadata.", "请减少元数据。"],
  MESSAGE_TOO_LARGE: ["RESOURCE_EXHAUSTED", "The message is larger than this gateway carries.", "消息超过网关上限。", "Ask for less, or page.", "请减少请求内容，或分页。"],
  CALL_TYPE_UNSUPPORTED: ["UNIMPLEMENTED", "The data service cannot be called in this way: its connector does not carry streams.", "该数据服务的连接器不支持流式调用。", "Use a unary method.", "请使用一元方法。"],
  COMPRESSION_UNSUPPORTED: ["UNIMPLEMENTED", "The message is compressed in a way that this gateway does not read.", "不支持的压缩方式。", "Send gzip or identity.", "请使用 gzip 或不压缩。"],
  PROTOCOL_ERROR: ["INTERNAL", "What came breaks the protocol of gRPC, of the data service, or between gateways.", "收到的内容违反 gRPC、数据服务或网关之间的协议。", "Call through a gRPC library; if a service or gateway sent it, tell its operator.", "请通过 gRPC 库调用；如由服务或网关发出，请联系其运维人员。"],
  PEER_UNAVAILABLE: ["UNAVAILABLE", "The provider's gateway cannot be reached.", "无法连接提供方网关。", "Try again later.", "请稍后重试。"],

  // Decision.
  GRANT_MISSING: ["PERMISSION_DENIED", "No grant covers this service.", "没有覆盖该服务的授权。", "Request access with `causeway request create`.", "请用 `causeway request create` 申请访问。"],
  GRANT_NOT_YET: ["PERMISSION_DENIED", "The grant is not in force yet.", "授权尚未生效。", "Wait for its start.", "请等到授权的起始时间。"],
  GRANT_EXPIRED: ["PERMISSION_DENIED", "The grant has expired.", "授权已过期。", "Request access again.", "请重新申请访问。"],
  GRANT_REVOKED: ["PERMISSION_DENIED", "The grant has been revoked.", "授权已被撤销。", "Ask the provider agency.", "请咨询提供方机构。"],
  GRANT_OF_ANOTHER: ["PERMISSION_DENIED", "The grant belongs to another agency or service.", "授权属于其他机构或服务。", "Name your own grant.", "请使用本机构的授权。"],
  METHOD_NOT_GRANTED: ["PERMISSION_DENIED", "The grant does not cover this method.", "授权不包含该方法。", "Request access to the method.", "请申请访问该方法。"],
  PURPOSE_NOT_GRANTED: ["PERMISSION_DENIED", "The grant does not cover this purpose.", "授权不包含该用途。", "Call for a purpose of the grant, or request another.", "请按授权的用途调用，或申请其他用途。"],
  FIELD_NOT_GRANTED: ["PERMISSION_DENIED", "The grant does not cover a field of the answer.", "授权不包含该字段。", "Request access to the field.", "请申请访问该字段。"],
  QUOTA_EXHAUSTED: ["RESOURCE_EXHAUSTED", "The quota of the grant is used up.", "授权配额已用完。", "Wait for the next period.", "请等待下一周期。"],
  MEMBER_NOT_ACTIVE: ["PERMISSION_DENIED", "The agency or gateway is not active.", "机构或网关未处于有效状态。", "Ask the city's authority.", "请咨询所在城市的主管方。"],
  POLICY_MISSING: ["PERMISSION_DENIED", "The service has no policy in force.", "服务没有生效的策略。", "The provider publishes one with `causeway policy publish`.", "请提供方用 `causeway policy publish` 发布策略。"],
  POLICY_DENIED: ["PERMISSION_DENIED", "The provider's policy denies the call.", "提供方策略拒绝该调用。", "Read the policy of the service.", "请查阅该服务的策略。"],
  POLICY_ERROR: ["PERMISSION_DENIED", "The provider's policy could not be evaluated.", "提供方策略无法求值。", "The provider corrects the policy.", "请提供方更正策略。"],
  ATTRIBUTES_UNAVAILABLE: ["UNAVAILABLE", "What the provider's policy rests on cannot be looked up.", "无法查询提供方策略所依据的属性。", "Try again later; the log of the provider's gateway has the cause.", "请稍后重试；提供方网关的日志中记有原因。"],
  POLICY_INVALID: ["INVALID_ARGUMENT", "The policy set does not validate against its schema.", "策略未通过模式校验。", "Correct the policy; the message names the place.", "请更正策略；消息中注明了位置。"],
  DESCRIPTOR_UNKNOWN: ["NOT_FOUND", "No published descriptor that the caller may read defines this.", "可读取的已发布描述符中没有该定义。", "List the services by reflection, and name the data service in causeway-service.", "请用反射列出服务，并在 causeway-service 中指明数据服务。"],
  DESCRIPTOR_INVALID: ["INVALID_ARGUMENT", "The descriptor set does not hold what the statement says.", "描述符与声明不符。", "Build the descriptor set again from the .proto files.", "请用 .proto 文件重新生成描述符集。"],
  MASK_INVALID: ["INVALID_ARGUMENT", "A field path of the mask does not lead to a field of the answer.", "字段掩码路径与响应不符。", "Name fields as the .proto has them, joined by dots; the message names the path.", "请按 .proto 中的字段名书写，以点分隔；消息中注明了路径。"],
  MASK_UNAPPLICABLE: ["INTERNAL", "The data service's answer is no message of the published type, so its mask cannot be applied.", "响应不符合已发布的消息类型，无法应用字段掩码。", "The provider publishes the descriptors that its data service runs with.", "请提供方发布其数据服务实际使用的描述符。"],

  // Exchange and evidence.
  COMMITMENT_MISMATCH: ["DATA_LOSS", "Bytes and commitment do not agree.", "内容与承诺不符。", "Keep the evidence and call the other side's operator.", "请保留证据，并联系对方运维人员。"],
  MASK_VIOLATION: ["DATA_LOSS", "The answer holds fields that the mask excludes.", "响应包含被屏蔽的字段。", "Keep the evidence and call the provider.", "请保留证据，并联系提供方。"],
  RECEIPT_KEY_UNKNOWN: ["DATA_LOSS", "The receipt is sealed with a key that the ledger does not bind.", "回执使用了未登记的密钥。", "Keep the evidence and call the provider.", "请保留证据，并联系提供方。"],
  SEEN_FORK: ["DATA_LOSS", "The other side has seen another ledger.", "对方看到的账本与本方不同。", "Keep both heads: one of them is a fork.", "请保留两份头部：其中一份是分叉。"],
  TIME_IMPLAUSIBLE: ["DATA_LOSS", "The receipt's time is implausible.", "回执时间不合理。", "Compare the clocks.", "请核对双方时钟。"],
  STALE_SEAL: ["DATA_LOSS", "The receipt rests on a checkpoint that is too old.", "回执依据的检查点过旧。", "Call the provider.", "请联系提供方。"],
  GRANT_TAKEN: ["DATA_LOSS", "The receipt stands after the revocation of its grant.", "回执晚于授权撤销。", "Keep the evidence.", "请保留证据。"],
  RECEIPT_PROOF_INVALID: ["DATA_LOSS", "The receipt's proof does not verify.", "回执证明无效。", "Keep the evidence and call the provider.", "请保留证据，并联系提供方。"],
  EVIDENCE_INVALID: ["INVALID_ARGUMENT", "The evidence package is malformed, incomplete or proves something else.", "证据包格式错误、不完整或与所证不符。", "Ask for the package again; the step that failed is named.", "请重新索取证据包；消息中注明了失败的步骤。"],
  ACKNOWLEDGEMENT_INVALID: ["INVALID_ARGUMENT", "An acknowledgement does not verify or answers nothing that was sent.", "确认无效或与已发送内容不符。", "Keep it and report it to the consumer's operator.", "请保留该确认，并报告使用方运维人员。"],
  ACKNOWLEDGEMENT_OVERDUE: ["FAILED_PRECONDITION", "Too many receipts of this agency are unacknowledged.", "未确认的回执过多。", "Bring the consumer gateway back; it acknowledges by itself.", "请恢复使用方网关；它会自动确认。"],
  NO_ANSWER: ["UNAVAILABLE", "The provider's gateway went away without an answer.", "提供方网关中断，未作答复。", "Try again; a method that writes may have taken effect.", "请重试；写入类方法可能已经生效。"],
  PEER_LOST: ["UNAVAILABLE", "The other gateway went away.", "对端网关中断。", "Try again.", "请重试。"],
  BUSY: ["RESOURCE_EXHAUSTED", "The gateway is at a limit.", "网关繁忙。", "Slow down and try again.", "请放慢速度后重试。"],
  UPSTREAM_UNAVAILABLE: ["UNAVAILABLE", "The data service behind the provider's gateway cannot be reached.", "数据服务不可达。", "The provider checks its upstream.", "请提供方检查其上游服务。"],
  DEADLINE: ["DEADLINE_EXCEEDED", "The deadline passed.", "已超过截止时间。", "Allow more time.", "请留出更多时间。"],
  CANCELLED: ["CANCELLED", "The caller cancelled.", "调用方已取消。", "Nothing is left to do.", "无需处理。"],
  IDEMPOTENCY_MISMATCH: ["ABORTED", "The same idempotency key came with another request.", "同一幂等键对应不同请求。", "Use a new key.", "请使用新的幂等键。"],

  // Administration.
  CONFIG_INVALID: ["INVALID_ARGUMENT", "The configuration is not valid.", "配置无效。", "Correct the line that is named.", "请更正所指出的行。"],
  USAGE_INVALID: ["INVALID_ARGUMENT", "The command line is not right.", "命令行有误。", "Ask the command with --help what it takes.", "请用该命令的 --help 查看用法。"],
  LISTENER_FAILED: ["FAILED_PRECONDITION", "A listener cannot be opened.", "无法打开监听地址。", "Free the address, or give the listener another one in the configuration.", "请释放该地址，或在配置中换一个地址。"],
  KEY_LOCKED: ["FAILED_PRECONDITION", "The key file cannot be opened with this passphrase.", "无法用该口令打开密钥。", "Give the passphrase of the folder.", "请提供该目录的口令。"],
  CARD_INVALID: ["INVALID_ARGUMENT", "The public card is malformed or is not of these keys.", "公开卡片格式错误或与密钥不符。", "Send the card that init printed.", "请发送 init 输出的卡片。"],
  FOLDER_NOT_EMPTY: ["ALREADY_EXISTS", "The folder holds keys already.", "目录中已有密钥。", "Choose another folder: keys are never overwritten.", "请选择其他目录：密钥从不覆盖。"],
  GATEWAY_UNAVAILABLE: ["UNAVAILABLE", "The own gateway does not answer on its admin socket.", "本网关的管理套接字无应答。", "Start it with `causeway gateway run`, or check --admin.", "请用 `causeway gateway run` 启动网关，或检查 --admin。"],
  FILE_UNREADABLE: ["FAILED_PRECONDITION", "A file cannot be read.", "文件无法读取。", "Check the path and the permissions.", "请检查路径和权限。"],
  YEAR_NOT_PUBLISHED: ["FAILED_PRECONDITION", "The calendar on the ledger does not hold this year.", "账本上的日历未公布该年份。", "Have the network publish the year's calendar.", "请由本网络发布该年份的日历。"],
  FINDINGS: ["DATA_LOSS", "The replay found something wrong.", "重放发现问题。", "Read the findings.", "请查看发现的问题。"],
  INTERNAL: ["INTERNAL", "An unexpected error; the log has its cause under the error id.", "意外的内部错误；日志中以错误编号记有原因。", "Give the error id to the operator.", "请将错误编号告知运维人员。"],
} as const;

export type ReasonCode = keyof typeof rows;

export interface Reason {
  readonly code: ReasonCode;
  /** gRPC status code, 1 to 16. */
  readonly grpcCode: number;
  /** What it means. */
  readonly en: string;
  readonly zh: string;
  /** What to do. */
  readonly next: string;
  readonly nextZh: string;
}

const table: Readonly<Record<ReasonCode, Row>> = rows;

export const reasonCodes: readonly ReasonCode[] = Object.keys(table) as ReasonCode[];

/** The row of one reason code. */
export function reason(code: ReasonCode): Reason {
  const [status, en, zh, next, nextZh] = table[code];
  return { code, grpcCode: grpcCodes[status], en, zh, next, nextZh };
}

/** Whether `text` is a reason code of this release. */
export function isReasonCode(text: string): text is ReasonCode {
  return Object.hasOwn(table, text);
}
