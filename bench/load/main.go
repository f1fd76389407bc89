// Command load puts a site under traffic of every kind, checks each answer, and prints what it saw as one JSON
// object.
//
//	load -url http://127.0.0.1:8080 -get /fast,/slow -post /fast/echo -stream /fast -socket /socket -time 10s
//
// Without -time it runs until its standard input closes. On standard error it writes one line per event, for those
// who must wait for one: "ready" once every client has had an answer, "version PATH N UNIX_NS" at the first answer of
// each version of a page, and "closed PATH CODE" when the server closes a WebSocket.
//
// The pages under test say their version in the header X-Version or as the body. Versions are integers that only
// grow, and once anyone has received a newer one, no request sent after that may get an older one. bench/site is a
// site of such pages.
package main

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"log"
	"net/url"
	"os"
	"os/signal"
	"strings"
	"sync"
	"syscall"
	"time"
)

// Load is one run against one site.
type Load struct {
	host    string        // host:port of the site
	think   time.Duration // each client's pause between two exchanges
	every   time.Duration // at least this long from one exchange of a client to its next
	timeout time.Duration // for one exchange, beyond the time it takes by its own pace

	slowly time.Duration // between two chunks of a slow body

	versions *Versions
	tally    *Tally
	clients  sync.WaitGroup
	waiting  sync.WaitGroup // clients that have not had an answer
}

func NewLoad(host string) *Load {
	return &Load{host: host, timeout: 30 * time.Second, slowly: 50 * time.Millisecond, versions: NewVersions(), tally: NewTally()}
}

// Plan is how many clients of which kind ask for which paths.
type Plan struct {
	get, post, stream, socket                  string
	keep, fresh, head, posts, streams, sockets int
}

func main() {
	log.SetFlags(0)
	log.SetPrefix("load: ")
	var plan Plan
	flag.StringVar(&plan.get, "get", "/fast", "`paths` to GET and HEAD, separated by commas; the clients share them")
	flag.StringVar(&plan.post, "post", "", "`path` that echoes the body of a POST")
	flag.StringVar(&plan.stream, "stream", "", "`path` above /upload, /download and /echo")
	flag.StringVar(&plan.socket, "socket", "", "`path` of a WebSocket that echoes")
	flag.IntVar(&plan.keep, "keep", 12, "GET clients on keep-alive connections")
	flag.IntVar(&plan.fresh, "fresh", 4, "GET clients with a new connection for each request")
	flag.IntVar(&plan.head, "head", 1, "HEAD clients")
	flag.IntVar(&plan.posts, "posts", 2, "POST clients")
	flag.IntVar(&plan.streams, "streams", 1, "clients of slow uploads and downloads, about 2 s each")
	flag.IntVar(&plan.sockets, "sockets", 1, "WebSocket clients")
	base := flag.String("url", "http://127.0.0.1:8080", "the `URL` of the site")
	length := flag.Duration("time", 0, "how long to run; 0: until standard input closes")
	rate := flag.Float64("rate", 0, "at most so many requests per second and client; 0: no limit")
	think := flag.Duration("think", 0, "pause of each client between two requests")
	timeout := flag.Duration("timeout", 30*time.Second, "for one request")
	anyVersion := flag.Bool("any-version", false, "let versions go back, as after a rollback")
	together := flag.Bool("together", false, "the pages change their versions as one")
	flag.Parse()

	site, err := url.Parse(*base)
	if err != nil || site.Scheme != "http" || site.Port() == "" || flag.NArg() > 0 {
		log.Fatal("want -url http://HOST:PORT and flags, see -help")
	}
	l := NewLoad(site.Host)
	l.think, l.timeout = *think, *timeout
	l.versions.mayFall, l.versions.together = *anyVersion, *together
	if *rate > 0 {
		l.every = time.Duration(float64(time.Second) / *rate)
	}
	begun := time.Now()
	l.run(plan, stopper(*length))
	result := l.tally.Result()
	result.Seconds = time.Since(begun).Seconds()
	result.FirstAnswers = l.versions.FirstAnswers()
	if err := json.NewEncoder(os.Stdout).Encode(result); err != nil {
		log.Fatal(err)
	}
}

// run starts all clients and returns when the last one has ended.
func (l *Load) run(plan Plan, stop context.Context) {
	paths := strings.Split(plan.get, ",")
	for i := range plan.keep {
		l.start(func(c *Client) { c.keepAlive(stop, "keep", "GET", paths[i%len(paths)]) })
	}
	for i := range plan.fresh {
		l.start(func(c *Client) { c.fresh(stop, paths[i%len(paths)]) })
	}
	for i := range plan.head {
		l.start(func(c *Client) { c.keepAlive(stop, "head", "HEAD", paths[i%len(paths)]) })
	}
	for _, kind := range []struct {
		path    string
		clients int
		run     func(*Client, context.Context, string)
	}{
		{plan.post, plan.posts, (*Client).post},
		{plan.stream, plan.streams, (*Client).stream},
		{plan.socket, plan.sockets, (*Client).socket},
	} {
		for i := 0; kind.path != "" && i < kind.clients; i++ {
			l.start(func(c *Client) { kind.run(c, stop, kind.path) })
		}
	}
	go func() {
		l.waiting.Wait()
		fmt.Fprintln(os.Stderr, "ready")
	}()
	l.clients.Wait()
}

// stopper ends after length or, if that is 0, at the end of standard input; in any case at SIGINT and SIGTERM.
func stopper(length time.Duration) context.Context {
	stop, cancel := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	if length > 0 {
		time.AfterFunc(length, cancel)
		return stop
	}
	go func() {
		io.Copy(io.Discard, os.Stdin)
		cancel()
	}()
	return stop
}
