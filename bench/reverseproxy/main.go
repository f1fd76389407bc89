// Command reverseproxy is Go's httputil.ReverseProxy as someone would write it who cares about speed: it keeps
// enough idle connections to the backend, reuses its buffers, and logs nothing.
//
//	reverseproxy PORT BACKEND_PORT
package main

import (
	"io"
	"log"
	"net/http"
	"net/http/httputil"
	"net/url"
	"os"
	"sync"
)

type buffers struct{ pool sync.Pool }

func (b *buffers) Get() []byte     { return *b.pool.Get().(*[]byte) }
func (b *buffers) Put(used []byte) { b.pool.Put(&used) }

func main() {
	if len(os.Args) != 3 {
		log.Fatal("usage: reverseproxy PORT BACKEND_PORT")
	}
	backend := &url.URL{Scheme: "http", Host: "127.0.0.1:" + os.Args[2]}
	proxy := &httputil.ReverseProxy{
		Rewrite: func(r *httputil.ProxyRequest) {
			r.SetURL(backend)
			r.Out.Host = r.In.Host
			r.SetXForwarded()
		},
		// 0 is no limit; the default of 2 idle connections per host would open new ones all the time
		Transport:  &http.Transport{MaxIdleConns: 0, MaxIdleConnsPerHost: 512, DisableCompression: true},
		BufferPool: &buffers{sync.Pool{New: func() any { b := make([]byte, 32<<10); return &b }}},
		ErrorLog:   log.New(io.Discard, "", 0),
	}
	log.Fatal(http.ListenAndServe("127.0.0.1:"+os.Args[1], proxy))
}
