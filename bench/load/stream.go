package main

import (
	"bytes"
	"cmp"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	mathrand "math/rand/v2"
	"time"
)

// streamChunks are in each slow body.
const streamChunks = 40

// stream takes turns: a slow upload, a slow download, and both at once in one exchange. Whole exchanges like these
// outlast a switch, so they show whether running ones are left in peace. Each has a connection of its own, because a
// proxy may well end the connection of a request that was answered before it was complete.
func (c *Client) stream(stop context.Context, path string) {
	c.begun() // an answer takes 2 s; nobody shall wait so long for "ready"
	turns := []struct {
		kind string
		run  func(string) error
	}{
		{"upload", c.upload}, {"download", c.download}, {"duplex", c.duplex},
	}
	for i := 0; stop.Err() == nil; i++ {
		turn := turns[i%len(turns)]
		sent := time.Now()
		err := c.connected()
		if err == nil {
			c.conn.limit(c.timeout + streamChunks*c.slowly)
			err = turn.run(path)
		}
		c.tally.Count(turn.kind, "", time.Since(sent), err)
		c.hangUp()
		if err != nil {
			wait(stop, afterFailure)
		}
	}
}

// upload sends a slow body and wants its SHA-256.
func (c *Client) upload(path string) error {
	body, err := c.sendSlowly(path + "/upload")
	if err != nil {
		return err
	}
	answer, err := c.conn.answer("POST")
	if err != nil {
		return err
	}
	if sum := sha256.Sum256(body); hex.EncodeToString(sum[:]) != string(answer.body) {
		return fmt.Errorf("the upload of %d bytes did not arrive as sent: %.80q", len(body), answer.body)
	}
	return nil
}

// download asks for a slow body, whose SHA-256 follows it in a trailer, or goes ahead in a header.
func (c *Client) download(path string) error {
	if _, err := fmt.Fprintf(c.conn, "GET %s/download?chunks=%d&every=%v HTTP/1.1\r\nHost: %s\r\n\r\n", path, streamChunks, c.slowly, c.host); err != nil {
		return describe("not sent", err)
	}
	answer, err := c.conn.answer("GET")
	if err != nil {
		return err
	}
	told := cmp.Or(answer.Trailer.Get("X-Sha256"), answer.Header.Get("X-Sha256"))
	if sum := sha256.Sum256(answer.body); hex.EncodeToString(sum[:]) != told {
		return fmt.Errorf("the download of %d bytes did not arrive as sent, X-Sha256 %q", len(answer.body), told)
	}
	return nil
}

// duplex sends a slow body and reads its echo at the same time.
func (c *Client) duplex(path string) error {
	type echo struct {
		answer *Answer
		err    error
	}
	conn := c.conn
	echoed := make(chan echo, 1)
	go func() {
		answer, err := conn.answer("POST")
		echoed <- echo{answer, err}
	}()
	body, err := c.sendSlowly(path + "/echo")
	if err != nil {
		conn.Close()
		<-echoed
		return err
	}
	got := <-echoed
	if got.err != nil {
		return got.err
	}
	return same(body, got.answer.body)
}

// sendSlowly posts a random chunked body at its pace and returns it.
func (c *Client) sendSlowly(path string) ([]byte, error) {
	_, err := fmt.Fprintf(c.conn, "POST %s HTTP/1.1\r\nHost: %s\r\nTransfer-Encoding: chunked\r\n\r\n", path, c.host)
	if err != nil {
		return nil, describe("not sent", err)
	}
	var body bytes.Buffer
	chunk := make([]byte, 4<<10)
	for range streamChunks {
		part := chunk[:1+mathrand.IntN(len(chunk))]
		rand.Read(part)
		body.Write(part)
		if _, err := fmt.Fprintf(c.conn, "%x\r\n%s\r\n", len(part), part); err != nil {
			return nil, describe(fmt.Sprintf("cut after %d bytes of the upload", body.Len()), err)
		}
		time.Sleep(c.slowly)
	}
	if _, err := fmt.Fprint(c.conn, "0\r\n\r\n"); err != nil {
		return nil, describe("cut at the end of the upload", err)
	}
	return body.Bytes(), nil
}
