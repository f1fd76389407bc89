// Package zz_tqsd_ready is compiled into every Go page that tqsd builds: package main imports it by one added file. It
// tells the service manager by sd_notify(3) when the page answers on its own port, and with WATCHDOG_USEC set that it
// still does.
//
// It is a package of its own, so that Go compiles it once, and not with every edit of a page.
package zz_tqsd_ready

import (
	"io"
	"net"
	"os"
	"strconv"
	"strings"
	"syscall"
	"time"
)

const (
	firstPause  = 200 * time.Microsecond
	listenPause = 10 * time.Millisecond  // at most, while nothing listens: looking costs 30 microseconds
	healthPause = 200 * time.Millisecond // at most, while unhealthy: each look is a request to the page
	patience    = time.Second            // before the first word about what is missing
	silence     = 2 * time.Second        // no answer for so long is none
)

type probe struct {
	socket  string // NOTIFY_SOCKET
	port    int    // TQS_PORT
	health  string // TQS_HEALTH: auto, none, tcp or a path
	address string // where the page was found to listen
	status  string // the last one sent
}

func init() {
	port, err := strconv.Atoi(os.Getenv("TQS_PORT"))
	socket := os.Getenv("NOTIFY_SOCKET")
	if err != nil || socket == "" {
		return
	}
	p := &probe{socket: socket, port: port, health: os.Getenv("TQS_HEALTH")}
	go p.run(signsOfLife())
}

// signsOfLife is the pause between two signs of life, 0 if nobody waits for them (sd_watchdog_enabled(3)).
func signsOfLife() time.Duration {
	usec, err := strconv.ParseInt(os.Getenv("WATCHDOG_USEC"), 10, 32)
	pid := os.Getenv("WATCHDOG_PID")
	if err != nil || usec <= 0 || pid != "" && pid != strconv.Itoa(os.Getpid()) {
		return 0
	}
	return time.Duration(usec) * time.Microsecond / 2
}

func (p *probe) run(interval time.Duration) {
	start := time.Now()
	for pause := firstPause; ; pause *= 2 {
		problem := p.problem()
		if problem == "" {
			break
		}
		if time.Since(start) >= patience {
			p.tell(problem)
		}
		if p.address == "" && pause > listenPause {
			pause = listenPause
		} else if pause > healthPause {
			pause = healthPause
		}
		time.Sleep(pause)
	}
	p.status = "listening on " + p.address
	p.notify("READY=1\nSTATUS=" + p.status)
	for interval > 0 {
		time.Sleep(interval)
		if problem := p.problem(); problem != "" {
			p.tell(problem)
			continue
		}
		p.tell("listening on " + p.address)
		p.notify("WATCHDOG=1")
	}
}

// problem says why the page is not ready; it is when there is none.
func (p *probe) problem() string {
	other := ""
	p.address, other = p.listener()
	if p.address == "" {
		if other == "" {
			return "listens on no port yet"
		}
		return "listens on " + other + ", not on " + p.wanted(other)
	}
	switch p.health {
	case "none", "tcp":
		return ""
	case "", "auto":
		return p.get("/health", func(code int) bool { return code < 500 })
	}
	return p.get(p.health, func(code int) bool { return code/100 == 2 })
}

// wanted names the port that should have been listened on, or the address if only that is wrong.
func (p *probe) wanted(other string) string {
	port := strconv.Itoa(p.port)
	if strings.HasSuffix(other, ":"+port) {
		return "127.0.0.1:" + port
	}
	return port
}

// listener returns the address at which this very process takes connections to 127.0.0.1 and its port, and another
// one it listens on. It asks the sockets themselves: a stranger on the port is none of ours, and /proc/net/tcp would
// list every connection of the machine, which takes long while thousands are in TIME_WAIT.
func (p *probe) listener() (own, other string) {
	directory, err := os.Open("/proc/self/fd")
	if err != nil {
		return "", ""
	}
	defer directory.Close()
	names, _ := directory.Readdirnames(-1)
	for _, name := range names {
		fd, err := strconv.Atoi(name)
		if err != nil {
			continue
		}
		address, local := listening(fd)
		switch {
		case address == nil:
		case local && address.Port == p.port:
			return address.String(), ""
		case other == "" || address.Port == p.port:
			other = address.String()
		}
	}
	return "", other
}

// listening returns where the socket fd listens, nil if it does not, and whether 127.0.0.1 reaches it.
func listening(fd int) (address *net.TCPAddr, local bool) {
	listens, err := syscall.GetsockoptInt(fd, syscall.SOL_SOCKET, syscall.SO_ACCEPTCONN)
	if err != nil || listens == 0 {
		return nil, false
	}
	name, err := syscall.Getsockname(fd)
	if err != nil {
		return nil, false
	}
	loopback := net.IPv4(127, 0, 0, 1)
	switch name := name.(type) {
	case *syscall.SockaddrInet4:
		address = &net.TCPAddr{IP: name.Addr[:], Port: name.Port}
		local = address.IP.IsUnspecified() || address.IP.Equal(loopback)
	case *syscall.SockaddrInet6:
		only6, _ := syscall.GetsockoptInt(fd, syscall.IPPROTO_IPV6, syscall.IPV6_V6ONLY)
		address = &net.TCPAddr{IP: name.Addr[:], Port: name.Port}
		local = only6 == 0 && (address.IP.IsUnspecified() || address.IP.Equal(loopback))
	}
	return address, local
}

// get asks the page for path and says what is wrong unless the status code of the answer is good.
func (p *probe) get(path string, good func(code int) bool) string {
	host := "127.0.0.1:" + strconv.Itoa(p.port)
	conn, err := net.DialTimeout("tcp4", host, silence)
	if err != nil {
		return "GET " + path + " cannot connect to " + host
	}
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(silence))
	io.WriteString(conn, "GET "+path+" HTTP/1.1\r\nHost: "+host+"\r\nUser-Agent: tqsd\r\nConnection: close\r\n\r\n")
	var head [4096]byte // mostly the whole answer: what is left unread would end the connection by a reset
	if n, err := io.ReadAtLeast(conn, head[:], 12); err != nil {
		if n > 0 {
			return "GET " + path + " gives no HTTP answer"
		}
		return "GET " + path + " gives no answer"
	}
	code, err := strconv.Atoi(string(head[9:12]))
	if err != nil || string(head[:7]) != "HTTP/1." {
		return "GET " + path + " gives no HTTP answer"
	}
	if !good(code) {
		return "GET " + path + " answers " + string(head[9:12])
	}
	return ""
}

// tell sends a status unless it was the last one sent.
func (p *probe) tell(status string) {
	if status != p.status {
		p.status = status
		p.notify("STATUS=" + status)
	}
}

// notify sends one sd_notify(3) message; a name that starts with "@" is an abstract socket to package net as well.
func (p *probe) notify(message string) {
	conn, err := net.DialUnix("unixgram", nil, &net.UnixAddr{Name: p.socket, Net: "unixgram"})
	if err != nil {
		return
	}
	defer conn.Close()
	conn.Write([]byte(message))
}
