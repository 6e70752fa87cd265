// A generator of HTTP/1.1 load: one thread with one epoll, a closed loop or an open one whose rate may change, and a
// JSON document of what was answered and how fast. The figures come from no library, so that nothing but the kernel
// stands between the server and the time stamps.
package main

import (
	"encoding/json"
	"flag"
	"fmt"
	"math/rand"
	"net"
	"net/netip"
	"net/url"
	"os"
	"os/signal"
	"runtime"
	"runtime/debug"
	"strings"
	"syscall"
	"time"
)

type options struct {
	connections int
	duration    time.Duration
	warmup      time.Duration
	timeout     time.Duration
	maxLate     time.Duration
	interval    time.Duration
	number      uint64
	fresh       bool
	poll        bool
}

const usage = `usage: load [flags] http://HOST:PORT/PATH

Sends requests on kept-alive connections, each with at most one in flight, and prints a JSON document.
Without -rate or -steps the loop is closed: a connection sends its next request when it has its answer.

  load -connections 16 -duration 10s -body row.json http://127.0.0.1:8080/predict
  load -rate 1000 -duration 1m -body row.json -out load.json http://127.0.0.1:8080/predict
  load -steps 10s@5000,20s@50000,10s@5000 -connections 500 -max-late 1s -series -body row.json URL
  load -number 10000000 -connections 16 -body-lines rows.jsonl -progress -interval 10s URL

What the document means:
  latency   from the moment a request was due to its complete answer. In an open loop a request that found all
            connections busy was due before it was sent (no coordinated omission); one that this program sent late
            although a connection was free counts from its sending.
  service   from the sending to the complete answer.
  unsent    due, but never sent: later than -max-late, or waiting when the time was over.
  errors    requests without an answer, and refused connections, by reason. A connection that the server closes between
            two requests is opened again and is no error.
  generatorCpuShare   of one core; near 1 the generator was the limit, not the server.

SIGTERM or Ctrl-C ends it early, with the document. Exit code: 0 measured, 1 measured but -expect does not hold, 2 not measured.

flags:
`

type list []string

func (l *list) String() string         { return strings.Join(*l, ", ") }
func (l *list) Set(value string) error { *l = append(*l, value); return nil }

func main() {
	code, err := run(os.Args[1:])
	if err != nil {
		fmt.Fprintln(os.Stderr, "error:", err)
	}
	os.Exit(code)
}

