package main

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
)

func TestVersionOneIsServedAndSaysWhenItEnds(t *testing.T) {
	site := retiring(time.Date(2027, 6, 30, 0, 0, 0, 0, time.UTC), routes())
	for path, want := range map[string]struct {
		status int
		text   string
	}{
		"/api/v1/users":        {http.StatusOK, `{"users":[{"user_id":1,"full_name":"Ada Lovelace"},`},
		"/api/v1/users/3":      {http.StatusOK, `{"user_id":3,"full_name":"Katherine Johnson"}`},
		"/api/v1/users/0":      {http.StatusNotFound, `{"error":`},
		"/api/v1/users/4":      {http.StatusNotFound, `{"error":`},
		"/api/v1/users/ada":    {http.StatusNotFound, `{"error":`},
		"/api/v1/users/1/more": {http.StatusNotFound, `{"error":`},
	} {
		w := httptest.NewRecorder()
		site.ServeHTTP(w, httptest.NewRequest("GET", path, nil))
		if w.Code != want.status || !strings.HasPrefix(w.Body.String(), want.text) {
			t.Errorf("GET %s: %d %s", path, w.Code, w.Body)
		}
		if got := w.Header().Get("Sunset"); got != "Wed, 30 Jun 2027 00:00:00 GMT" {
			t.Errorf("GET %s: Sunset %q", path, got)
		}
	}
}
