// Package page is what the pages of the benchmark site share: an end that is clean, and answers that can be checked.
package page

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"log"
	"math/rand"
	"net/http"
	"os"
	"os/signal"
	"path/filepath"
	"strconv"
	"syscall"
	"time"
)

// Serve answers on 127.0.0.1:$PORT until SIGTERM. The contexts of running requests are cancelled then; what does
// not end by itself within 10 s is cut.
func Serve(handler http.Handler) {
	stop, release := signal.NotifyContext(context.Background(), syscall.SIGTERM, os.Interrupt)
	defer release()
	server := &http.Server{Addr: "127.0.0.1:" + os.Getenv("PORT"), Handler: handler}
	ended := make(chan struct{})
	go func() {
		<-stop.Done()
		grace, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		server.Shutdown(grace)
		close(ended)
	}()
	if err := server.ListenAndServe(); !errors.Is(err, http.ErrServerClosed) {
		log.Fatal(err)
	}
	<-ended
}

// Versioned adds the version to every answer, as the header X-Version.
func Versioned(version int, next http.Handler) http.Handler {
	text := []string{strconv.Itoa(version)}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header()["X-Version"] = text
		next.ServeHTTP(w, r)
	})
}

// Echo sends the body of the request back while it arrives.
func Echo(w http.ResponseWriter, r *http.Request) {
	if r.ContentLength >= 0 {
		w.Header().Set("Content-Length", strconv.FormatInt(r.ContentLength, 10))
	}
	answer := http.NewResponseController(w)
	if err := answer.EnableFullDuplex(); err != nil {
		log.Panic(err)
	}
	block := make([]byte, 32<<10)
	for {
		n, err := r.Body.Read(block)
		if _, writeErr := w.Write(block[:n]); writeErr != nil {
			return
		}
		if err == io.EOF {
			return
		}
		if err != nil {
			panic(http.ErrAbortHandler) // half an echo must not look like a whole one
		}
		if r.ContentLength < 0 {
			answer.Flush()
		}
	}
}

// Upload answers with the SHA-256 of the request's body, in hex.
func Upload(w http.ResponseWriter, r *http.Request) {
	sum := sha256.New()
	if _, err := io.Copy(sum, r.Body); err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	fmt.Fprint(w, hex.EncodeToString(sum.Sum(nil)))
}

// Download sends ?chunks= random blocks (40), one each ?every= (50ms), and their SHA-256 in the trailer X-Sha256.
func Download(w http.ResponseWriter, r *http.Request) {
	chunks, every := 40, 50*time.Millisecond
	if n, err := strconv.Atoi(r.FormValue("chunks")); err == nil {
		chunks = n
	}
	if d, err := time.ParseDuration(r.FormValue("every")); err == nil {
		every = d
	}
	w.Header().Set("Trailer", "X-Sha256")
	sum := sha256.New()
	block := make([]byte, 4<<10)
	for range chunks {
		part := block[:1+rand.Intn(len(block))]
		rand.Read(part)
		sum.Write(part)
		w.Write(part)
		http.NewResponseController(w).Flush()
		select {
		case <-r.Context().Done(): // the client left
			return
		case <-time.After(every):
		}
	}
	w.Header().Set("X-Sha256", hex.EncodeToString(sum.Sum(nil)))
}

// Journal writes the X-Id of every POST to $STATE_DIRECTORY/ids, one a line, before the request is answered: a test
// can see there whether a request reached a worker, and whether it did so twice.
func Journal(next http.Handler) http.Handler {
	directory := os.Getenv("STATE_DIRECTORY")
	if directory == "" {
		return next
	}
	ids, err := os.OpenFile(filepath.Join(directory, "ids"), os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o644)
	if err != nil {
		log.Fatal(err)
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if id := r.Header.Get("X-Id"); id != "" && r.Method == http.MethodPost {
			if _, err := ids.WriteString(id + "\n"); err != nil {
				log.Panic(err)
			}
		}
		next.ServeHTTP(w, r)
	})
}

// Routes are those of a page at prefix: its version at the prefix itself and an echo below it, both after a pause;
// and without one upload and download, which take their time anyway.
func Routes(prefix string, version int, pause time.Duration) http.Handler {
	body := []byte(strconv.Itoa(version) + "\n")
	mux := http.NewServeMux()
	mux.HandleFunc("GET "+prefix, func(w http.ResponseWriter, r *http.Request) {
		time.Sleep(pause)
		w.Write(body)
	})
	mux.HandleFunc("POST "+prefix+"/echo", func(w http.ResponseWriter, r *http.Request) {
		time.Sleep(pause)
		Echo(w, r)
	})
	mux.HandleFunc("POST "+prefix+"/upload", Upload)
	mux.HandleFunc("GET "+prefix+"/download", Download)
	return Journal(Versioned(version, mux))
}
