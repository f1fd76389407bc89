package main

import (
	"html"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

const templates = "../../shared/templates"

func get(handler http.Handler, path string) *httptest.ResponseRecorder {
	w := httptest.NewRecorder()
	handler.ServeHTTP(w, httptest.NewRequest("GET", path, nil))
	return w
}

func TestTheHomePageListsTheRoutes(t *testing.T) {
	w := get(routes(templates), "/")
	if w.Code != http.StatusOK || w.Header().Get("Content-Type") != "text/html; charset=utf-8" {
		t.Fatalf("%d %v", w.Code, w.Header())
	}
	for _, route := range sampleRoutes {
		if !strings.Contains(w.Body.String(), html.EscapeString(route.Path)) {
			t.Errorf("%s is missing", route.Path)
		}
	}
}

func TestAnyOtherPathGetsThePageForNotFound(t *testing.T) {
	w := get(routes(templates), "/nothing/<script>")
	if w.Code != http.StatusNotFound || !strings.Contains(w.Body.String(), "/nothing/&lt;script&gt;") {
		t.Fatalf("%d %s", w.Code, w.Body)
	}
}

func TestTheHomePageIsOnlyRead(t *testing.T) {
	w := httptest.NewRecorder()
	routes(templates).ServeHTTP(w, httptest.NewRequest("POST", "/", nil))
	if w.Code != http.StatusMethodNotAllowed || w.Header().Get("Allow") != "GET, HEAD" {
		t.Fatalf("%d, Allow %q", w.Code, w.Header().Get("Allow"))
	}
}

func TestABrokenTemplateNeverGivesHalfAPage(t *testing.T) {
	directory := t.TempDir()
	for name, text := range map[string]string{
		"layout.html": "<h1>begun</h1>{{template \"body\" .}}",
		"home.html":   "{{define \"body\"}}{{.Missing}}{{end}}",
	} {
		if err := os.WriteFile(filepath.Join(directory, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if w := get(routes(directory), "/"); w.Code != http.StatusInternalServerError || strings.Contains(w.Body.String(), "begun") {
		t.Fatalf("%d %s", w.Code, w.Body)
	}
}
