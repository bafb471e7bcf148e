// Command grpc is the floor of a gRPC server in Go: grpc-go with stream
// workers answers fixed bytes to every ModelInfer, decodes nothing, and does
// nothing else. Usage: grpc ADDRESS BYTES; it prints its address.
package main

import (
	"bytes"
	"context"
	"fmt"
	"log"
	"net"
	"os"
	"runtime"
	"strconv"

	"google.golang.org/grpc"
	"google.golang.org/grpc/mem"
)

func main() {
	size, err := strconv.Atoi(os.Args[2])
	if err != nil {
		log.Fatal(err)
	}
	ln, err := net.Listen("tcp", os.Args[1])
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(ln.Addr())
	answer := mem.BufferSlice{mem.SliceBuffer(bytes.Repeat([]byte("x"), size))}
	s := grpc.NewServer(grpc.NumStreamWorkers(uint32(2*runtime.GOMAXPROCS(0))), grpc.ForceServerCodecV2(raw{}), grpc.MaxRecvMsgSize(64<<20))
	infer := func(_ any, _ context.Context, receive func(any) error, _ grpc.UnaryServerInterceptor) (any, error) {
		return answer, receive(nil)
	}
	s.RegisterService(&grpc.ServiceDesc{ServiceName: "inference.GRPCInferenceService", HandlerType: (*any)(nil),
		Methods: []grpc.MethodDesc{{MethodName: "ModelInfer", Handler: infer}}}, nil)
	log.Fatal(s.Serve(ln))
}

// raw drops what arrives and sends the bytes that it is given.
type raw struct{}

func (raw) Name() string                           { return "proto" }
func (raw) Unmarshal(mem.BufferSlice, any) error   { return nil }
func (raw) Marshal(v any) (mem.BufferSlice, error) { return v.(mem.BufferSlice), nil }
