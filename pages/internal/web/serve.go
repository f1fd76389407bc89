// Package web is what the pages of this site have in common: starting and ending well, and speaking JSON.
//
// Pages import it like any Go package. When it changes, tqsd rebuilds the pages that import it, and only those.
package web

import (
	"context"
	"log"
	"net/http"
	"os"
	"os/signal"
	"syscall"
	"time"
)

// Serve answers requests on 127.0.0.1:$PORT until SIGTERM or SIGINT, lets the running ones finish, and returns.
//
// A page needs nothing else of tqsd: it is an ordinary net/http program, and runs by hand as well:
//
//	PORT=9000 go run ./pages/api/users
func Serve(handler http.Handler) {
	port := os.Getenv("PORT")
	if port == "" {
		log.Fatal("PORT is not set; try PORT=9000 go run ./pages/index")
	}
	server := &http.Server{
		// The address matters: with ":"+port the page would answer the whole network, around the proxy.
		Addr:              "127.0.0.1:" + port,
		Handler:           handler,
		ReadHeaderTimeout: 10 * time.Second,
	}
	stop, release := signal.NotifyContext(context.Background(), syscall.SIGTERM, os.Interrupt)
	defer release()

	failed := make(chan error, 1)
	go func() { failed <- server.ListenAndServe() }()
	select {
	case err := <-failed:
		log.Fatal(err)
	case <-stop.Done():
	}

	// tqsd kills what is left 15 s after SIGTERM (stop_timeout); be done before.
	grace, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	if err := server.Shutdown(grace); err != nil {
		log.Print("requests were still running: ", err)
	}
}
