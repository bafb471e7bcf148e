// Command queues is what lies between a store's objects, a queue's messages and
// a function: it receives, hands over, and deletes what the function says is
// done, as each platform does. Objects and payloads go in, some of them bad; it
// fails unless every good one is scored once, as the function scores it online,
// and every bad one has been put aside. The servers run already; e2e/queues/run.sh
// starts them.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"syscall"
	"time"
)

// addresses are HOST:PORT of the servers, and files of programs.
type addresses struct {
	moto, gcs, pubsub, kafka      string
	blobs, queues                 string
	godwit                        string
	fnLambda, fnServer, kafkaTool string
	work, model                   string
}

func main() {
	var a addresses
	flag.StringVar(&a.moto, "moto", "", "moto's `address`: S3 and SQS")
	flag.StringVar(&a.gcs, "gcs", "", "fake-gcs-server's `address`")
	flag.StringVar(&a.pubsub, "pubsub", "", "the `address` of pstest's REST")
	flag.StringVar(&a.kafka, "kafka", "", "the broker's `address`")
	flag.StringVar(&a.blobs, "blobs", "", "Azurite's `address` for blobs")
	flag.StringVar(&a.queues, "queues", "", "Azurite's `address` for queues")
	flag.StringVar(&a.godwit, "godwit", "bin/godwit", "the `program`")
	flag.StringVar(&a.fnLambda, "fn-lambda", "bin/fn-lambda", "the function `binary` for Lambda")
	flag.StringVar(&a.fnServer, "fn-server", "bin/fn-server", "the function `binary` for the others")
	flag.StringVar(&a.kafkaTool, "kafka-tool", "", "the `program` of e2e/servers/kafka")
	flag.StringVar(&a.work, "work", "", "a `folder` for functions")
	flag.StringVar(&a.model, "model", "examples/digits/digits.onnx", "the digits `model`")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	flows := map[string]func(context.Context, *addresses) error{"sqs": sqs, "pubsub": pubsub, "azure": azure, "kafka": kafka, "split": split, "jobs": jobs}
	for _, name := range flag.Args() {
		begun := time.Now()
		flow := flows[name]
		if flow == nil {
			flow = func(context.Context, *addresses) error {
				return errors.New("want one of sqs, pubsub, azure, kafka, split and jobs")
			}
		}
		ctx, cancel := context.WithTimeout(ctx, 2*time.Minute)
		err := flow(ctx, &a)
		cancel()
		if err != nil {
			fmt.Fprintf(os.Stderr, "%s: %v\n", name, err)
			os.Exit(1)
		}
		fmt.Printf("%s: ok after %v\n", name, time.Since(begun).Round(100*time.Millisecond))
	}
}
