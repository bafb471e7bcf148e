//lint:file-ignore SA1019 older tools ask in the deprecated version

package httpserve_test

import (
	"errors"
	"io"
	"testing"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/grpc/codes"
	reflectpb "google.golang.org/grpc/reflection/grpc_reflection_v1"
	reflectalphapb "google.golang.org/grpc/reflection/grpc_reflection_v1alpha"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protodesc"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"
	"google.golang.org/protobuf/testing/protocmp"
	"google.golang.org/protobuf/types/descriptorpb"
)

// A tool that knows nothing but reflection learns every service as it was
// generated, in one stream.
func TestReflectionDescribes(t *testing.T) {
	s := start(t, nil, nil, nil)
	stream, err := reflectpb.NewServerReflectionClient(s.dial()).ServerReflectionInfo(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	ask := func(q *reflectpb.ServerReflectionRequest) *reflectpb.ServerReflectionResponse {
		t.Helper()
		q.Host = "here"
		if err := stream.Send(q); err != nil {
			t.Fatal(err)
		}
		r, err := stream.Recv()
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(q, r.OriginalRequest, protocmp.Transform()); diff != "" || r.ValidHost != "here" {
			t.Errorf("host %q, question (-want +got):\n%s", r.ValidHost, diff)
		}
		return r
	}
	symbol := func(name string) *reflectpb.ServerReflectionRequest {
		return &reflectpb.ServerReflectionRequest{MessageRequest: &reflectpb.ServerReflectionRequest_FileContainingSymbol{FileContainingSymbol: name}}
	}
	list := ask(&reflectpb.ServerReflectionRequest{MessageRequest: &reflectpb.ServerReflectionRequest_ListServices{}}).GetListServicesResponse()
	if len(list.GetService()) != 4 {
		t.Fatalf("want 4 services, got %v", list)
	}
	names := []string{"inference.GRPCInferenceService.ModelInfer", "inference.ModelInferRequest.InferInputTensor", "inference.DataType", "inference.ModelInferRequest.id"}
	for _, service := range list.Service {
		names = append(names, service.Name)
	}
	for _, name := range names {
		d, err := protoregistry.GlobalFiles.FindDescriptorByName(protoreflect.FullName(name))
		if err != nil {
			t.Fatal(err)
		}
		path := d.ParentFile().Path()
		byPath := &reflectpb.ServerReflectionRequest{MessageRequest: &reflectpb.ServerReflectionRequest_FileByFilename{FileByFilename: path}}
		for _, q := range []*reflectpb.ServerReflectionRequest{symbol(name), byPath} {
			files := ask(q).GetFileDescriptorResponse().GetFileDescriptorProto()
			if len(files) != 1 {
				t.Fatalf("%s: want one file, got %d", name, len(files))
			}
			got := &descriptorpb.FileDescriptorProto{}
			if err := proto.Unmarshal(files[0], got); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(protodesc.ToFileDescriptorProto(d.ParentFile()), got, protocmp.Transform()); diff != "" {
				t.Errorf("%s (-want +got):\n%s", name, diff)
			}
			if len(got.Dependency) != 0 {
				t.Errorf("%s imports %q, which a caller would have to be sent too", path, got.Dependency)
			}
		}
	}

	extensions := func(of string) *reflectpb.ServerReflectionRequest {
		return &reflectpb.ServerReflectionRequest{MessageRequest: &reflectpb.ServerReflectionRequest_AllExtensionNumbersOfType{AllExtensionNumbersOfType: of}}
	}
	none := ask(extensions("inference.ModelInferRequest")).GetAllExtensionNumbersResponse()
	if none.GetBaseTypeName() != "inference.ModelInferRequest" || len(none.ExtensionNumber) != 0 {
		t.Errorf("want no extensions, got %v", none)
	}
	for _, q := range []*reflectpb.ServerReflectionRequest{
		symbol("inference.Nothing"), symbol(""), symbol("\x00"),
		symbol("google.protobuf.FileDescriptorProto"), // linked here, but of no service
		extensions("inference.Nothing"),
		{MessageRequest: &reflectpb.ServerReflectionRequest_FileByFilename{FileByFilename: "../../etc/passwd"}},
		{MessageRequest: &reflectpb.ServerReflectionRequest_FileContainingExtension{FileContainingExtension: &reflectpb.ExtensionRequest{ContainingType: "inference.ModelInferRequest", ExtensionNumber: 7}}},
	} {
		if got := ask(q).GetErrorResponse(); codes.Code(got.GetErrorCode()) != codes.NotFound || got.ErrorMessage == "" {
			t.Errorf("%v: want NotFound and why, got %v", q, got)
		}
	}
	if err := stream.Send(&reflectpb.ServerReflectionRequest{}); err != nil {
		t.Fatal(err)
	}
	if _, err := stream.Recv(); status.Code(err) != codes.InvalidArgument {
		t.Errorf("no question: want InvalidArgument, got %v", err)
	}
}

// Older tools ask in the first version.
func TestReflectionInItsFirstVersion(t *testing.T) {
	s := start(t, nil, nil, nil)
	stream, err := reflectalphapb.NewServerReflectionClient(s.dial()).ServerReflectionInfo(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	q := &reflectalphapb.ServerReflectionRequest{Host: "here", MessageRequest: &reflectalphapb.ServerReflectionRequest_FileContainingSymbol{FileContainingSymbol: "inference.GRPCInferenceService"}}
	if err := stream.Send(q); err != nil {
		t.Fatal(err)
	}
	r, err := stream.Recv()
	if err != nil {
		t.Fatal(err)
	}
	file := &descriptorpb.FileDescriptorProto{}
	if err := proto.Unmarshal(r.GetFileDescriptorResponse().GetFileDescriptorProto()[0], file); err != nil {
		t.Fatal(err)
	}
	if file.GetPackage() != "inference" || r.ValidHost != "here" || !proto.Equal(q, r.OriginalRequest) {
		t.Errorf("got package %q, host %q, question %v", file.GetPackage(), r.ValidHost, r.OriginalRequest)
	}
	if err := stream.CloseSend(); err != nil {
		t.Fatal(err)
	}
	if _, err := stream.Recv(); !errors.Is(err, io.EOF) {
		t.Errorf("after the last question: want EOF, got %v", err)
	}
}
