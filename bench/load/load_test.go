package main

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// site is a server that does what a test wants, and ends the load after so many calls of done.
type site struct {
	*httptest.Server
	load *Load
	stop context.Context
	left atomic.Int64
	end  context.CancelFunc
}

func newSite(t *testing.T, answers int64, handler http.HandlerFunc) *site {
	t.Helper()
	s := &site{}
	s.left.Store(answers)
	s.stop, s.end = context.WithTimeout(context.Background(), 20*time.Second)
	s.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if s.left.Add(-1) <= 0 {
			s.end()
		}
		handler(w, r)
	}))
	s.load = NewLoad(strings.TrimPrefix(s.URL, "http://"))
	s.load.timeout, s.load.slowly = 5*time.Second, 100*time.Microsecond
	t.Cleanup(s.Close)
	t.Cleanup(s.end)
	return s
}

// run drives one client to its end and returns what was counted.
func (s *site) run(client func(*Client)) Result {
	s.load.start(client)
	s.load.clients.Wait()
	return s.load.tally.Result()
}

func (s *site) keepAlive() Result {
	return s.run(func(c *Client) { c.keepAlive(s.stop, "keep", "GET", "/") })
}

func TestGoodAnswersAreCountedOnOneConnection(t *testing.T) {
	clients := map[string]bool{}
	s := newSite(t, 50, func(w http.ResponseWriter, r *http.Request) {
		clients[r.RemoteAddr] = true
		io.WriteString(w, "7\n")
	})
	got := s.keepAlive()
	if got.Requests["keep"] != 50 || got.Failed != 0 || got.ServerCloses != 0 || got.Latency["keep"]["max"] <= 0 {
		t.Fatalf("%+v", got)
	}
	if first := s.load.versions.FirstAnswers(); first["/"]["7"] == 0 {
		t.Fatalf("first answers: %v", first)
	}
	if len(clients) != 1 {
		t.Fatalf("%d connections", len(clients))
	}
}

func TestAnswersThatAreFailures(t *testing.T) {
	for name, c := range map[string]struct {
		handler http.HandlerFunc
		what    string
	}{
		"another status": {func(w http.ResponseWriter, r *http.Request) { w.WriteHeader(502) }, "502 Bad Gateway"},
		"a short body": {func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Length", "10")
			io.WriteString(w, "7\n")
		}, "200, then 2 bytes: unexpected EOF"},
		"a cut chunked body": {func(w http.ResponseWriter, r *http.Request) {
			io.WriteString(w, "7\n")
			w.(http.Flusher).Flush()
			panic(http.ErrAbortHandler)
		}, "200, then 2 bytes: unexpected EOF"},
		"none":       {func(w http.ResponseWriter, r *http.Request) { panic(http.ErrAbortHandler) }, "no answer: unexpected EOF"},
		"no version": {func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, "hello") }, "no version"},
		"two versions": {func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("X-Version", "8")
			io.WriteString(w, "7\n")
		}, "X-Version 8 with the body of version 7"},
	} {
		t.Run(name, func(t *testing.T) {
			got := newSite(t, 1, c.handler).keepAlive()
			if got.Failed != 1 || got.Failures["keep"] != 1 || !strings.Contains(got.FirstFailures[0].What, c.what) {
				t.Fatalf("%+v, want %q", got, c.what)
			}
		})
	}
}

func TestASilentServerIsATimeout(t *testing.T) {
	s := newSite(t, 1, func(w http.ResponseWriter, r *http.Request) { <-r.Context().Done() })
	s.load.timeout = 20 * time.Millisecond
	if got := s.keepAlive(); got.Failed != 1 || got.FirstFailures[0].What != "no answer: timeout" {
		t.Fatalf("%+v", got)
	}
}

