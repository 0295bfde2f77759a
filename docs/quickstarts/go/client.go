package main

import (
	"context"
	"fmt"
	"log"
	"os"

	"causeway.invalid/quickstart/divisionv1"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
)

func main() {
	connection, err := grpc.NewClient(os.Args[1], grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		log.Fatal(err)
	}
	client, request := divisionv1.NewDivisionServiceClient(connection), &divisionv1.GetDivisionRequest{Code: "330106"}
	// What the call is for goes in metadata: purpose, and the case that it belongs to.
	ctx := metadata.AppendToOutgoingContext(context.Background(), "causeway-purpose", "trial", "causeway-case", "case-2026-001")
	var trailers metadata.MD
	response, err := client.GetDivision(ctx, request, grpc.Trailer(&trailers))
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(response.Division.Name)
	fmt.Println("exchange", trailers.Get("causeway-exchange-id")[0])
	fmt.Println("receipt", trailers.Get("causeway-receipt")[0])
	_, err = client.GetDivision(metadata.AppendToOutgoingContext(context.Background(), "causeway-purpose", "curiosity"), request)
	for _, detail := range status.Convert(err).Details() {
		if info, ok := detail.(*errdetails.ErrorInfo); ok {
			fmt.Println("refused", info.Reason)
		}
	}
}
