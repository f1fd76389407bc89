package main

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
)

func TestTheAnswerSaysWhatWasWrong(t *testing.T) {
	fresh := header(time.Now())
	for name, c := range map[string]struct {
		secret, method, body, header string
		status                       int
	}{
		"signed":               {secret, "POST", payload, fresh, http.StatusOK},
		"unsigned":             {secret, "POST", payload, "", http.StatusBadRequest},
		"changed on the way":   {secret, "POST", payload + " ", fresh, http.StatusBadRequest},
		"no secret":            {"", "POST", payload, fresh, http.StatusServiceUnavailable},
		"too large":            {secret, "POST", strings.Repeat(" ", maxPayload+1), fresh, http.StatusRequestEntityTooLarge},
		"a visit by a browser": {secret, "GET", "", "", http.StatusMethodNotAllowed},
	} {
		t.Run(name, func(t *testing.T) {
			r := httptest.NewRequest(c.method, "/webhooks/stripe", strings.NewReader(c.body))
			r.Header.Set("Stripe-Signature", c.header)
			w := httptest.NewRecorder()
			routes(c.secret).ServeHTTP(w, r)
			if w.Code != c.status {
				t.Fatalf("%d %s, want %d", w.Code, w.Body, c.status)
			}
		})
	}
}