func TestNobodyListeningIsAFailureOfEveryKind(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	listener.Close()
	l := NewLoad(listener.Addr().String())
	stop, cancel := context.WithTimeout(context.Background(), 50*time.Millisecond)
	defer cancel()
	l.start(func(c *Client) { c.keepAlive(stop, "keep", "GET", "/") })
	l.start(func(c *Client) { c.fresh(stop, "/") })
	l.start(func(c *Client) { c.post(stop, "/") })
	l.start(func(c *Client) { c.stream(stop, "/") })
	l.start(func(c *Client) { c.socket(stop, "/") })
	l.clients.Wait()
	got := l.tally.Result()
	for _, kind := range []string{"keep", "fresh", "post", "upload", "socket"} {
		if got.Failures[kind] == 0 {
			t.Errorf("no failure of %s in %+v", kind, got.Failures)
		}
	}
	if len(got.FailedIDs) != got.Failures["post"] {
		t.Errorf("%d ids of %d failed posts", len(got.FailedIDs), got.Failures["post"])
	}
}

func TestAnOldAnswerAfterANewOneIsFound(t *testing.T) {
	var calls atomic.Int64
	versions := []string{"", "1", "1", "2", "1", "2"}
	s := newSite(t, 5, func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, versions[calls.Add(1)]) })
	got := s.keepAlive()
	if got.Stale != 1 || got.Failed != 1 || !strings.Contains(got.FirstFailures[0].What, "version 1, in answer to a request sent after version 2") {
		t.Fatalf("%+v", got)
	}
}

func TestARequestThatWasUnderWayMayStillGetTheOldAnswer(t *testing.T) {
	versions := NewVersions()
	versions.Saw("/", 1, versions.Newest("/"))
	early := versions.Newest("/")
	if err := versions.Saw("/", 2, versions.Newest("/")); err != nil {
		t.Fatal(err)
	}
	if err := versions.Saw("/", 1, early); err != nil {
		t.Fatalf("sent before the new answer: %v", err)
	}
	if err := versions.Saw("/", 1, versions.Newest("/")); err == nil {
		t.Fatal("sent after the new answer, and nothing said")
	}
	if err := versions.Saw("/other", 1, versions.Newest("/other")); err != nil {
		t.Fatalf("versions of another page: %v", err)
	}
	versions.together = true
	if err := versions.Saw("/other", 1, versions.Newest("/other")); err == nil {
		t.Fatal("an old version of another page of the set is no error")
	}
	versions.mayFall = true
	if err := versions.Saw("/", 1, versions.Newest("/")); err != nil {
		t.Fatalf("versions may fall: %v", err)
	}
}

func TestConnectionsThatTheServerClosesAreCountedAndAreNoFailures(t *testing.T) {
	s := newSite(t, 10, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Connection", "close")
		io.WriteString(w, "7\n")
	})
	if got := s.keepAlive(); got.Failed != 0 || got.ServerCloses != 10 {
		t.Fatalf("announced: %+v", got)
	}

	s = newSite(t, 10, func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, "7\n") })
	c := &Client{Load: s.load}
	if err := c.connected(); err != nil {
		t.Fatal(err)
	}
	if _, err := c.askVersion(c.conn, []byte("GET / HTTP/1.1\r\nHost: x\r\n\r\n"), "GET", "/"); err != nil {
		t.Fatal(err)
	}
	s.CloseClientConnections()
	for deadline := time.Now().Add(10 * time.Second); !c.conn.closed(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("the close was not noticed")
		}
	}
	if err := c.connected(); err != nil || c.conn.closed() || s.load.tally.Result().ServerCloses != 1 {
		t.Fatalf("unannounced: %v, %+v", err, s.load.tally.Result())
	}
	c.hangUp()
}

func TestAPostIsEchoedUnderItsOwnID(t *testing.T) {
	ids := map[string]bool{}
	s := newSite(t, 30, func(w http.ResponseWriter, r *http.Request) {
		ids[r.Header.Get("X-Id")] = true
		body, _ := io.ReadAll(r.Body)
		w.Write(body)
	})
	if got := s.run(func(c *Client) { c.post(s.stop, "/echo") }); got.Failed != 0 || len(ids) != got.Requests["post"] {
		t.Fatalf("%d ids, %+v", len(ids), got)
	}
}

