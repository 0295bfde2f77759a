// Command descriptors writes the descriptor set of gRPC services, as the generated code of the programs
// under test carries it: the named services' files with everything that they import.
package main

import (
	"fmt"
	"os"
	"strings"

	_ "go.etcd.io/etcd/api/v3/etcdserverpb"
	_ "google.golang.org/grpc/interop/grpc_testing"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protodesc"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"
	"google.golang.org/protobuf/types/descriptorpb"
)

func main() {
	if len(os.Args) < 2 {
		fmt.Fprintln(os.Stderr, "usage: descriptors SERVICE... > FILE")
		os.Exit(2)
	}
	if err := write(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// Some files are registered by their last name alone and imported by their whole path.
func registered(path string) (protoreflect.FileDescriptor, error) {
	found, err := protoregistry.GlobalFiles.FindFileByPath(path)
	if err == nil {
		return found, nil
	}
	protoregistry.GlobalFiles.RangeFiles(func(file protoreflect.FileDescriptor) bool {
		if strings.HasSuffix(path, "/"+file.Path()) {
			found, err = file, nil
		}
		return err != nil
	})
	return found, err
}

func write(services []string) error {
	set := &descriptorpb.FileDescriptorSet{}
	seen := map[string]bool{}
	var add func(path string) error
	add = func(path string) error {
		if seen[path] {
			return nil
		}
		seen[path] = true
		file, err := registered(path)
		if err != nil {
			return fmt.Errorf("%s: %w", path, err)
		}
		imports := file.Imports()
		for i := range imports.Len() {
			if err := add(imports.Get(i).Path()); err != nil {
				return err
			}
		}
		content := protodesc.ToFileDescriptorProto(file)
		content.Name = &path
		set.File = append(set.File, content)
		return nil
	}
	for _, name := range services {
		found, err := protoregistry.GlobalFiles.FindDescriptorByName(protoreflect.FullName(name))
		if err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		if err := add(found.ParentFile().Path()); err != nil {
			return err
		}
	}
	bytes, err := proto.MarshalOptions{Deterministic: true}.Marshal(set)
	if err != nil {
		return err
	}
	_, err = os.Stdout.Write(bytes)
	return err
}
