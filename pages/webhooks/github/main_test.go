package main

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

// The example of GitHub's documentation, "Validating webhook deliveries".
const (
	exampleSecret    = "It's a Secret to Everybody"
	examplePayload   = "Hello, World!"
	exampleSignature = "sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17"
)

// sign is what GitHub does.
func sign(payload, secret string) string {
	mac := hmac.New(sha256.New, []byte(secret))
	mac.Write([]byte(payload))
	return "sha256=" + hex.EncodeToString(mac.Sum(nil))
}

func TestOnlyTheRightSignatureIsTaken(t *testing.T) {
	if !signed([]byte(examplePayload), exampleSignature, exampleSecret) {
		t.Error("GitHub's own example was refused")
	}
	for name, signature := range map[string]string{
		"none":           "",
		"no scheme":      strings.TrimPrefix(exampleSignature, "sha256="),
		"another scheme": strings.Replace(exampleSignature, "sha256", "sha1", 1),
		"shortened":      exampleSignature[:len(exampleSignature)-2],
		"empty":          "sha256=",
		"not hex":        "sha256=" + strings.Repeat("z", 64),
		"one bit off":    exampleSignature[:len(exampleSignature)-1] + "6",
	} {
		if signed([]byte(examplePayload), signature, exampleSecret) {
			t.Errorf("%s: was taken", name)
		}
	}
	if signed([]byte(examplePayload+" "), exampleSignature, exampleSecret) {
		t.Error("a changed payload was taken")
	}
	if signed([]byte(examplePayload), exampleSignature, "guess") {
		t.Error("another secret was taken")
	}
}

func TestTheAnswerSaysWhatWasWrong(t *testing.T) {
	const push = `{"repository":{"full_name":"ada/engine"}}`
	const secret = "s3cret"
	for name, c := range map[string]struct {
		secret, method, body, signature string
		status                          int
	}{
		"signed":               {secret, "POST", push, sign(push, secret), http.StatusAccepted},
		"unsigned":             {secret, "POST", push, "", http.StatusUnauthorized},
		"signed by another":    {secret, "POST", push, sign(push, "guess"), http.StatusUnauthorized},
		"no secret":            {"", "POST", push, sign(push, ""), http.StatusServiceUnavailable},
		"a form":               {secret, "POST", "payload=%7B%7D", sign("payload=%7B%7D", secret), http.StatusBadRequest},
		"too large":            {secret, "POST", strings.Repeat(" ", maxPayload+1), "", http.StatusRequestEntityTooLarge},
		"a visit by a browser": {secret, "GET", "", "", http.StatusMethodNotAllowed},
	} {
		t.Run(name, func(t *testing.T) {
			r := httptest.NewRequest(c.method, "/webhooks/github", strings.NewReader(c.body))
			r.Header.Set("X-Hub-Signature-256", c.signature)
			r.Header.Set("X-GitHub-Event", "push")
			w := httptest.NewRecorder()
			routes(c.secret).ServeHTTP(w, r)
			if w.Code != c.status {
				t.Fatalf("%d %s, want %d", w.Code, w.Body, c.status)
			}
		})
	}
}
