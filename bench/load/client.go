package main

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	mathrand "math/rand/v2"
	"sync"
	"time"
)

// afterFailure is a client's pause after a failed exchange, so that a site that is down is not stormed.
const afterFailure = 10 * time.Millisecond

// Client does one exchange after the other.
type Client struct {
	*Load
	conn  *Conn  // kept open between exchanges; nil if none is
	begun func() // says that this client has had an answer
}

// start runs a client; run returns when the client shall end.
func (l *Load) start(run func(*Client)) {
	l.clients.Add(1)
	l.waiting.Add(1)
	go func() {
		defer l.clients.Done()
		c := &Client{Load: l, begun: sync.OnceFunc(l.waiting.Done)}
		run(c)
		c.hangUp()
	}()
}

// repeat does exchanges of one kind at the client's pace until stop. An exchange that has begun is always finished.
func (c *Client) repeat(stop context.Context, kind string, exchange func() (id string, err error)) {
	if c.every > 0 { // begin at any moment of the beat: clients in step would be a series of bursts
		wait(stop, mathrand.N(c.every))
	}
	for stop.Err() == nil {
		sent := time.Now()
		id, err := exchange()
		took := time.Since(sent)
		c.tally.Count(kind, id, took, err)
		pause := max(c.think, c.every-took)
		if err != nil {
			c.hangUp()
			pause = max(pause, afterFailure)
		} else {
			c.begun()
		}
		wait(stop, pause)
	}
}

func wait(stop context.Context, pause time.Duration) {
	if pause <= 0 {
		return
	}
	select {
	case <-stop.Done():
	case <-time.After(pause):
	}
}

// connected makes sure that there is an open connection: the one of the last exchange if it lives, else a new one.
func (c *Client) connected() error {
	if c.conn != nil && c.conn.closed() {
		c.tally.ServerClosed()
		c.hangUp()
	}
	if c.conn == nil {
		conn, err := c.dial()
		if err != nil {
			return err
		}
		c.conn = conn
	}
	c.conn.limit(c.timeout)
	return nil
}

func (c *Client) hangUp() {
	if c.conn != nil {
		c.conn.Close()
		c.conn = nil
	}
}

// keepAlive asks for a page's version, all on one connection for as long as the server keeps it open.
func (c *Client) keepAlive(stop context.Context, kind, method, path string) {
	request := fmt.Appendf(nil, "%s %s HTTP/1.1\r\nHost: %s\r\n\r\n", method, path, c.host)
	c.repeat(stop, kind, func() (string, error) {
		if err := c.connected(); err != nil {
			return "", err
		}
		answer, err := c.askVersion(c.conn, request, method, path)
		c.keep(answer)
		return "", err
	})
}

// fresh asks for a page's version, on a new connection each time.
func (c *Client) fresh(stop context.Context, path string) {
	request := fmt.Appendf(nil, "GET %s HTTP/1.1\r\nHost: %s\r\nConnection: close\r\n\r\n", path, c.host)
	c.repeat(stop, "fresh", func() (string, error) {
		conn, err := c.dial()
		if err != nil {
			return "", err
		}
		defer conn.Close()
		conn.limit(c.timeout)
		_, err = c.askVersion(conn, request, "GET", path)
		return "", err
	})
}

// askVersion does one exchange and checks the version in the answer.
func (l *Load) askVersion(conn *Conn, request []byte, method, path string) (*Answer, error) {
	newest := l.versions.Newest(path)
	if _, err := conn.Write(request); err != nil {
		return nil, describe("not sent", err)
	}
	answer, err := conn.answer(method)
	if err != nil {
		return nil, err
	}
	version, err := versionOf(answer.Header, answer.body)
	if err != nil {
		return answer, err
	}
	return answer, l.versions.Saw(path, version, newest)
}

// keep leaves the connection open for the next exchange unless the answer says that it ends.
func (c *Client) keep(answer *Answer) {
	if answer != nil && answer.Close {
		c.tally.ServerClosed()
		c.hangUp()
	}
}

// post sends 1 byte to 64 KiB under an X-Id of its own and wants them back. A request that may have left is never
// sent again, so that the ids tell what became of each.
func (c *Client) post(stop context.Context, path string) {
	name := make([]byte, 6)
	rand.Read(name)
	block := make([]byte, 64<<10)
	rand.Read(block)
	number := 0
	c.repeat(stop, "post", func() (string, error) {
		number++
		id := fmt.Sprintf("%x-%d", name, number)
		if err := c.connected(); err != nil {
			return id, err
		}
		start := mathrand.IntN(len(block))
		body := block[start : start+1+mathrand.IntN(len(block)-start)]
		var request bytes.Buffer
		fmt.Fprintf(&request, "POST %s HTTP/1.1\r\nHost: %s\r\nX-Id: %s\r\nContent-Length: %d\r\n\r\n", path, c.host, id, len(body))
		request.Write(body)
		if _, err := c.conn.Write(request.Bytes()); err != nil {
			return id, describe("not sent whole", err)
		}
		answer, err := c.conn.answer("POST")
		if err != nil {
			return id, err
		}
		c.keep(answer)
		return id, same(body, answer.body)
	})
}

// same compares what was sent with what came back.
func same(sent, got []byte) error {
	if len(sent) != len(got) {
		return fmt.Errorf("sent %d bytes, got %d back", len(sent), len(got))
	}
	if want, is := sha256.Sum256(sent), sha256.Sum256(got); want != is {
		return fmt.Errorf("sent %d bytes with SHA-256 %s, got %s back", len(sent), hex.EncodeToString(want[:4]), hex.EncodeToString(is[:4]))
	}
	return nil
}
