package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"syscall"
	"time"
)

// Conn is one connection to the site. Requests are written as bytes, so that what is on the wire is known exactly;
// answers are parsed by net/http.
type Conn struct {
	net.Conn
	answers *bufio.Reader
}

func (l *Load) dial() (*Conn, error) {
	conn, err := net.DialTimeout("tcp", l.host, l.timeout)
	if err != nil {
		return nil, err
	}
	return &Conn{conn, bufio.NewReaderSize(conn, 64<<10)}, nil
}

// Answer is one response with its whole body.
type Answer struct {
	*http.Response
	body []byte
}

// answer reads the response to a request of this method. A body that is shorter than announced is an error, and so
// is any status but 200.
func (c *Conn) answer(method string) (*Answer, error) {
	response, err := http.ReadResponse(c.answers, &http.Request{Method: method})
	if err != nil {
		return nil, describe("no answer", err)
	}
	body, err := io.ReadAll(response.Body)
	if err != nil {
		return nil, describe(fmt.Sprintf("%d, then %d bytes", response.StatusCode, len(body)), err)
	}
	if response.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("%s: %.200q", response.Status, body)
	}
	return &Answer{response, body}, nil
}

func describe(what string, err error) error {
	if timeout := net.Error(nil); errors.As(err, &timeout) && timeout.Timeout() {
		return fmt.Errorf("%s: timeout", what)
	}
	return fmt.Errorf("%s: %w", what, err)
}

// closed says whether the server has closed this idle connection. Bytes that nobody asked for count as closed too:
// such a connection cannot be used again.
func (c *Conn) closed() bool {
	raw, err := c.Conn.(*net.TCPConn).SyscallConn()
	if err != nil {
		return true
	}
	var peeked error
	err = raw.Read(func(fd uintptr) bool {
		_, _, peeked = syscall.Recvfrom(int(fd), make([]byte, 1), syscall.MSG_PEEK|syscall.MSG_DONTWAIT)
		return true
	})
	return err != nil || peeked != syscall.EAGAIN
}

// limit gives the next exchange the load's timeout.
func (c *Conn) limit(timeout time.Duration) {
	c.SetDeadline(time.Now().Add(timeout))
}
