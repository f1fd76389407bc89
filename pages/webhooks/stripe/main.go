// The page at /webhooks/stripe: takes Stripe's events, and only those that carry a right and recent signature.
//
// Put the endpoint's signing secret (whsec_...) into .env at the site's root, as STRIPE_WEBHOOK_SECRET=...
package main

import (
	"encoding/json"
	"errors"
	"io"
	"log"
	"net/http"
	"time"

	"site/pages/internal/web"
)

const (
	secretName = "STRIPE_WEBHOOK_SECRET"
	maxPayload = 1 << 20
)

func main() {
	web.Serve(routes(web.Secret(secretName)))
}

func routes(secret string) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("POST /webhooks/stripe", func(w http.ResponseWriter, r *http.Request) { receive(w, r, secret) })
	mux.Handle("/webhooks/stripe", web.Allow("POST"))
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
		web.Error(w, http.StatusRequestEntityTooLarge, "the event is too large")
		return
	} else if err != nil {
		web.Error(w, http.StatusBadRequest, "the event did not arrive whole")
		return
	}
	if err := verify(payload, r.Header.Get("Stripe-Signature"), secret, time.Now()); err != nil {
		web.Error(w, http.StatusBadRequest, err.Error())
		return
	}

	var event struct {
		ID   string `json:"id"`
		Type string `json:"type"`
	}
	if err := json.Unmarshal(payload, &event); err != nil || event.ID == "" {
		web.Error(w, http.StatusBadRequest, "not an event")
		return
	}
	// Stripe may send an event more than once, and in any order: what is done here must bear that. Keep event.ID.
	log.Printf("event %q, %q", event.Type, event.ID)
	web.JSON(w, http.StatusOK, map[string]string{"received": event.ID})
}
