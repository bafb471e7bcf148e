// Command fn-server serves a function on the container platform that it runs on.
package main

import "godwit.dev/fn/server"

func main() { server.Main(nil) }
