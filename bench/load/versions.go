package main

import (
	"fmt"
	"net/http"
	"os"
	"strconv"
	"strings"
	"sync"
	"time"
)

// Versions knows which versions of each page have been seen, and finds the answers that are too old.
type Versions struct {
	mayFall  bool // an older answer is no error, as after a rollback
	together bool // pages change as one: a newer version of any makes an older one of all stale
	mu       sync.Mutex
	pages    map[string]*seen
	newest   int64 // of all pages
}

type seen struct {
	newest int64
	first  map[int64]time.Time
}

func NewVersions() *Versions {
	return &Versions{pages: map[string]*seen{}}
}

// Newest is the highest version of a page that anyone has received. Ask right before sending a request.
func (v *Versions) Newest(page string) int64 {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.together {
		return v.newest
	}
	if s := v.pages[page]; s != nil {
		return s.newest
	}
	return 0
}

// Saw records that an answer of this version has been received. It returns an error when the answer is older than
// newest, which is what Newest returned before the request was sent.
func (v *Versions) Saw(page string, version, newest int64) error {
	now := time.Now()
	v.mu.Lock()
	defer v.mu.Unlock()
	s := v.pages[page]
	if s == nil {
		s = &seen{first: map[int64]time.Time{}}
		v.pages[page] = s
	}
	if _, known := s.first[version]; !known {
		s.first[version] = now
		fmt.Fprintf(os.Stderr, "version %s %d %d\n", page, version, now.UnixNano())
	}
	s.newest = max(s.newest, version)
	v.newest = max(v.newest, version)
	if version < newest && !v.mayFall {
		return &staleError{version, newest}
	}
	return nil
}

// FirstAnswers is when, in nanoseconds of Unix time, each version of each page was first received.
func (v *Versions) FirstAnswers() map[string]map[string]int64 {
	v.mu.Lock()
	defer v.mu.Unlock()
	pages := map[string]map[string]int64{}
	for page, s := range v.pages {
		pages[page] = map[string]int64{}
		for version, at := range s.first {
			pages[page][strconv.FormatInt(version, 10)] = at.UnixNano()
		}
	}
	return pages
}

type staleError struct{ version, newest int64 }

func (e *staleError) Error() string {
	return fmt.Sprintf("version %d, in answer to a request sent after version %d had been received", e.version, e.newest)
}

// versionOf is the version an answer names in the header X-Version or, failing that, as its body. If both name one
// they must agree: an answer of two releases at once would be the worst of all.
func versionOf(header http.Header, body []byte) (int64, error) {
	text := strings.TrimSpace(string(body[:min(len(body), 24)]))
	inBody, bodyErr := strconv.ParseInt(text, 10, 64)
	named := header.Get("X-Version")
	if named == "" && bodyErr == nil {
		return inBody, nil
	}
	version, err := strconv.ParseInt(named, 10, 64)
	if err != nil {
		return 0, fmt.Errorf("no version: X-Version %q, body %q", named, text)
	}
	if bodyErr == nil && inBody != version {
		return 0, fmt.Errorf("X-Version %d with the body of version %d", version, inBody)
	}
	return version, nil
}
