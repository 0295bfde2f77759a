// The data service at the end of the chains that a Go client measures: every method is answered with one
// prepared message, on plaintext HTTP/2.
//
//	grpc-upstream -answer BASE64
package main

import (
	"encoding/base64"
	"flag"
	"log"
	"net"

	"google.golang.org/grpc"

	"causeway.invalid/bench/lines"
	"causeway.invalid/bench/rawcodec"
)

type nothing struct{}

func main() {
	encoded := flag.String("answer", "", "the answer's message, base64")
	flag.Parse()
	answer, err := base64.StdEncoding.DecodeString(*encoded)
	if err != nil || len(answer) == 0 {
		log.Fatal("-answer BASE64 is missing")
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		log.Fatal(err)
	}
	server := grpc.NewServer(
		grpc.ForceServerCodecV2(rawcodec.Codec),
		grpc.UnknownServiceHandler(func(_ any, stream grpc.ServerStream) error {
			var request []byte
			if err := stream.RecvMsg(&request); err != nil {
				return err
			}
			return stream.SendMsg(&answer)
		}),
	)
	go func() { log.Fatal(server.Serve(listener)) }()
	port := listener.Addr().(*net.TCPAddr).Port
	lines.Serve(port, func(nothing) (nothing, error) { return nothing{}, nil })
}
