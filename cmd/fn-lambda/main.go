// Command fn-lambda serves a function on AWS Lambda.
package main

import "godwit.dev/fn/lambda"

func main() { lambda.Main(nil) }