func run(arguments []string) (int, error) {
	var want wanted
	var opts options
	set := flag.NewFlagSet("load", flag.ContinueOnError)
	set.Usage = func() { fmt.Fprint(set.Output(), usage); set.PrintDefaults() }
	set.IntVar(&opts.connections, "connections", 16, "`N` connections")
	set.DurationVar(&opts.duration, "duration", 10*time.Second, "how long, after the warm-up")
	set.DurationVar(&opts.warmup, "warmup", 0, "sends this long before anything is counted")
	set.Uint64Var(&opts.number, "number", 0, "ends after `N` requests, the warm-up's included (default: after -duration; with it -duration is 24h)")
	rate := set.Float64("rate", 0, "open loop: `R` requests a second")
	steps := set.String("steps", "", "open loop in `STAGES` of duration@rate, for example 10s@5000,20s@25000 (instead of -rate and -duration)")
	poisson := set.Bool("poisson", false, "random gaps in the open loop instead of equal ones")
	seed := set.Int64("seed", 1, "of the random gaps")
	set.DurationVar(&opts.maxLate, "max-late", 0, "open loop: gives up a request that found no free connection for this long (default: never)")
	set.DurationVar(&opts.timeout, "timeout", 10*time.Second, "of one request; its connection is closed")
	set.BoolVar(&opts.fresh, "fresh", false, "a new connection for each request, which asks the server to close it")
	set.BoolVar(&opts.poll, "poll", false, "never sleeps: for a generator that has a core of its own (waking a client on the same machine costs the server)")
	set.StringVar(&want.method, "method", "", "(default POST with a body, else GET)")
	set.Var((*list)(&want.headers), "header", "`'name: value'`; may be repeated")
	set.StringVar(&want.headerLines, "header-lines", "", "`FILE` with a header a line; each request has one of them in turn")
	set.Var((*list)(&want.bodies), "body", "`FILE` that is the body; may be repeated: in turn")
	set.StringVar(&want.bodyLines, "body-lines", "", "`FILE` with a body a line, in turn")
	set.StringVar(&want.mediaType, "content-type", "application/json", "of the bodies")
	set.DurationVar(&opts.interval, "interval", time.Second, "of -progress and -series")
	progress := set.Bool("progress", false, "a line on stderr each -interval")
	series := set.Bool("series", false, "the figures of each -interval in the document")
	out := set.String("out", "", "`FILE` for the document (default stdout)")
	expect := set.Int("expect", 0, "exit with 1 if any answer has another `STATUS` or is missing")
	if err := set.Parse(arguments); err != nil {
		if err == flag.ErrHelp {
			return 0, nil
		}
		return 2, nil
	}
	if set.NArg() != 1 {
		return 2, fmt.Errorf("give one URL; see -help")
	}
	stages := []stage{{opts.duration, *rate}}
	if *steps != "" {
		var err error
		if stages, err = parseStages(*steps); err != nil {
			return 2, err
		}
		opts.duration = 0
		for _, each := range stages {
			opts.duration += each.length
		}
	}
	if given := isSet(set, "duration"); opts.number > 0 && !given && *steps == "" {
		opts.duration = 24 * time.Hour
		stages[0].length = opts.duration
	}
	if opts.connections < 1 || opts.duration <= 0 || opts.interval <= 0 || *rate < 0 {
		return 2, fmt.Errorf("-connections, -duration and -interval have to be positive, -rate not negative")
	}
	address, err := target(set.Arg(0), &want)
	if err != nil {
		return 2, err
	}
	if opts.fresh {
		want.headers = append(want.headers, "connection: close")
	}
	made, err := newRequests(want)
	if err != nil {
		return 2, err
	}
	var random *rand.Rand
	if *poisson {
		random = rand.New(rand.NewSource(*seed))
	}
	if opts.warmup > 0 {
		stages[0].length += opts.warmup // the first rate is that of the warm-up
	}
	runtime.LockOSThread()
	debug.SetGCPercent(400)
	start := time.Now()
	one := &loop{
		options: opts, address: address, requests: made, counts: newCounts(),
		schedule: newSchedule(stages, start, random),
		progress: func(done interval) {
			if *progress {
				fmt.Fprintf(os.Stderr, "%7.1fs  %v  errors %d  unsent %d  p50 %.2f ms  p99 %.2f ms\n",
					done.EndSeconds, done.Status, done.Errors, done.Unsent, done.P50Seconds*1e3, done.P99Seconds*1e3)
			}
		},
	}
	asked := make(chan os.Signal, 1)
	signal.Notify(asked, syscall.SIGINT, syscall.SIGTERM)
	go func() {
		<-asked
		one.stopped.Store(true)
	}()
	took, cpu, err := one.run(start)
	if err != nil {
		return 2, err
	}
	found := one.counts.result(took, cpu, *series)
	if err := write(*out, found); err != nil {
		return 2, err
	}
	if *expect != 0 && (found.Unsent > 0 || len(found.Errors) > 0 || found.Answered == 0 ||
		found.Status[fmt.Sprint(*expect)] != found.Answered) {
		return 1, fmt.Errorf("not every request was answered with %d: %v, errors %v, unsent %d",
			*expect, found.Status, found.Errors, found.Unsent)
	}
	return 0, nil
}

func isSet(set *flag.FlagSet, name string) (found bool) {
	set.Visit(func(each *flag.Flag) { found = found || each.Name == name })
	return found
}

// target completes want by what the URL says, and resolves its host.
func target(text string, want *wanted) (netip.AddrPort, error) {
	parsed, err := url.Parse(text)
	if err != nil {
		return netip.AddrPort{}, err
	}
	if parsed.Scheme != "http" || parsed.Port() == "" {
		return netip.AddrPort{}, fmt.Errorf("%q is no http URL with a port", text)
	}
	want.host, want.path = parsed.Host, parsed.RequestURI()
	if want.method == "" {
		want.method = "GET"
		if len(want.bodies) > 0 || want.bodyLines != "" {
			want.method = "POST"
		}
	}
	resolved, err := net.ResolveTCPAddr("tcp", parsed.Host)
	if err != nil {
		return netip.AddrPort{}, err
	}
	address := resolved.AddrPort()
	return netip.AddrPortFrom(address.Addr().Unmap(), address.Port()), raiseFileLimit()
}

// raiseFileLimit allows as many connections as the machine does.
func raiseFileLimit() error {
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		return err
	}
	limit.Cur = limit.Max
	return syscall.Setrlimit(syscall.RLIMIT_NOFILE, &limit)
}

func write(file string, found result) error {
	text, err := json.MarshalIndent(found, "", "  ")
	if err != nil {
		return err
	}
	if file == "" {
		_, err = os.Stdout.Write(append(text, '\n'))
		return err
	}
	return os.WriteFile(file, append(text, '\n'), 0o644)
}
