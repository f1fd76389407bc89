package web

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

func TestDecodeTakesOneObjectAndRefusesTheRest(t *testing.T) {
	const good = "application/json"
	for name, c := range map[string]struct {
		kind, body string
		status     int
	}{
		"an object":             {good, `{"name":"Ada"}`, http.StatusOK},
		"a charset":             {good + "; charset=utf-8", ` {"name":"Ada"} `, http.StatusOK},
		"no content type":       {"", `{"name":"Ada"}`, http.StatusUnsupportedMediaType},
		"a form":                {"application/x-www-form-urlencoded", "name=Ada", http.StatusUnsupportedMediaType},
		"nothing":               {good, "", http.StatusBadRequest},
		"half an object":        {good, `{"name":`, http.StatusBadRequest},
		"two objects":           {good, `{"name":"Ada"}{"name":"Eve"}`, http.StatusBadRequest},
		"garbage after it":      {good, `{"name":"Ada"}]`, http.StatusBadRequest},
		"an unknown field":      {good, `{"nmae":"Ada"}`, http.StatusBadRequest},
		"a number for a string": {good, `{"name":1}`, http.StatusBadRequest},
		"too much":              {good, `{"name":"` + strings.Repeat("a", MaxBody) + `"}`, http.StatusRequestEntityTooLarge},
		"too much after it":     {good, `{"name":"Ada"}` + strings.Repeat(" ", MaxBody), http.StatusRequestEntityTooLarge},
	} {
		t.Run(name, func(t *testing.T) {
			r := httptest.NewRequest("POST", "/", strings.NewReader(c.body))
			r.Header.Set("Content-Type", c.kind)
			w := httptest.NewRecorder()
			var value struct{ Name string }
			if ok := Decode(w, r, &value); ok != (c.status == http.StatusOK) || w.Code != c.status {
				t.Fatalf("Decode = %v, %d %s; want status %d", ok, w.Code, w.Body, c.status)
			}
			if c.status == http.StatusOK && value.Name != "Ada" {
				t.Fatalf("decoded %q", value.Name)
			}
		})
	}
}
