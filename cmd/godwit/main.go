// Command godwit serves, checks and ships ONNX models.
package main

import "godwit.dev"

func main() { godwit.Main(nil) }
