// Package rawcodec passes messages as the bytes that they are: no message of the benchmark is decoded.
package rawcodec

import (
	"fmt"

	"google.golang.org/grpc/encoding"
	"google.golang.org/grpc/mem"
)

// Codec takes and gives *[]byte. Its name is that of the encoding whose messages these are.
var Codec encoding.CodecV2 = codec{}

type codec struct{}

func (codec) Name() string { return "proto" }

func (codec) Marshal(message any) (mem.BufferSlice, error) {
	bytes, ok := message.(*[]byte)
	if !ok {
		return nil, fmt.Errorf("a message is %T, not *[]byte", message)
	}
	return mem.BufferSlice{mem.SliceBuffer(*bytes)}, nil
}

func (codec) Unmarshal(data mem.BufferSlice, message any) error {
	bytes, ok := message.(*[]byte)
	if !ok {
		return fmt.Errorf("a message is %T, not *[]byte", message)
	}
	*bytes = data.Materialize()
	return nil
}
