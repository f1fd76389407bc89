package web

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log"
	"mime"
	"net/http"
	"strings"
)

// MaxBody is how many bytes of JSON Decode reads.
const MaxBody = 64 << 10

// Problem is the body of every error: what is wrong and, for invalid input, with which fields.
type Problem struct {
	Error  string            `json:"error"`
	Fields map[string]string `json:"fields,omitempty"`
}

// JSON answers with value.
func JSON(w http.ResponseWriter, status int, value any) {
	body, err := json.Marshal(value)
	if err != nil { // a value of ours that JSON cannot express
		log.Print(err)
		status, body = http.StatusInternalServerError, []byte(`{"error":"internal error"}`)
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	w.Write(append(body, '\n')) // fails only when the client has left
}

// Error answers with a Problem that has no fields.
func Error(w http.ResponseWriter, status int, message string) {
	JSON(w, status, Problem{Error: message})
}

// NotFound is the handler for paths that no other pattern of a page takes.
func NotFound(w http.ResponseWriter, r *http.Request) {
	Error(w, http.StatusNotFound, "there is nothing at "+r.URL.Path)
}

// Allow is the handler for the methods a path does not have. Register it for the path without a method:
// the ServeMux prefers the patterns that name one.
func Allow(methods ...string) http.Handler {
	allowed := strings.Join(methods, ", ")
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Allow", allowed)
		Error(w, http.StatusMethodNotAllowed, fmt.Sprintf("%s has no %s, only %s", r.URL.Path, r.Method, allowed))
	})
}

// Decode reads the request's body, one JSON object of at most MaxBody bytes, into value.
// If it is anything else, Decode answers 400, 413 or 415 and returns false.
func Decode(w http.ResponseWriter, r *http.Request, value any) bool {
	if kind, _, err := mime.ParseMediaType(r.Header.Get("Content-Type")); err != nil || kind != "application/json" {
		Error(w, http.StatusUnsupportedMediaType, "send Content-Type: application/json")
		return false
	}
	decoder := json.NewDecoder(http.MaxBytesReader(w, r.Body, MaxBody))
	decoder.DisallowUnknownFields()
	err := decoder.Decode(value)
	if err == nil {
		if _, err = decoder.Token(); err == nil {
			err = errors.New("more than one JSON value")
		} else if err == io.EOF {
			return true
		}
	}
	var tooLarge *http.MaxBytesError
	switch {
	case errors.As(err, &tooLarge):
		Error(w, http.StatusRequestEntityTooLarge, fmt.Sprintf("the body is larger than %d bytes", tooLarge.Limit))
	case errors.Is(err, io.EOF):
		Error(w, http.StatusBadRequest, "the body is empty")
	default:
		Error(w, http.StatusBadRequest, "not the JSON expected here: "+err.Error())
	}
	return false
}
