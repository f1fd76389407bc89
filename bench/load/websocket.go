package main

import (
	"bufio"
	"context"
	"crypto/rand"
	"crypto/sha1"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"time"
)

const (
	opText  = 1
	opClose = 8
	opPing  = 9
	opPong  = 10

	socketEvery = 50 * time.Millisecond
)

// socketClosed is a close frame of the server.
type socketClosed struct {
	code   int
	reason string
}

func (e *socketClosed) Error() string { return fmt.Sprintf("closed with %d %q", e.code, e.reason) }

// socket keeps a WebSocket open and sends a message each 50 ms, which must come back. A close frame is recorded and
// is no failure, and a new socket follows; an end without a close frame is a failure.
func (c *Client) socket(stop context.Context, path string) {
	for number := 1; stop.Err() == nil; number++ {
		sent := time.Now()
		err := c.echoed(path, fmt.Sprintf("message %d", number))
		if closed := (*socketClosed)(nil); errors.As(err, &closed) {
			c.tally.SocketClosed(closed.code, closed.reason)
			fmt.Fprintf(os.Stderr, "closed %s %d\n", path, closed.code)
			c.hangUp()
			continue
		}
		c.tally.Count("socket", "", time.Since(sent), err)
		if err != nil {
			c.hangUp()
		} else {
			c.begun()
		}
		wait(stop, socketEvery)
	}
	if c.conn != nil {
		writeFrame(c.conn, opClose, []byte{0x03, 0xe8}) // 1000, normal closure
	}
}

// echoed sends one message and waits until it is back, on a new socket if none is open.
func (c *Client) echoed(path, message string) error {
	if c.conn == nil {
		if err := c.openSocket(path); err != nil {
			return err
		}
	}
	c.conn.limit(c.timeout)
	if err := writeFrame(c.conn, opText, []byte(message)); err != nil {
		// The server may have said why it closed before it did.
		if _, _, readErr := c.message(); readErr != nil {
			err = readErr
		}
		return err
	}
	opcode, got, err := c.message()
	if err != nil {
		return err
	}
	if opcode != opText || string(got) != message {
		return fmt.Errorf("sent %q, got %q back", message, got)
	}
	return nil
}

// openSocket does the handshake of RFC 6455 section 4.
func (c *Client) openSocket(path string) error {
	conn, err := c.dial()
	if err != nil {
		return err
	}
	conn.limit(c.timeout)
	c.conn = conn
	nonce := make([]byte, 16)
	rand.Read(nonce)
	key := base64.StdEncoding.EncodeToString(nonce)
	_, err = fmt.Fprintf(conn, "GET %s HTTP/1.1\r\nHost: %s\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"+
		"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: %s\r\n\r\n", path, c.host, key)
	if err != nil {
		return describe("handshake not sent", err)
	}
	response, err := http.ReadResponse(conn.answers, &http.Request{Method: "GET"})
	if err != nil {
		return describe("no answer to the handshake", err)
	}
	accepted := response.Header.Get("Sec-WebSocket-Accept")
	if response.StatusCode != http.StatusSwitchingProtocols || accepted != accept(key) {
		return fmt.Errorf("handshake: %s, Sec-WebSocket-Accept %q", response.Status, accepted)
	}
	return nil
}

// accept is the answer to a Sec-WebSocket-Key (RFC 6455 section 4.2.2).
func accept(key string) string {
	sum := sha1.Sum([]byte(key + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"))
	return base64.StdEncoding.EncodeToString(sum[:])
}

// message returns the next text or binary message. It answers pings; a close frame is a socketClosed error.
func (c *Client) message() (opcode byte, message []byte, err error) {
	for {
		opcode, message, err = readFrame(c.conn.answers)
		switch {
		case err != nil:
			return 0, nil, describe("the socket broke off", err)
		case opcode == opPing:
			if err := writeFrame(c.conn, opPong, message); err != nil {
				return 0, nil, describe("no pong", err)
			}
		case opcode == opPong:
		case opcode == opClose:
			closed := &socketClosed{code: 1005} // RFC 6455 section 7.1.5: a close frame without a code
			if len(message) >= 2 {
				closed.code, closed.reason = int(binary.BigEndian.Uint16(message)), string(message[2:])
			}
			writeFrame(c.conn, opClose, message)
			return 0, nil, closed
		default:
			return opcode, message, nil
		}
	}
}

// readFrame reads one frame of a server: unmasked, not fragmented, at most 65535 bytes (RFC 6455 section 5.2).
func readFrame(stream *bufio.Reader) (opcode byte, message []byte, err error) {
	var head [2]byte
	if _, err = io.ReadFull(stream, head[:]); err != nil {
		return 0, nil, err
	}
	if head[0]&0xf0 != 0x80 || head[1] > 126 {
		return 0, nil, fmt.Errorf("a frame with the head %x", head)
	}
	length := int(head[1])
	if length == 126 {
		var extended [2]byte
		if _, err = io.ReadFull(stream, extended[:]); err != nil {
			return 0, nil, err
		}
		length = int(binary.BigEndian.Uint16(extended[:]))
	}
	message = make([]byte, length)
	_, err = io.ReadFull(stream, message)
	return head[0] & 0x0f, message, err
}

// writeFrame writes one masked frame of at most 125 bytes, in one piece.
func writeFrame(stream io.Writer, opcode byte, message []byte) error {
	frame := []byte{0x80 | opcode, 0x80 | byte(len(message))}
	mask := make([]byte, 4)
	rand.Read(mask)
	frame = append(frame, mask...)
	for i, b := range message {
		frame = append(frame, b^mask[i%4])
	}
	_, err := stream.Write(frame)
	return err
}
