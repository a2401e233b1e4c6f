package main

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"flag"
	"fmt"
	"io"
	"log"
	"math/big"
	"net"
	"net/http"
	"os"
	"os/signal"
	"slices"
	"sort"
	"strconv"
	"strings"
	"syscall"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/peer"
	"google.golang.org/protobuf/types/known/wrapperspb"
)

var host, _ = os.Hostname()

// server serves on all ports until SIGTERM; then it goes on for --linger, as a pod that is to be drained has to.
func server(args []string) {
	flags := flag.NewFlagSet("server", flag.ExitOnError)
	var ports, tlsPorts, tcpPorts, grpcPorts list
	flags.Var(&ports, "port", "HTTP port")
	flags.Var(&tlsPorts, "tls", "which of the HTTP ports speak TLS")
	flags.Var(&tcpPorts, "tcp", "TCP echo port")
	flags.Var(&grpcPorts, "grpc", "gRPC port")
	crt := flags.String("crt", "", "certificate; a self-signed one is made when the file is missing")
	key := flags.String("key", "", "its key")
	version := flags.String("version", "", "told as ServiceVersion")
	linger := flags.Duration("linger", 0, "how long to go on serving after SIGTERM")
	flags.Parse(args)
	// One of the manifests gives no flags at all and counts on these.
	for ports, port := range map[*list]string{&ports: "8080", &tcpPorts: "9090", &grpcPorts: "7070"} {
		if len(*ports) == 0 {
			*ports = list{port}
		}
	}
	certificate, err := tls.LoadX509KeyPair(*crt, *key)
	if err != nil {
		certificate = selfSigned()
	}
	failed := make(chan error)
	for _, port := range ports {
		go func() { failed <- serveHTTP(port, *version, slices.Contains(tlsPorts, port), certificate) }()
	}
	for _, port := range tcpPorts {
		go func() { failed <- serveTCP(port) }()
	}
	for _, port := range grpcPorts {
		go func() { failed <- serveGRPC(port, *version) }()
	}
	log.Printf("http %v tls %v tcp %v grpc %v", ports, tlsPorts, tcpPorts, grpcPorts)
	ended := make(chan os.Signal, 1)
	signal.Notify(ended, syscall.SIGTERM)
	select {
	case err := <-failed:
		log.Fatal(err)
	case <-ended:
		time.Sleep(*linger)
	}
}

func field(b *strings.Builder, name, value string) { fmt.Fprintf(b, "%s=%s\n", name, value) }

func serveHTTP(port, version string, overTLS bool, certificate tls.Certificate) error {
	s := &http.Server{Addr: ":" + port, Handler: answer(port, version), ReadHeaderTimeout: 30 * time.Second}
	s.Protocols = new(http.Protocols)
	s.Protocols.SetHTTP1(true)
	s.Protocols.SetUnencryptedHTTP2(true)
	s.Protocols.SetHTTP2(true)
	if overTLS {
		s.TLSConfig = &tls.Config{Certificates: []tls.Certificate{certificate}}
		return s.ListenAndServeTLS("", "")
	}
	return s.ListenAndServe()
}

// answer tells what was asked. ?codes=N answers with that status, ?delay=D after that time.
func answer(port, version string) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		query := r.URL.Query()
		if delay, err := time.ParseDuration(query.Get("delay")); err == nil {
			time.Sleep(delay)
		}
		var b strings.Builder
		field(&b, "ServiceVersion", version)
		field(&b, "ServicePort", port)
		field(&b, "Host", r.Host)
		field(&b, "URL", r.URL.RequestURI())
		field(&b, "Cluster", "")
		field(&b, "Method", r.Method)
		field(&b, "Proto", r.Proto)
		ip, _, _ := net.SplitHostPort(r.RemoteAddr)
		field(&b, "IP", ip)
		if r.TLS != nil {
			field(&b, "Alpn", r.TLS.NegotiatedProtocol)
		}
		names := make([]string, 0, len(r.Header))
		for name := range r.Header {
			names = append(names, name)
		}
		sort.Strings(names)
		for _, name := range names {
			for _, value := range r.Header[name] {
				field(&b, "RequestHeader", name+":"+value)
			}
		}
		field(&b, "Hostname", host)
		w.Header().Set("Content-Type", "text/plain")
		if code, err := strconv.Atoi(query.Get("codes")); err == nil && code >= 200 && code < 600 {
			w.WriteHeader(code)
		}
		io.WriteString(w, b.String())
	})
}

// serveTCP tells who it is and then says everything back.
func serveTCP(port string) error {
	listener, err := net.Listen("tcp", ":"+port)
	if err != nil {
		return err
	}
	for {
		c, err := listener.Accept()
		if err != nil {
			return err
		}
		go func() {
			defer c.Close()
			ip, _, _ := net.SplitHostPort(c.RemoteAddr().String())
			fmt.Fprintf(c, "StatusCode=200\nHostname=%s\nServicePort=%s\nIP=%s\n", host, port, ip)
			io.Copy(c, c)
		}()
	}
}

// echoMethod takes and gives a message with one string field of number 1, which on the wire is what StringValue is: no
// generated code is needed.
const echoMethod = "/proto.EchoTestService/Echo"

func serveGRPC(port, version string) error {
	listener, err := net.Listen("tcp", ":"+port)
	if err != nil {
		return err
	}
	echo := func(_ any, ctx context.Context, decode func(any) error, _ grpc.UnaryServerInterceptor) (any, error) {
		in := new(wrapperspb.StringValue)
		if err := decode(in); err != nil {
			return nil, err
		}
		var b strings.Builder
		field(&b, "StatusCode", "200")
		field(&b, "ServiceVersion", version)
		field(&b, "ServicePort", port)
		field(&b, "Echo", in.Value)
		sent, _ := metadata.FromIncomingContext(ctx)
		if authority := sent.Get(":authority"); len(authority) > 0 {
			field(&b, "Host", authority[0])
		}
		field(&b, "Proto", "GRPC")
		if from, ok := peer.FromContext(ctx); ok {
			ip, _, _ := net.SplitHostPort(from.Addr.String())
			field(&b, "IP", ip)
		}
		for name, values := range sent {
			for _, value := range values {
				field(&b, "RequestHeader", name+":"+value)
			}
		}
		field(&b, "Hostname", host)
		return wrapperspb.String(b.String()), nil
	}
	s := grpc.NewServer()
	s.RegisterService(&grpc.ServiceDesc{ServiceName: "proto.EchoTestService", HandlerType: (*any)(nil),
		Methods: []grpc.MethodDesc{{MethodName: "Echo", Handler: echo}}}, struct{}{})
	return s.Serve(listener)
}

func selfSigned() tls.Certificate {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		log.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "echo"},
		DNSNames: []string{"echo"}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(87600 * time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		log.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
}
