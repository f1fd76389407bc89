package main

import (
	"errors"
	"math/bits"
	"sync"
	"time"
)

// maxDescribed is how many failures are described one by one; all are counted.
const maxDescribed = 20

// Failure is one request that did not get the answer it should.
type Failure struct {
	Kind string `json:"kind"`
	At   int64  `json:"at"` // Unix time in nanoseconds
	What string `json:"what"`
	ID   string `json:"id,omitempty"`
}

// Close is one WebSocket that the server closed by a close frame.
type Close struct {
	At     int64  `json:"at"` // Unix time in nanoseconds
	Code   int    `json:"code"`
	Reason string `json:"reason"`
}

// Result is what the program prints.
type Result struct {
	Seconds       float64                       `json:"seconds"`
	Requests      map[string]int                `json:"requests"` // by kind, the failed ones included
	Failures      map[string]int                `json:"failures"` // by kind
	Failed        int                           `json:"failed"`   // of all kinds
	Stale         int                           `json:"stale"`    // those of them that were answers of an old version
	FirstFailures []Failure                     `json:"first_failures"`
	FailedIDs     []string                      `json:"failed_ids"`    // X-Id of every failed POST
	ServerCloses  int                           `json:"server_closes"` // of keep-alive connections
	SocketCloses  []Close                       `json:"socket_closes"`
	FirstAnswers  map[string]map[string]int64   `json:"first_answers"` // path, version: Unix time in nanoseconds
	Latency       map[string]map[string]float64 `json:"latency_ms"`    // by kind: p50, p90, p99, p999, max
}

// Tally counts what the clients see.
type Tally struct {
	mu        sync.Mutex
	result    Result
	latencies map[string]*Histogram
}

func NewTally() *Tally {
	return &Tally{
		latencies: map[string]*Histogram{},
		result: Result{
			Requests: map[string]int{}, Failures: map[string]int{}, FirstFailures: []Failure{},
			FailedIDs: []string{}, SocketCloses: []Close{}, Latency: map[string]map[string]float64{},
		},
	}
}

// Count takes in one exchange. id names a POST; err is nil if all was well.
func (t *Tally) Count(kind, id string, took time.Duration, err error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.result.Requests[kind]++
	if err == nil {
		if t.latencies[kind] == nil {
			t.latencies[kind] = new(Histogram)
		}
		t.latencies[kind].Add(took)
		return
	}
	t.result.Failed++
	t.result.Failures[kind]++
	if stale := (*staleError)(nil); errors.As(err, &stale) {
		t.result.Stale++
	}
	if id != "" {
		t.result.FailedIDs = append(t.result.FailedIDs, id)
	}
	if len(t.result.FirstFailures) < maxDescribed {
		failure := Failure{Kind: kind, At: time.Now().UnixNano(), What: err.Error(), ID: id}
		t.result.FirstFailures = append(t.result.FirstFailures, failure)
	}
}

// ServerClosed takes in that the server closed a keep-alive connection between two requests.
func (t *Tally) ServerClosed() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.result.ServerCloses++
}

// SocketClosed takes in a WebSocket that the server closed.
func (t *Tally) SocketClosed(code int, reason string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.result.SocketCloses = append(t.result.SocketCloses, Close{time.Now().UnixNano(), code, reason})
}

// Result is the state of all counts, after the last client has ended.
func (t *Tally) Result() Result {
	t.mu.Lock()
	defer t.mu.Unlock()
	for kind, h := range t.latencies {
		t.result.Latency[kind] = map[string]float64{
			"p50": h.Quantile(0.5), "p90": h.Quantile(0.9), "p99": h.Quantile(0.99), "p999": h.Quantile(0.999),
			"max": milliseconds(uint64(h.max)),
		}
	}
	return t.result
}

// Histogram holds times in cells that are 1/32 of a power of two wide: 3 % exact, from nanoseconds to centuries.
type Histogram struct {
	cells [64 * 32]uint64
	total uint64
	max   time.Duration
}

func (h *Histogram) Add(took time.Duration) {
	value := uint64(max(took, 0))
	shift := max(bits.Len64(value)-6, 0)
	h.cells[uint64(shift)<<5+value>>shift]++
	h.total++
	h.max = max(h.max, took)
}

// Quantile is the time in milliseconds that the fraction q of all did not exceed.
func (h *Histogram) Quantile(q float64) float64 {
	rank, below := uint64(q*float64(h.total)), uint64(0)
	for cell, n := range h.cells {
		if below += n; below > rank {
			shift := max(cell>>5-1, 0)
			top := uint64(cell-shift<<5+1)<<shift - 1
			return milliseconds(min(top, uint64(h.max)))
		}
	}
	return milliseconds(uint64(h.max))
}

func milliseconds(ns uint64) float64 {
	return float64(ns/1000) / 1000
}
