package main

import (
	"bufio"
	"context"
	"crypto/tls"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/url"
	"os"
	"strconv"
	"strings"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"
	"google.golang.org/protobuf/types/known/wrapperspb"
)

// client sends --count requests to a URL (http, https, grpc), one after the other, each on a connection of its own unless
// --keep is set, --every so often; for --lasting, if that is set. Its status is 1 if a request had no answer.
func client(args []string) {
	var target string
	var rest []string
	for _, a := range args { // The URL may stand before the flags.
		if target == "" && strings.Contains(a, "://") {
			target = a
			continue
		}
		rest = append(rest, a)
	}
	flags := flag.NewFlagSet("client", flag.ExitOnError)
	var headers list
	flags.Var(&headers, "H", "header NAME:VALUE")
	method := flags.String("method", "GET", "HTTP method")
	count := flags.Int("count", 1, "how many requests")
	timeout := flags.Duration("timeout", 10*time.Second, "of one request")
	every := flags.Duration("every", 0, "pause between two requests")
	lasting := flags.Duration("lasting", 0, "send for that long, whatever --count says, and print one line of tallies")
	untilClosed := flags.Bool("until-closed", false, "with --lasting: no longer than standard input is open")
	watch := flags.Bool("watch", false, "with --lasting: a line for each answer, its time and its fields as JSON")
	keep := flags.Bool("keep", false, "keep the connection")
	flags.Parse(rest)
	u, err := url.Parse(target)
	if err != nil || u.Host == "" {
		log.Fatalf("bad URL %q", target)
	}
	h := &http.Client{Timeout: *timeout,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		Transport:     &http.Transport{DisableKeepAlives: !*keep, TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}}
	if *lasting > 0 && *watch {
		watchAnswers(h, target, *lasting, *every)
		return
	}
	if *lasting > 0 {
		tally(h, target, *lasting, *every, *untilClosed)
		return
	}
	failed := 0
	for i := range *count {
		var err error
		if u.Scheme == "grpc" {
			err = callGRPC(i, u, headers, *timeout)
		} else {
			err = callHTTP(i, h, target, *method, headers)
		}
		if err != nil {
			failed++
			fmt.Printf("[%d error] %v\n", i, err)
		}
		fmt.Println()
		time.Sleep(*every)
	}
	if failed > 0 {
		fmt.Fprintf(os.Stderr, "%d of %d requests failed\n", failed, *count)
		os.Exit(1)
	}
}

// tally is the load of the tests: statuses and errors are counted, and what is not a 200 is printed with its times, the
// first hundreds.
func tally(h *http.Client, target string, lasting, every time.Duration, untilClosed bool) {
	seen := map[string]int{}
	closed := make(chan struct{})
	if untilClosed {
		go func() { io.Copy(io.Discard, os.Stdin); close(closed) }()
	}
	told := 0
	tell := func(begun time.Time, what any) {
		if told++; told <= 300 {
			fmt.Printf("%s %4d ms: %v\n", begun.UTC().Format("15:04:05.000"), time.Since(begun).Milliseconds(), what)
		}
	}
	for end := time.Now().Add(lasting); time.Now().Before(end); {
		begun := time.Now()
		if status, body, err := get(h, target); err != nil {
			seen["failed"]++
			tell(begun, err)
		} else if seen[strconv.Itoa(status)]++; status != http.StatusOK {
			tell(begun, fmt.Sprintf("%d %.200q", status, body))
		}
		select {
		case <-closed:
			end = time.Now()
		case <-time.After(every):
		}
	}
	line := "tally"
	for name, count := range seen {
		line += fmt.Sprintf(" %s=%d", name, count)
	}
	fmt.Println(line)
}

// get is one request, its answer read to the end: an answer that is cut off is an error.
func get(h *http.Client, target string) (int, []byte, error) {
	response, err := h.Get(target)
	if err != nil {
		return 0, nil, err
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	return response.StatusCode, body, err
}

// watchAnswers tells each answer with the time at which it was there.
func watchAnswers(h *http.Client, target string, lasting, every time.Duration) {
	for end := time.Now().Add(lasting); time.Now().Before(end); time.Sleep(every) {
		fields := map[string]string{}
		response, err := h.Get(target)
		if err != nil {
			fields["Error"] = err.Error()
		} else {
			fields["Status"] = strconv.Itoa(response.StatusCode)
			for s := bufio.NewScanner(response.Body); s.Scan(); {
				name, value, _ := strings.Cut(s.Text(), "=")
				fields[name] = value
			}
			response.Body.Close()
		}
		line, _ := json.Marshal(fields)
		fmt.Printf("%.6f %s\n", float64(time.Now().UnixMicro())/1e6, line)
	}
}

func printBody(i int, r io.Reader) {
	for s := bufio.NewScanner(r); s.Scan(); {
		if line := s.Text(); line != "" {
			fmt.Printf("[%d body] %s\n", i, line)
		}
	}
}

func callHTTP(i int, h *http.Client, target, method string, headers list) error {
	request, err := http.NewRequest(method, target, nil)
	if err != nil {
		return err
	}
	for _, header := range headers {
		name, value, _ := strings.Cut(header, ":")
		if strings.EqualFold(name, "host") {
			request.Host = value
			continue
		}
		request.Header.Add(name, value)
	}
	fmt.Printf("[%d] Url=%s\n", i, target)
	response, err := h.Do(request)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	fmt.Printf("[%d] StatusCode=%d\n", i, response.StatusCode)
	for name, values := range response.Header {
		for _, value := range values {
			fmt.Printf("[%d] ResponseHeader=%s:%s\n", i, name, value)
		}
	}
	printBody(i, response.Body)
	return nil
}

func callGRPC(i int, u *url.URL, headers list, timeout time.Duration) error {
	ctx, cancel := context.WithTimeout(context.Background(), timeout)
	defer cancel()
	address := u.Host
	if u.Port() == "" {
		address += ":7070"
	}
	c, err := grpc.NewClient(address, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		return err
	}
	defer c.Close()
	for _, header := range headers {
		name, value, _ := strings.Cut(header, ":")
		ctx = metadata.AppendToOutgoingContext(ctx, name, value)
	}
	fmt.Printf("[%d] Url=%s\n", i, u)
	out := new(wrapperspb.StringValue)
	if err := c.Invoke(ctx, echoMethod, wrapperspb.String("request #"+strconv.Itoa(i)), out); err != nil {
		return err
	}
	printBody(i, strings.NewReader(out.Value))
	return nil
}
