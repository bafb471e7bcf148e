// Command knative renders what an API server and Knative's webhook are to
// admit, and sends them what they are to refuse.
//
//	knative render DIR
//	knative deployment FILE.json
//	knative ask [-n N] [-c N] [-form N] ADDRESS FUNCTION
//	knative sink ADDRESS
//	knative hungry DIR
//	knative press [-c N] [-for TIME] URL
//	knative figures [-docs FILE] FIGURES [NAME=VERSION...]
//	knative kn -api URL -ca FILE -token TOKEN PROGRAM MANIFESTS
//	knative refused -api URL -ca FILE -token TOKEN GOLDEN REFUSED.yaml
package main

import (
	"flag"
	"fmt"
	"os"
)

func main() {
	a := api{}
	flags := flag.NewFlagSet("knative", flag.ExitOnError)
	flags.StringVar(&a.url, "api", "", "the API server")
	flags.StringVar(&a.ca, "ca", "", "the certificate to know it by")
	flags.StringVar(&a.token, "token", "", "who asks")
	var err error
	switch verb := append(os.Args, "")[1]; verb {
	case "render":
		err = renderAll(os.Args[2])
	case "deployment":
		err = podOf(os.Args[2])
	case "ask":
		err = askAll(os.Args[2:])
	case "sink":
		err = sink(os.Args[2])
	case "hungry":
		err = hungry(os.Args[2])
	case "press":
		err = press(os.Args[2:])
	case "figures":
		err = report(os.Args[2:])
	case "kn":
		if err = flags.Parse(os.Args[2:]); err == nil {
			err = knAll(&a, flags.Arg(0), flags.Arg(1))
		}
	case "refused":
		if err = flags.Parse(os.Args[2:]); err == nil {
			err = refusedAll(&a, flags.Arg(0), flags.Arg(1))
		}
	default:
		err = fmt.Errorf("want render, deployment, refused, ask, sink, kn, hungry, press or figures, got %q", verb)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}
