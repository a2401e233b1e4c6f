// Command echo is the application of the cluster tests, and stands in for the image that the Gateway API's mesh conformance
// manifests name, which no package registry serves. Called as `client` it sends requests and prints them in the text form
// that the conformance suite reads (conformance/utils/echo/parse.go); called as anything else it serves HTTP/1.1, h2c, TLS,
// TCP and gRPC and answers with what it saw. Written from that parser and those manifests.
package main

import (
	"os"
	"path/filepath"
	"strings"
)

// list is a flag that may be given several times.
type list []string

func (l *list) String() string     { return strings.Join(*l, ",") }
func (l *list) Set(v string) error { *l = append(*l, v); return nil }

func main() {
	if filepath.Base(os.Args[0]) == "client" {
		client(os.Args[1:])
		return
	}
	server(os.Args[1:])
}
