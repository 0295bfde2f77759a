// Load on one chain at a time: a stock grpc-go client that keeps a fixed number of unary calls in flight on one
// connection. It takes the loads that its parent sends, one after the other.
//
//	grpc-client -method /package.Service/Method -request BASE64
package main

import (
	"context"
	"encoding/base64"
	"flag"
	"fmt"
	"log"
	"strconv"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"causeway.invalid/bench/lines"
	"causeway.invalid/bench/rawcodec"
	"causeway.invalid/bench/tally"
)

const callTimeout = 30 * time.Second

// Names as in bench/load.ts, whose questions and figures these are.
type load struct {
	Target          string      `json:"target"`
	InFlight        int         `json:"inFlight"`
	WarmUpSeconds   float64     `json:"warmUpSeconds"`
	MeasuredSeconds float64     `json:"measuredSeconds"`
	Metadata        [][2]string `json:"metadata"`
}

type figures struct {
	InFlight           int            `json:"inFlight"`
	Exchanges          int            `json:"exchanges"`
	ExchangesPerSecond float64        `json:"exchangesPerSecond"`
	P50Ms              float64        `json:"p50Ms"`
	P99Ms              float64        `json:"p99Ms"`
	MaxMs              float64        `json:"maxMs"`
	MeasuredSeconds    float64        `json:"measuredSeconds"`
	ExchangesInAll     int            `json:"exchangesInAll"`
	Errors             map[string]int `json:"errors"`
}

func main() {
	method := flag.String("method", "", "path of the unary method")
	encoded := flag.String("request", "", "the request's message, base64")
	flag.Parse()
	request, err := base64.StdEncoding.DecodeString(*encoded)
	if err != nil || *method == "" {
		log.Fatal("-method PATH and -request BASE64 are needed")
	}
	lines.Serve(0, func(l load) (figures, error) { return run(l, *method, request) })
}

func run(l load, method string, request []byte) (figures, error) {
	connection, err := grpc.NewClient(
		// No resolver and no proxy of the environment between the client and the first hop.
		"passthrough:///"+l.Target,
		grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithNoProxy(),
		grpc.WithDefaultCallOptions(grpc.ForceCodecV2(rawcodec.Codec)),
	)
	if err != nil {
		return figures{}, fmt.Errorf("no client for %s: %w", l.Target, err)
	}
	defer connection.Close()
	pairs := metadata.MD{}
	for _, pair := range l.Metadata {
		pairs.Append(pair[0], pair[1])
	}
	withMetadata := metadata.NewOutgoingContext(context.Background(), pairs)
	call := func() string {
		ctx, cancel := context.WithTimeout(withMetadata, callTimeout)
		defer cancel()
		var answer []byte
		err := connection.Invoke(ctx, method, &request, &answer)
		if err == nil {
			return ""
		}
		return strconv.Itoa(int(status.Code(err)))
	}
	nothing := func() {}
	measured := tally.Run(tally.Load{
		Loops:    l.InFlight,
		WarmUp:   seconds(l.WarmUpSeconds),
		Measured: seconds(l.MeasuredSeconds),
	}, call, nothing, nothing)
	return figures{
		InFlight:           l.InFlight,
		Exchanges:          measured.Count,
		ExchangesPerSecond: float64(measured.Count) / measured.Seconds,
		P50Ms:              measured.P50Ms,
		P99Ms:              measured.P99Ms,
		MaxMs:              measured.MaxMs,
		MeasuredSeconds:    measured.Seconds,
		ExchangesInAll:     measured.InAll,
		Errors:             measured.Errors,
	}, nil
}

func seconds(count float64) time.Duration {
	return time.Duration(count * float64(time.Second))
}
