import causeway.demo.v1.DivisionOuterClass.GetDivisionRequest;
import causeway.demo.v1.DivisionServiceGrpc;
import com.google.rpc.ErrorInfo;
import io.grpc.ManagedChannelBuilder;
import io.grpc.Metadata;
import io.grpc.StatusRuntimeException;
import io.grpc.protobuf.StatusProto;
import io.grpc.stub.MetadataUtils;
import java.util.concurrent.atomic.AtomicReference;

public class Client {
  static Metadata.Key<String> key(String name) {
    return Metadata.Key.of(name, Metadata.ASCII_STRING_MARSHALLER);
  }

  public static void main(String[] arguments) throws Exception {
    var channel = ManagedChannelBuilder.forTarget(arguments[0]).usePlaintext().build();
    var headers = new Metadata();
    var trailers = new AtomicReference<Metadata>();
    var stub = DivisionServiceGrpc.newBlockingStub(channel).withInterceptors(
        MetadataUtils.newAttachHeadersInterceptor(headers),
        MetadataUtils.newCaptureMetadataInterceptor(new AtomicReference<>(), trailers));
    var request = GetDivisionRequest.newBuilder().setCode("330106").build();
    // What the call is for goes in metadata: purpose, and the case that it belongs to.
    headers.put(key("causeway-purpose"), "trial");
    headers.put(key("causeway-case"), "case-2026-001");
    System.out.println(stub.getDivision(request).getDivision().getName());
    System.out.println("exchange " + trailers.get().get(key("causeway-exchange-id")));
    System.out.println("receipt " + trailers.get().get(key("causeway-receipt")));
    headers.discardAll(key("causeway-purpose"));
    headers.put(key("causeway-purpose"), "curiosity");
    try {
      stub.getDivision(request);
    } catch (StatusRuntimeException error) {
      for (var detail : StatusProto.fromThrowable(error).getDetailsList())
        if (detail.is(ErrorInfo.class)) System.out.println("refused " + detail.unpack(ErrorInfo.class).getReason());
    }
  }
}
