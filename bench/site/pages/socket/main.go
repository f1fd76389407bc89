// The page at /socket: a WebSocket (RFC 6455) that echoes, and at /socket/events server-sent events.
package main

import (
	"bufio"
	"context"
	"crypto/sha1"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os/signal"
	"strings"
	"sync"
	"syscall"
	"time"

	"benchsite/pages/internal/page"
)

const (
	opClose = 8
	opPing  = 9
	opPong  = 10
)

func main() {
	// Shutdown neither waits for hijacked connections nor ends them: each socket watches for the end itself.
	stop, release := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer release()
	var open sync.WaitGroup
	mux := http.NewServeMux()
	mux.HandleFunc("GET /socket", func(w http.ResponseWriter, r *http.Request) {
		open.Add(1)
		defer open.Done()
		socket(stop, w, r)
	})
	mux.HandleFunc("GET /socket/events", func(w http.ResponseWriter, r *http.Request) { events(stop, w, r) })
	page.Serve(page.Versioned(version, mux))
	open.Wait()
}

// events sends the version every 100 ms.
func events(stop context.Context, w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "text/event-stream")
	w.Header().Set("Cache-Control", "no-store")
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for id := 1; ; id++ {
		fmt.Fprintf(w, "id: %d\ndata: %d\n\n", id, version)
		if err := http.NewResponseController(w).Flush(); err != nil {
			return
		}
		select {
		case <-tick.C:
		case <-r.Context().Done():
			return
		case <-stop.Done():
			return
		}
	}
}

// socket upgrades the connection and echoes messages until either side closes.
func socket(stop context.Context, w http.ResponseWriter, r *http.Request) {
	key := r.Header.Get("Sec-WebSocket-Key")
	if !strings.EqualFold(r.Header.Get("Upgrade"), "websocket") || key == "" {
		w.Header().Set("Upgrade", "websocket")
		http.Error(w, "this is a WebSocket", http.StatusUpgradeRequired)
		return
	}
	conn, stream, err := http.NewResponseController(w).Hijack()
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	defer conn.Close()
	sum := sha1.Sum([]byte(key + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11")) // RFC 6455 section 4.2.2
	fmt.Fprintf(stream, "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"+
		"Sec-WebSocket-Accept: %s\r\nX-Version: %d\r\n\r\n", base64.StdEncoding.EncodeToString(sum[:]), version)
	stream.Flush()

	closing := context.AfterFunc(stop, func() { conn.SetReadDeadline(time.Now()) })
	defer closing()
	for {
		opcode, message, err := readFrame(stream.Reader)
		switch {
		case err != nil && stop.Err() != nil:
			leave(conn, stream.Writer)
			return
		case err != nil:
			return
		case opcode == opClose:
			writeFrame(stream.Writer, opClose, message)
			return
		case opcode == opPing:
			opcode = opPong
		case opcode == opPong:
			continue
		}
		if writeFrame(stream.Writer, opcode, message) != nil {
			return
		}
	}
}

// leave says 1001, "going away", and reads on until the client is gone too: a close with unread bytes would be a
// reset, which can overtake the frame.
func leave(conn net.Conn, stream *bufio.Writer) {
	writeFrame(stream, opClose, []byte{0x03, 0xe9})
	conn.SetReadDeadline(time.Now().Add(time.Second))
	io.Copy(io.Discard, conn)
}

// readFrame reads one frame of a client, whole messages only: masked and not fragmented (RFC 6455 section 5.2).
func readFrame(stream *bufio.Reader) (opcode byte, message []byte, err error) {
	var head [2]byte
	if _, err = io.ReadFull(stream, head[:]); err != nil {
		return 0, nil, err
	}
	opcode, length := head[0]&0x0f, int(head[1]&0x7f)
	if head[0]&0xf0 != 0x80 || head[1]&0x80 == 0 || length == 127 {
		return 0, nil, errors.New("a frame this page does not take")
	}
	if length == 126 {
		var extended [2]byte
		if _, err = io.ReadFull(stream, extended[:]); err != nil {
			return 0, nil, err
		}
		length = int(binary.BigEndian.Uint16(extended[:]))
	}
	masked := make([]byte, 4+length)
	if _, err = io.ReadFull(stream, masked); err != nil {
		return 0, nil, err
	}
	mask, message := masked[:4], masked[4:]
	for i := range message {
		message[i] ^= mask[i%4]
	}
	return opcode, message, nil
}

// writeFrame writes one unmasked frame of at most 65535 bytes.
func writeFrame(stream *bufio.Writer, opcode byte, message []byte) error {
	stream.WriteByte(0x80 | opcode)
	if len(message) < 126 {
		stream.WriteByte(byte(len(message)))
	} else {
		stream.WriteByte(126)
		stream.Write(binary.BigEndian.AppendUint16(nil, uint16(len(message))))
	}
	stream.Write(message)
	return stream.Flush()
}
