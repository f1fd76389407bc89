// The page at /webhooks/github: takes GitHub's webhooks, and only those that carry the right signature.
//
// Put the secret you gave GitHub into .env at the site's root, as GITHUB_WEBHOOK_SECRET=..., and choose
// application/json as the content type there.
package main

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"io"
	"log"
	"net/http"
	"strings"

	"site/pages/internal/web"
)

const (
	secretName = "GITHUB_WEBHOOK_SECRET"
	maxPayload = 25 << 20 // GitHub sends no larger ones
)

func main() {
	web.Serve(routes(web.Secret(secretName)))
}

func routes(secret string) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("POST /webhooks/github", func(w http.ResponseWriter, r *http.Request) { receive(w, r, secret) })
	mux.Handle("/webhooks/github", web.Allow("POST"))
	mux.HandleFunc("/", web.NotFound)
	return mux
}

func receive(w http.ResponseWriter, r *http.Request, secret string) {
	if secret == "" { // without one, everybody's signature would be valid
		web.Error(w, http.StatusServiceUnavailable, secretName+" is not set")
		return
	}
	payload, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxPayload))
	if tooLarge := (*http.MaxBytesError)(nil); errors.As(err, &tooLarge) {
		web.Error(w, http.StatusRequestEntityTooLarge, "the payload is too large")
		return
	} else if err != nil {
		web.Error(w, http.StatusBadRequest, "the payload did not arrive whole")
		return
	}
	// Over the bytes as they came, and before anything looks into them.
	if !signed(payload, r.Header.Get("X-Hub-Signature-256"), secret) {
		web.Error(w, http.StatusUnauthorized, "X-Hub-Signature-256 does not match the payload")
		return
	}

	var event struct {
		Repository struct {
			FullName string `json:"full_name"`
		} `json:"repository"`
	}
	if err := json.Unmarshal(payload, &event); err != nil {
		web.Error(w, http.StatusBadRequest, "not JSON; set the webhook's content type to application/json")
		return
	}
	// Answer soon: GitHub waits 10 s. It may also send a delivery again, under the same id.
	kind, delivery := r.Header.Get("X-GitHub-Event"), r.Header.Get("X-GitHub-Delivery")
	log.Printf("event %q of %q, delivery %q", kind, event.Repository.FullName, delivery)
	web.JSON(w, http.StatusAccepted, map[string]string{"event": kind, "delivery": delivery})
}

// signed says whether signature, "sha256=" and hex digits, is the HMAC-SHA256 of payload under secret.
func signed(payload []byte, signature, secret string) bool {
	digits, found := strings.CutPrefix(signature, "sha256=")
	got, err := hex.DecodeString(digits)
	if !found || err != nil {
		return false
	}
	mac := hmac.New(sha256.New, []byte(secret))
	mac.Write(payload)
	return hmac.Equal(got, mac.Sum(nil)) // takes the same time for every wrong signature
}
