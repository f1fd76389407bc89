//go:build tqsd

// This file joins package main of every Go page that tqsd builds. It tells the service manager by sd_notify(3) when
// the page answers on its own port, and with WATCHDOG_USEC set that it still does.
//
// The constraint above keeps it out of ./...; files named to the compiler are built regardless. All names start with
// tqsd, those of imports too: a page may call anything of its own "net" or "time".
package main

import (
	tqsdio "io"
	tqsdnet "net"
	tqsdos "os"
	tqsdstrconv "strconv"
	tqsdstrings "strings"
	tqsdsyscall "syscall"
	tqsdtime "time"
)

const (
	tqsdFirstPause  = 200 * tqsdtime.Microsecond
	tqsdListenPause = 10 * tqsdtime.Millisecond  // at most, while nothing listens: looking costs 30 microseconds
	tqsdHealthPause = 200 * tqsdtime.Millisecond // at most, while unhealthy: each look is a request to the page
	tqsdPatience    = tqsdtime.Second            // before the first word about what is missing
	tqsdSilence     = 2 * tqsdtime.Second        // no answer for so long is none
)

type tqsdProbe struct {
	socket  string // NOTIFY_SOCKET
	port    int    // TQS_PORT
	health  string // TQS_HEALTH: auto, none, tcp or a path
	address string // where the page was found to listen
	status  string // the last one sent
}

func init() {
	port, err := tqsdstrconv.Atoi(tqsdos.Getenv("TQS_PORT"))
	socket := tqsdos.Getenv("NOTIFY_SOCKET")
	if err != nil || socket == "" {
		return
	}
	probe := &tqsdProbe{socket: socket, port: port, health: tqsdos.Getenv("TQS_HEALTH")}
	go probe.run(tqsdInterval())
}

// tqsdInterval is the pause between two signs of life, 0 if nobody waits for them (sd_watchdog_enabled(3)).
func tqsdInterval() tqsdtime.Duration {
	usec, err := tqsdstrconv.ParseInt(tqsdos.Getenv("WATCHDOG_USEC"), 10, 32)
	pid := tqsdos.Getenv("WATCHDOG_PID")
	if err != nil || usec <= 0 || pid != "" && pid != tqsdstrconv.Itoa(tqsdos.Getpid()) {
		return 0
	}
	return tqsdtime.Duration(usec) * tqsdtime.Microsecond / 2
}

func (p *tqsdProbe) run(interval tqsdtime.Duration) {
	start := tqsdtime.Now()
	for pause := tqsdFirstPause; ; pause *= 2 {
		problem := p.problem()
		if problem == "" {
			break
		}
		if tqsdtime.Since(start) >= tqsdPatience {
			p.tell(problem)
		}
		if p.address == "" && pause > tqsdListenPause {
			pause = tqsdListenPause
		} else if pause > tqsdHealthPause {
			pause = tqsdHealthPause
		}
		tqsdtime.Sleep(pause)
	}
	p.status = "listening on " + p.address
	p.notify("READY=1\nSTATUS=" + p.status)
	for interval > 0 {
		tqsdtime.Sleep(interval)
		if problem := p.problem(); problem != "" {
			p.tell(problem)
			continue
		}
		p.tell("listening on " + p.address)
		p.notify("WATCHDOG=1")
	}
}

// problem says why the page is not ready; it is when there is none.
func (p *tqsdProbe) problem() string {
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
func (p *tqsdProbe) wanted(other string) string {
	port := tqsdstrconv.Itoa(p.port)
	if tqsdstrings.HasSuffix(other, ":"+port) {
		return "127.0.0.1:" + port
	}
	return port
}

// listener returns the address at which this very process takes connections to 127.0.0.1 and its port, and another
// one it listens on. It asks the sockets themselves: a stranger on the port is none of ours, and /proc/net/tcp would
// list every connection of the machine, which takes long while thousands are in TIME_WAIT.
func (p *tqsdProbe) listener() (own, other string) {
	directory, err := tqsdos.Open("/proc/self/fd")
	if err != nil {
		return "", ""
	}
	defer directory.Close()
	names, _ := directory.Readdirnames(-1)
	for _, name := range names {
		fd, err := tqsdstrconv.Atoi(name)
		if err != nil {
			continue
		}
		address, local := tqsdListening(fd)
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

// tqsdListening returns where the socket fd listens, nil if it does not, and whether 127.0.0.1 reaches it.
func tqsdListening(fd int) (address *tqsdnet.TCPAddr, local bool) {
	listens, err := tqsdsyscall.GetsockoptInt(fd, tqsdsyscall.SOL_SOCKET, tqsdsyscall.SO_ACCEPTCONN)
	if err != nil || listens == 0 {
		return nil, false
	}
	name, err := tqsdsyscall.Getsockname(fd)
	if err != nil {
		return nil, false
	}
	loopback := tqsdnet.IPv4(127, 0, 0, 1)
	switch name := name.(type) {
	case *tqsdsyscall.SockaddrInet4:
		address = &tqsdnet.TCPAddr{IP: name.Addr[:], Port: name.Port}
		local = address.IP.IsUnspecified() || address.IP.Equal(loopback)
	case *tqsdsyscall.SockaddrInet6:
		only6, _ := tqsdsyscall.GetsockoptInt(fd, tqsdsyscall.IPPROTO_IPV6, tqsdsyscall.IPV6_V6ONLY)
		address = &tqsdnet.TCPAddr{IP: name.Addr[:], Port: name.Port}
		local = only6 == 0 && (address.IP.IsUnspecified() || address.IP.Equal(loopback))
	}
	return address, local
}

// get asks the page for path and says what is wrong unless the status code of the answer is good.
func (p *tqsdProbe) get(path string, good func(code int) bool) string {
	host := "127.0.0.1:" + tqsdstrconv.Itoa(p.port)
	conn, err := tqsdnet.DialTimeout("tcp4", host, tqsdSilence)
	if err != nil {
		return "GET " + path + " cannot connect to " + host
	}
	defer conn.Close()
	conn.SetDeadline(tqsdtime.Now().Add(tqsdSilence))
	tqsdio.WriteString(conn, "GET "+path+" HTTP/1.1\r\nHost: "+host+"\r\nUser-Agent: tqsd\r\nConnection: close\r\n\r\n")
	var head [4096]byte // mostly the whole answer: what is left unread would end the connection by a reset
	if n, err := tqsdio.ReadAtLeast(conn, head[:], 12); err != nil {
		if n > 0 {
			return "GET " + path + " gives no HTTP answer"
		}
		return "GET " + path + " gives no answer"
	}
	code, err := tqsdstrconv.Atoi(string(head[9:12]))
	if err != nil || string(head[:7]) != "HTTP/1." {
		return "GET " + path + " gives no HTTP answer"
	}
	if !good(code) {
		return "GET " + path + " answers " + string(head[9:12])
	}
	return ""
}

// tell sends a status unless it was the last one sent.
func (p *tqsdProbe) tell(status string) {
	if status != p.status {
		p.status = status
		p.notify("STATUS=" + status)
	}
}

// notify sends one sd_notify(3) message; a name that starts with "@" is an abstract socket to package net as well.
func (p *tqsdProbe) notify(message string) {
	conn, err := tqsdnet.DialUnix("unixgram", nil, &tqsdnet.UnixAddr{Name: p.socket, Net: "unixgram"})
	if err != nil {
		return
	}
	defer conn.Close()
	conn.Write([]byte(message))
}
