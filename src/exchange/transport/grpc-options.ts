/** Options of every grpc-js channel and server of this project. */
import type { ChannelOptions } from "@grpc/grpc-js";
import {
  grpcMessageBytesMax,
  http2StreamWindowBytes,
  keepaliveMs,
  keepaliveTimeoutMs,
} from "../../base/limits.ts";

const shared: ChannelOptions = {
  "grpc.max_receive_message_length": grpcMessageBytesMax,
  "grpc.max_send_message_length": grpcMessageBytesMax,
  "grpc.keepalive_time_ms": keepaliveMs,
  "grpc.keepalive_timeout_ms": keepaliveTimeoutMs,
  "grpc-node.flow_control_window": http2StreamWindowBytes,
  // Megabytes; the default of 10 drops streams under load.
  "grpc-node.max_session_memory": 256,
};

// A server keeps channelz: without it, grpc-js 1.14 forgets its sessions and `forceShutdown` ends none.
export const grpcServerOptions: ChannelOptions = shared;

export const grpcClientOptions: ChannelOptions = {
  ...shared,
  "grpc.enable_channelz": 0,
  "grpc.keepalive_permit_without_calls": 1,
  // A retry of ours is a new attempt with a record of its own.
  "grpc.enable_retries": 0,
  "grpc.service_config_disable_resolution": 1,
  "grpc.enable_http_proxy": 0,
  // A shared subchannel would outlive the certificates that it was opened with.
  "grpc.use_local_subchannel_pool": 1,
};