func TestAWrongEchoIsAFailureWithItsID(t *testing.T) {
	var id string
	s := newSite(t, 1, func(w http.ResponseWriter, r *http.Request) {
		id = r.Header.Get("X-Id")
		body, _ := io.ReadAll(r.Body)
		body[len(body)-1] ^= 1
		w.Write(body)
	})
	got := s.run(func(c *Client) { c.post(s.stop, "/echo") })
	if len(got.FailedIDs) != 1 || got.FailedIDs[0] != id || got.FirstFailures[0].ID != id {
		t.Fatalf("id %s, %+v", id, got)
	}
}

func TestSlowBodiesAreChecked(t *testing.T) {
	s := newSite(t, 1000, func(w http.ResponseWriter, r *http.Request) { io.Copy(io.Discard, r.Body); io.WriteString(w, "7") })
	for kind, exchange := range map[string]func(*Client, string) error{
		"upload": (*Client).upload, "download": (*Client).download, "duplex": (*Client).duplex,
	} {
		c := &Client{Load: s.load, begun: func() {}}
		if err := c.connected(); err != nil {
			t.Fatal(err)
		}
		if err := exchange(c, "/slow"); err == nil {
			t.Errorf("%s: a wrong body was taken", kind)
		}
		c.hangUp()
	}
}

// sockets is a server whose WebSockets run until serve returns.
func sockets(t *testing.T, serve func(c net.Conn, r *bufio.Reader)) *site {
	t.Helper()
	return newSite(t, 2, func(w http.ResponseWriter, r *http.Request) {
		conn, stream, err := http.NewResponseController(w).Hijack()
		if err != nil {
			t.Error(err)
			return
		}
		defer conn.Close()
		fmt.Fprintf(conn, "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: %s\r\n\r\n",
			accept(r.Header.Get("Sec-WebSocket-Key")))
		serve(conn, stream.Reader)
	})
}

func TestASocketThatTheServerClosesIsRecordedAndOpenedAgain(t *testing.T) {
	s := sockets(t, func(conn net.Conn, r *bufio.Reader) {
		conn.Write([]byte{0x80 | opPing, 0, 0x80 | opClose, 5, 0x03, 0xe9, 'b', 'y', 'e'})
		io.Copy(io.Discard, r)
	})
	got := s.run(func(c *Client) { c.socket(s.stop, "/") })
	if got.Failed != 0 || len(got.SocketCloses) != 2 || got.SocketCloses[0].Code != 1001 || got.SocketCloses[0].Reason != "bye" {
		t.Fatalf("%+v", got)
	}
}

func TestASocketThatBreaksOffOrEchoesWronglyIsAFailure(t *testing.T) {
	s := sockets(t, func(conn net.Conn, r *bufio.Reader) {})
	if got := s.run(func(c *Client) { c.socket(s.stop, "/") }); got.Failures["socket"] != 2 || len(got.SocketCloses) != 0 {
		t.Fatalf("broken off: %+v", got)
	}
	s = sockets(t, func(conn net.Conn, r *bufio.Reader) {
		conn.Write([]byte{0x80 | opText, 2, 'h', 'i'})
		io.Copy(io.Discard, r)
	})
	if got := s.run(func(c *Client) { c.socket(s.stop, "/") }); got.Failures["socket"] != 2 || !strings.Contains(got.FirstFailures[0].What, `got "hi" back`) {
		t.Fatalf("wrong echo: %+v", got)
	}
}

func TestQuantilesAreWithinThreePercent(t *testing.T) {
	var h Histogram
	for i := 1; i <= 10000; i++ {
		h.Add(time.Duration(i) * time.Microsecond)
	}
	for q, want := range map[float64]float64{0.5: 5, 0.9: 9, 0.99: 9.9, 0.999: 9.99} {
		if got := h.Quantile(q); got < want*0.97 || got > want*1.035 {
			t.Errorf("quantile %v is %v ms, want %v", q, got, want)
		}
	}
	if got := h.Quantile(1); got != 10 {
		t.Errorf("the largest is %v ms", got)
	}
}
