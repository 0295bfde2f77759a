"""Calls a data service of another agency through the own gateway, with stock grpcio stubs."""
import sys

import grpc
from google.rpc import error_details_pb2
from grpc_status import rpc_status

from causeway.demo.v1 import division_pb2, division_pb2_grpc

stub = division_pb2_grpc.DivisionServiceStub(grpc.insecure_channel(sys.argv[1]))
request = division_pb2.GetDivisionRequest(code="330106")

# What the call is for goes in metadata: purpose, and the case that it belongs to.
metadata = [("causeway-purpose", "trial"), ("causeway-case", "case-2026-001")]
response, call = stub.GetDivision.with_call(request, metadata=metadata, timeout=10)
trailers = dict(call.trailing_metadata())
print(response.division.name)
print("exchange", trailers["causeway-exchange-id"])
print("receipt", trailers["causeway-receipt"])

try:
    stub.GetDivision(request, metadata=[("causeway-purpose", "curiosity")], timeout=10)
except grpc.RpcError as error:
    for detail in rpc_status.from_call(error).details:
        info = error_details_pb2.ErrorInfo()
        if detail.Unpack(info):
            print("refused", info.reason)
