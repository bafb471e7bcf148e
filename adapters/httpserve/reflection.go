package httpserve

import (
	"bytes"
	"compress/gzip"
	"errors"
	"io"
	"slices"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	reflectpb "google.golang.org/grpc/reflection/grpc_reflection_v1"
	reflectalphapb "google.golang.org/grpc/reflection/grpc_reflection_v1alpha"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"

	"godwit.dev/adapters/httpserve/oippb"
)

// described is a generated message, which has its file's descriptor, compressed.
type described interface {
	Descriptor() (file []byte, path []int)
	ProtoReflect() protoreflect.Message
}

// describedFiles has a message of each file of the services here. None of them
// imports another.
func describedFiles() []described {
	//lint:ignore SA1019 older tools ask in the deprecated version
	return []described{&oippb.ServerLiveRequest{}, &healthpb.HealthCheckRequest{}, &reflectpb.ExtensionRequest{}, &reflectalphapb.ExtensionRequest{}}
}

// reflectionDesc is gRPC's reflection for the services here. It is not
// grpc-go's, which makes messages of descriptors again: linking that costs
// every start a fifth of all package initialisation. Here a file is sent as it
// was generated. version is v1 or v1alpha, which are the same on the wire.
func reflectionDesc(version string) *grpc.ServiceDesc {
	return &grpc.ServiceDesc{
		ServiceName: "grpc.reflection." + version + ".ServerReflection",
		Streams:     []grpc.StreamDesc{{StreamName: "ServerReflectionInfo", Handler: reflection, ServerStreams: true, ClientStreams: true}},
		Metadata:    "grpc/reflection/" + version + "/reflection.proto",
	}
}

// reflection answers one stream of questions.
func reflection(_ any, stream grpc.ServerStream) error {
	for {
		in := &reflectpb.ServerReflectionRequest{}
		if err := stream.RecvMsg(in); errors.Is(err, io.EOF) {
			return nil
		} else if err != nil {
			return err
		}
		out := &reflectpb.ServerReflectionResponse{ValidHost: in.Host, OriginalRequest: in}
		if err := describe(in, out); err != nil {
			if status.Code(err) != codes.NotFound {
				return err
			}
			out.MessageResponse = &reflectpb.ServerReflectionResponse_ErrorResponse{ErrorResponse: &reflectpb.ErrorResponse{
				ErrorCode: int32(codes.NotFound), ErrorMessage: status.Convert(err).Message(),
			}}
		}
		if err := stream.SendMsg(out); err != nil {
			return err
		}
	}
}

// describe puts the answer to in into out. A NotFound error is part of the
// answer, others end the stream.
func describe(in *reflectpb.ServerReflectionRequest, out *reflectpb.ServerReflectionResponse) error {
	switch ask := in.MessageRequest.(type) {
	case *reflectpb.ServerReflectionRequest_ListServices:
		list := &reflectpb.ListServiceResponse{}
		for _, name := range serviceNames() {
			list.Service = append(list.Service, &reflectpb.ServiceResponse{Name: name})
		}
		out.MessageResponse = &reflectpb.ServerReflectionResponse_ListServicesResponse{ListServicesResponse: list}
		return nil
	case *reflectpb.ServerReflectionRequest_FileByFilename:
		return describeFile(ask.FileByFilename, out)
	case *reflectpb.ServerReflectionRequest_FileContainingSymbol:
		path, err := fileOf(ask.FileContainingSymbol)
		if err != nil {
			return err
		}
		return describeFile(path, out)
	case *reflectpb.ServerReflectionRequest_FileContainingExtension:
		return status.Errorf(codes.NotFound, "no message has extensions")
	case *reflectpb.ServerReflectionRequest_AllExtensionNumbersOfType:
		if _, err := fileOf(ask.AllExtensionNumbersOfType); err != nil {
			return err
		}
		out.MessageResponse = &reflectpb.ServerReflectionResponse_AllExtensionNumbersResponse{
			AllExtensionNumbersResponse: &reflectpb.ExtensionNumberResponse{BaseTypeName: ask.AllExtensionNumbersOfType},
		}
		return nil
	}
	return status.Errorf(codes.InvalidArgument, "want a question of reflection, got a message without any")
}

// fileOf is the path of the file that declares a service, method, message, field or enum.
func fileOf(symbol string) (string, error) {
	d, err := protoregistry.GlobalFiles.FindDescriptorByName(protoreflect.FullName(symbol))
	if err != nil {
		return "", status.Errorf(codes.NotFound, "want a name of the services here, got %.200q", symbol)
	}
	return d.ParentFile().Path(), nil
}

func describeFile(path string, out *reflectpb.ServerReflectionResponse) error {
	for _, m := range describedFiles() {
		if m.ProtoReflect().Descriptor().ParentFile().Path() != path {
			continue
		}
		packed, _ := m.Descriptor()
		unpacked, err := gzip.NewReader(bytes.NewReader(packed))
		if err != nil {
			return status.Errorf(codes.Internal, "%s: %v", path, err)
		}
		file, err := io.ReadAll(unpacked)
		if err != nil {
			return status.Errorf(codes.Internal, "%s: %v", path, err)
		}
		out.MessageResponse = &reflectpb.ServerReflectionResponse_FileDescriptorResponse{
			FileDescriptorResponse: &reflectpb.FileDescriptorResponse{FileDescriptorProto: [][]byte{file}},
		}
		return nil
	}
	return status.Errorf(codes.NotFound, "want a file of the services here, got %.200q", path)
}

// serviceNames are the services of the described files, sorted.
func serviceNames() []string {
	var names []string
	for _, m := range describedFiles() {
		services := m.ProtoReflect().Descriptor().ParentFile().Services()
		for i := range services.Len() {
			names = append(names, string(services.Get(i).FullName()))
		}
	}
	slices.Sort(names)
	return names
}
